"""The repair benchmark: its arms, its records, its tables, and one case through the real pipeline."""

from __future__ import annotations

import dataclasses
import math

import pytest

from benchmarks.arms import ARMS, COMPARED
from benchmarks.cases import Case, CaseFile
from benchmarks.measure import Bench, measured
from benchmarks.repair import main
from benchmarks.results import NO_MODEL, NoCase, Record, Results, Terms, code_digest
from benchmarks.tables import report
from runners.local import bubblewrap_works
from tests.fakes import ScriptedModel

sandboxed = pytest.mark.skipif(not bubblewrap_works(), reason="needs bubblewrap")

TERMS = Terms(400, 60.0, 0, "local", 5.0, "embedded", "f" * 64)
FAULTY = "def larger(left, right):\n    return left if left < right else right\n"
BODY = "    return left if left > right else right\n"
TEST = """from solution import larger


def test_0():
    assert larger({}) == {}


def test_1():
    assert larger({}) == {}
"""
CASE = Case(
    "larger",
    "operator misuse",
    "solution.py",
    "larger",
    {
        "solution.py": FAULTY,
        "pyproject.toml": '[tool.pytest.ini_options]\npythonpath = ["."]\n',
        "tests/test_solution.py": TEST.format("1, 2", 2, "9, 4", 9),
    },
    {"tests/test_solution.py": TEST.format("3, 7", 7, "-1, -2", -1)},
)


def record(case, arm="H", *, kind="operator misuse", correct=False, published=None, **fields):
    terms = TERMS if ARMS[arm].model else TERMS.without_model()
    published = correct if published is None else published
    word = "strong" if published else ""
    return Record(case, kind, arm, terms, "abc", word=word, published=published, correct=correct, **fields)


# ------------------------------------------------------------------------------------------------------------ the arms


def test_only_the_arms_that_say_so_use_edits_and_harvest():
    edits = {letter for letter, arm in ARMS.items() if arm.arms is None or any(a.edits for a in arm.arms)}
    assert edits == {"H", "I", "J"}
    harvesting = {
        letter for letter, arm in ARMS.items() if arm.arms and any(a.harvests and a.edits is False for a in arm.arms)
    }
    assert harvesting == {"F", "G"}
    assert {letter for letter, arm in ARMS.items() if not arm.model} == {"H", "J"}


def test_guided_arms_differ_in_one_thing_at_a_time():
    (one,), (guided,), (harvested,) = (ARMS[letter].arms for letter in "DEF")
    assert dataclasses.replace(one, setting=guided.setting) == guided
    assert one.setting.gamma == 1 < guided.setting.gamma
    assert dataclasses.replace(guided, harvests=True) == harvested


def test_the_samples_of_arm_c_read_the_trace_in_the_second_half_only():
    assert [arm.traced for arm in ARMS["C"].arms] == [False, True]
    assert ARMS["C"].arms[0].share == 0.5


def test_every_comparison_names_known_arms():
    assert {letter for pair in COMPARED for letter in pair} <= set(ARMS)
    assert len(set(COMPARED)) == len(COMPARED)


# ----------------------------------------------------------------------------------------------------------- records


def test_records_are_written_as_they_come_and_read_again(tmp_path):
    path = tmp_path / "out.jsonl"
    made = [record("a", correct=True, operators=("NUM", "CMP"), diff="-x\n+y\n"), NoCase("b", "value misuse", "why")]
    results = Results.of(path)
    for one in made:
        results.add(one)
    again = Results.of(path)
    assert again.records == {("a", "H"): made[0]}
    assert again.left_out == {"b": made[1]}


def test_a_last_line_that_was_cut_is_measured_again_and_the_file_stays_readable(tmp_path):
    path = tmp_path / "out.jsonl"
    Results.of(path).add(record("a"))
    whole = path.read_text()
    path.write_text(whole + whole[:40])
    results = Results.of(path)
    assert results.has("a", "H")
    assert not results.has("b", "H")
    results.add(record("b"))
    assert len(Results.of(path).records) == 2


def test_what_failed_is_tried_again_and_the_later_record_counts(tmp_path):
    results = Results.of(tmp_path / "out.jsonl")
    results.add(record("a", error="SandboxLost: gone"))
    assert not results.has("a", "H")
    results.add(record("a", correct=True))
    assert Results.of(tmp_path / "out.jsonl").records["a", "H"].correct


@pytest.mark.parametrize(
    ("change", "said"),
    [({"executions": 9}, "executions=400, and now it is 9"), ({"fingerprint": "0"}, "fingerprint"), ({}, "")],
)
def test_records_of_other_settings_or_weights_are_not_mixed(change, said):
    results = Results()
    results.add(record("a", "I"))
    conflict = results.conflict({"I": dataclasses.replace(TERMS, **change)})
    assert said in conflict
    assert bool(conflict) == bool(change)


def test_other_weights_do_not_matter_to_an_arm_without_a_model():
    results = Results()
    results.add(record("a", "H"))
    assert results.conflict({"H": dataclasses.replace(TERMS, fingerprint="0").without_model()}) == ""


def test_a_file_of_something_else_is_refused(tmp_path):
    path = tmp_path / "out.jsonl"
    path.write_text('{"task_id": 1}\n')
    with pytest.raises(ValueError, match="line 1"):
        Results.of(path)
    with pytest.raises(SystemExit, match="no record"):
        main(["--report", str(path)])


def test_the_digest_of_the_code_is_that_of_its_files():
    assert code_digest() == code_digest() != code_digest(("runners",))


# ------------------------------------------------------------------------------------------------------------ tables


def test_the_tables_tell_rates_costs_origins_classes_and_differences():
    results = Results()
    for number in range(8):
        kind = "missing logic" if number < 2 else "value misuse"
        about = {"origin": "edit", "executions": 10 * number, "total_s": 2.0, "operators": ("NUM",)}
        about["right_function_first"] = number != 3
        results.add(record(f"case {number}", "H", kind=kind, correct=number >= 5, published=number >= 4, **about))
        results.add(record(f"case {number}", "I", kind=kind, correct=number >= 1, **about))
    results.add(NoCase("odd", "value misuse", "1 of its tests fail"))
    results.add(record("broken", "I", error="SandboxLost"))
    text = report(results)
    assert "8 cases, 1 left out (1 of its tests fail: 1)" in text
    assert "The faulty function was ranked first in 7 of them." in text
    assert "Without a result: I 1." in text
    assert "| H | single edits, no model | 8 | 4 | 0 | 0 | 0 | 4 | 3 | 38 % [14, 69] | 1 (25 %) |" in text
    assert "| H | 35 | 0 | 0 | 0.0 | 2.0 | 5.3 | 0.0 |" in text
    assert "| H | 3 + 1 |" in text
    assert text.index("| missing logic | 0 / 2 | 1 / 2 |") < text.index("| value misuse | 3 / 6 | 6 / 6 |")
    assert "| all | 3 / 8 | 7 / 8 |" in text
    assert "| NUM | 3 / 8 | 7 / 8 |" in text
    assert "| I - H | 8 | +50.0 [+12, +88] | 4 | 0 | 0.125 | 0.125 |" in text
    assert "E - B" not in text


def test_arms_are_compared_on_the_cases_that_both_have():
    results = Results()
    for name in "abc":
        results.add(record(name, "H"))
    results.add(record("a", "I", correct=True))
    assert "| I - H | 1 | +100.0 [+100, +100] | 1 | 0 |" in report(results)


def test_without_results_nothing_is_claimed():
    assert report(Results()) == "There is no result.\n"


# ------------------------------------------------------------------------------------------------- the real pipeline


@sandboxed
def test_a_plain_decode_through_the_pipeline_is_judged_by_the_hidden_half_and_costs_cpu_seconds():
    found = measured(CASE, ARMS["A"], Bench(TERMS, code="abc"), ScriptedModel(BODY))
    assert (found.word, found.published, found.correct, found.origin) == ("strong", True, True, "plain")
    assert found.right_function_first
    assert found.executions >= 1
    assert 0 < found.search_s < found.total_s < math.inf
    assert found.tokens >= len(BODY)
    assert found.diff.endswith("+    return left if left > right else right\n")


@sandboxed
def test_a_body_that_knows_only_the_visible_tests_is_wrong():
    learnt = "    if left == 1:\n        return right\n    return left if left > 8 else min(left, right)\n"
    found = measured(CASE, ARMS["A"], Bench(TERMS, code="abc"), ScriptedModel(learnt))
    assert found.word in ("plausible", "suspect", "strong")
    assert (found.correct, found.wrong) == (False, found.published)


@sandboxed
def test_the_command_measures_resumes_and_reports(tmp_path, capsys):
    cases, out = tmp_path / "cases.jsonl", tmp_path / "out.jsonl"
    CaseFile(cases).add(CASE)
    arguments = [str(cases), "--arms", "h", "--executions", "300", "--out", str(out)]
    assert main(arguments) == 0
    first = capsys.readouterr()
    assert "[1/1] larger H: " in first.err
    written = out.read_text()
    assert f'"model": "{NO_MODEL}"' in written
    assert main(arguments) == 0
    again = capsys.readouterr()
    assert (again.err, again.out) == ("", first.out)
    assert out.read_text() == written
    assert main(["--report", str(out)]) == 0
    assert capsys.readouterr().out == first.out
    with pytest.raises(SystemExit, match="executions=300, and now it is 200"):
        main([*arguments[:4], "200", *arguments[5:]])


def test_unknown_arms_and_cases_are_refused(tmp_path, capsys):
    cases = tmp_path / "cases.jsonl"
    CaseFile(cases).add(CASE)
    with pytest.raises(SystemExit):
        main([str(cases), "--arms", "H,Z"])
    assert "there is no arm Z" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="no case smaller; there is, for example, larger"):
        main([str(cases), "--arms", "H", "--cases", "smaller"])
