"""The guidance benchmark: its conditions, its faults, one case decoded for real, its tables and its plot."""

from __future__ import annotations

import json
import random
from dataclasses import asdict

import pytest

from benchmarks.cases import Problem
from benchmarks.guidance import CONDITIONS, GAMMAS, compared, decoded, generated, plot, report
from benchmarks.measure import Bench, spread
from benchmarks.results import Record, Results
from runners.local import bubblewrap_works
from tests.fakes import ScriptedModel
from tests.test_benchmarks_repair import BODY, CASE, TERMS
from training.build import is_heldout
from training.functions import make_function


def results_of(rates, **fields):
    results = Results()
    for name, right in rates.items():
        for number, correct in enumerate(right):
            results.add(
                Record(f"case {number}", "kind", name, TERMS, "abc", published=correct, correct=correct, **fields)
            )
    return results


def test_every_scale_is_tried_alone_and_filled_up_and_masks_only_where_they_act():
    decodes = {name: condition.arms[0] for name, condition in CONDITIONS.items()}
    assert {arm.setting.gamma for arm in decodes.values()} == set(GAMMAS)
    assert not any(arm.edits for arm in decodes.values())
    for gamma in GAMMAS:
        assert [arm.kind for arm in CONDITIONS[f"gamma {gamma:g} filled"].arms] == ["decode", "sample"]
        assert len(CONDITIONS[f"gamma {gamma:g}"].arms) == 1
    assert {arm.setting.gamma for arm in decodes.values() if arm.setting.alpha == 0} == set(GAMMAS) - {0, 1}
    assert {arm.setting.gamma for arm in decodes.values() if arm.harvests} == set(GAMMAS) - {0}


def test_only_conditions_that_were_measured_are_compared():
    assert compared({"gamma 0": 1, "gamma 1": 1, "gamma 1 harvest": 1}) == [
        ("gamma 1", "gamma 0"),
        ("gamma 1 harvest", "gamma 1"),
    ]
    known = {name for pair in compared(CONDITIONS) for name in pair}
    assert known <= set(CONDITIONS)


def test_generated_faults_are_in_functions_that_are_never_trained_on(tmp_path):
    rng = random.Random(2)
    functions = []
    while len(functions) < 3:
        low, high = rng.randrange(2, 90), rng.randrange(2, 90)
        text = f"def f(n):\n    total = {low}\n    for k in range(n):\n        total += k * {high}\n    return total\n"
        if is_heldout(text) or len(functions) == 2:
            functions.append(make_function(text, "grammar", tuple(f"f({n})" for n in range(6))))
    path = tmp_path / "functions.jsonl"
    path.write_text("".join(json.dumps(asdict(f)) + "\n" for f in functions))
    problems = list(generated(path, 2, 0))
    assert [problem.name for problem in problems] == ["generated-0-f", "generated-1-f"]
    for problem in problems:
        assert isinstance(problem, Problem)
        assert is_heldout(problem.reference)
        assert problem.faulty != problem.reference
        assert len(problem.tests) == 6
        assert problem.function == "f"
        assert problem.header == "import pytest\nfrom solution import f\n"
    assert problems == list(generated(path, 2, 0))


@pytest.mark.skipif(not bubblewrap_works(), reason="needs bubblewrap")
def test_a_body_that_is_decoded_is_judged_by_both_halves():
    def answers(prompt):
        return BODY if "<trace>" in prompt else CASE.files["solution.py"].partition("\n")[2]

    wanted = tuple(CONDITIONS[name] for name in ("gamma 0", "gamma 1", "gamma 3"))
    records = list(spread(decoded, [(CASE, wanted)], Bench(TERMS, code="abc"), ScriptedModel(answers)))
    assert [(one.arm, one.published, one.correct) for one in records] == [
        ("gamma 0", False, False),
        ("gamma 1", True, True),
        ("gamma 3", True, True),
    ]
    assert not any(one.error for one in records)
    assert all(one.drafted >= one.accepted for one in records)
    assert records[2].changed >= 1


def test_a_case_that_cannot_be_measured_is_a_record_that_says_why():
    model = ScriptedModel(BODY)
    (record,) = spread(decoded, [(CASE.__class__("x", "k", "gone.py", "f", {}, {}), (CONDITIONS["gamma 1"],))],
                       Bench(TERMS), model)  # fmt: skip
    assert "KeyError" in record.error


def test_the_tables_tell_rates_drafts_and_differences_and_keep_generated_faults_apart():
    results = results_of({"gamma 0": [False] * 4, "gamma 1": [True, True, True, False]}, drafted=10, accepted=9)
    results.add(Record("generated-0-f", "kind", "gamma 0", TERMS, "abc", executions=3, tokens=20))
    text = report(results)
    assert text.index("Development cases") < text.index("Generated faults")
    assert "| gamma 1 | 4 | 3 | 3 | 75 % [30, 95] | 0 | 0 | 90 % | 0.0 |" in text
    assert "| gamma 1 - gamma 0 | 4 | +75.0 [+25, +100] | 3 | 0 | 0.250 | 0.250 |" in text
    assert "| gamma 0 | 1 | 0 | 0 | 0 % [0, 79] | 3 | 20 | - | 0.0 |" in text
    assert report(Results()) == "There is no result.\n"


def test_the_plot_is_written_twice_and_the_same_each_time(tmp_path):
    pytest.importorskip("matplotlib")
    rates = {
        "gamma 0": [False, True],
        "gamma 1": [True, True],
        "gamma 3": [True, False],
        "gamma 3 no mask": [False] * 2,
    }
    results = results_of(rates, drafted=10, accepted=9)
    for name in ("one", "two"):
        plot(results, tmp_path / name)
    assert (tmp_path / "one.svg").read_bytes() == (tmp_path / "two.svg").read_bytes()
    assert (tmp_path / "one.png").stat().st_size > 1000
