"""Cases of the benchmarks: how tests are dealt, what a repair may see, what the files keep."""

from __future__ import annotations

import json

import pytest

from benchmarks.cases import (
    MODULE,
    TESTS,
    Case,
    CaseFile,
    LeftOut,
    all_pass,
    as_module,
    as_test,
    deal,
    dealt,
    is_case_file,
    judged_right,
    load,
    prepare,
    read_problems,
    split_check,
)
from runners.local import bubblewrap_works

sandboxed = pytest.mark.skipif(not bubblewrap_works(), reason="needs bubblewrap")

RECORD = {
    "task_id": "Python/7",
    "bug_type": "operator misuse",
    "entry_point": "larger",
    "declaration": "def larger(left, right):\n",
    "docstring": "Return the larger one.\n>>> larger(1, 2)\n2",
    "buggy_solution": "    return left if left < right else right\n",
    "canonical_solution": "    return left if left > right else right\n",
    "test": "def check(candidate):\n    assert candidate(1, 2) == 2\n    assert candidate(3, 3) == 3\n"
    "    low = 4\n    assert candidate(low, 5) == 5, 'message'\n"
    "    for n in range(3):\n        assert candidate(n, -1) == n\n"
    "\ncheck(larger)",
    "example_test": "def check(larger):\n    assert larger(1, 2) == 2\ncheck(larger)\n",
}


def records(folder, **changes):
    path = folder / "cases.jsonl"
    path.write_text(json.dumps(RECORD | changes) + "\n", encoding="utf-8")
    return path


def test_each_assert_and_each_loop_of_a_check_becomes_a_test_with_what_it_needs():
    first, _, third, loop = split_check(RECORD["test"], "larger")
    assert first == "def test_0():\n    assert larger(1, 2) == 2\n"
    assert third == "def test_0():\n    low = 4\n    assert larger(low, 5) == 5, 'message'\n"
    assert "for n in range(3)" in loop


def test_the_docstring_stays_in_the_function_and_its_examples_are_known(tmp_path):
    (problem,) = read_problems(records(tmp_path))
    assert problem.faulty.startswith('def larger(left, right):\n    """Return the larger one.\n    >>> larger(1, 2)\n')
    assert problem.shown == {"def test_0():\n    assert larger(1, 2) == 2\n"}


def test_what_the_docstring_shows_does_not_judge_and_the_halves_are_even():
    assert dealt(["a", "b", "c", "d"], frozenset({"b"})) == (["b", "c"], ["a", "d"])
    assert dealt(["a", "b", "c"], frozenset({"a", "b"})) == (["a", "b"], ["c"])
    assert dealt(["a", "b", "c"], frozenset()) == (["a", "c"], ["b"])


def test_where_the_docstring_shows_everything_the_tests_are_dealt_in_turns():
    assert dealt(["a", "b", "c"], frozenset("abc")) == (["a", "c"], ["b"])


def test_tests_are_numbered_in_the_order_of_their_module():
    module = as_module("import math\n", [as_test("assert 1"), as_test("assert 2")])
    assert module.index("def test_0") < module.index("assert 1") < module.index("def test_1") < module.index("assert 2")


@sandboxed
def test_both_halves_fail_on_the_fault_and_pass_without_it_and_the_hidden_one_is_not_in_the_repository(tmp_path):
    (problem,) = read_problems(records(tmp_path))
    case = deal(problem, "local")
    assert isinstance(case, Case)
    assert case.files[TESTS] != case.hidden[TESTS]
    for files in (case.files, {**case.files, **case.hidden}):
        assert not all_pass(files, "local")
    assert all_pass({**case.files, MODULE: problem.reference}, "local")
    assert judged_right(case, {MODULE: problem.reference}, "local")
    assert not judged_right(case, {}, "local")
    visible, hidden = (set(text.split("def test_")) for text in (case.files[TESTS], case.hidden[TESTS]))
    assert not {test.partition("\n")[2] for test in visible} & {test.partition("\n")[2] for test in hidden} - {
        "",
        "\n\n",
    }


@sandboxed
def test_a_single_failing_assert_makes_no_case(tmp_path):
    test = "def check(candidate):\n    assert candidate(1, 2) == 2\n    assert candidate(3, 3) == 3\n"
    path = records(tmp_path, test=test)
    prepare(read_problems(path), tmp_path / "prepared.jsonl", "local")
    (left,) = load(tmp_path / "prepared.jsonl")
    assert isinstance(left, LeftOut)
    assert "1 of its tests" in left.reason
    prepare(read_problems(path), tmp_path / "prepared.jsonl", "local", {left.name})
    assert len(list(load(tmp_path / "prepared.jsonl"))) == 1


def test_cases_come_back_from_their_file_as_they_were(tmp_path):
    path = tmp_path / "cases.jsonl"
    source = "def one():\n    return 1\n\n\ndef two():\n    return 2\n"
    shared = {"shop.py": source, "other.py": "x = 1\n"}
    faulty = {**shared, "shop.py": source.replace("return 2", "return 3"), "tests/test_shop.py": "visible\n"}
    case = Case("a", "value misuse", "shop.py", "two", faulty, {"tests/test_shop.py": "hidden\n"}, ("NUM",))
    file = CaseFile(path)
    file.share("shop-1", shared)
    file.add(case, "shop-1", {"path": "shop.py", "qualname": "two", "first_line": 5, "body": "    return 3\n"})
    file.add(LeftOut("b", "value misuse", "because"))
    assert list(load(path)) == [case, LeftOut("b", "value misuse", "because")]
    assert path.read_text().count("x = 1") == 1
    CaseFile(path).share("shop-1", shared)
    assert path.read_text().count("x = 1") == 1
    with pytest.raises(ValueError, match="other files"):
        CaseFile(path).share("shop-1", {"shop.py": ""})


def test_the_two_kinds_of_files_are_told_apart(tmp_path):
    assert not is_case_file(records(tmp_path))
    CaseFile(tmp_path / "made.jsonl").add(LeftOut("b", "value misuse", "because"))
    assert is_case_file(tmp_path / "made.jsonl")
