from __future__ import annotations

import pytest

from bot.discover import discover
from bot.errors import ConfigError, RepositoryError
from runners.runner import FunctionKey, Limits

LIMITS = Limits(suite_timeout_s=120, test_timeout_s=3)

CORE = """def half(x):
    return x / 3


def wait(n):
    while n:
        pass
    return n
"""
TESTS = """import pathlib
import tempfile

import pytest
from core import half, wait

MARK = pathlib.Path(__file__).with_name("mark")


@pytest.fixture
def database():
    raise RuntimeError("no database")


@pytest.mark.parametrize("x, expected", [(0, 0), (4, 2)])
def test_half(x, expected):
    assert half(x) == expected


def test_order():
    import test_a
    assert not test_a.RAN


def test_database(database):
    pass


def test_unknown_fixture(nothing_like_it):
    pass


@pytest.mark.skip(reason="later")
def test_later():
    pass


@pytest.mark.xfail
def test_expected_failure():
    assert half(6) == 3


def test_wait():
    assert wait(1) == 0
"""
FILES = {
    "core.py": CORE,
    "test_core.py": TESTS,
    "test_a.py": "RAN = []\n\n\ndef test_a():\n    RAN.append(1)\n",
    "test_missing.py": "import no_such_module_here.deep\n",
    "test_syntax.py": "def test_x(:\n    pass\n",
}


class Told(list):
    def __call__(self, event, **fields):
        self.append((event, fields))


@pytest.fixture(scope="module")
def found(repo, runner):
    """What is found in a repository with every kind of failure, and what was told about it."""
    told = Told()
    return discover(runner(repo(FILES), LIMITS), emit=told), told


def failure(found, name):
    return next(f for f in found[0].failures if name in f.node_id)


def note(found, name):
    return next(note for note in found[0].notes if name in note)


def test_every_kind_of_failure_is_told_apart(found):
    kinds = {f.node_id.removeprefix("test_core.py::"): f.kind for f in found[0].failures}
    assert kinds == {
        "test_half[4-2]": "failure",
        "test_order": "flaky",
        "test_database": "fixture",
        "test_unknown_fixture": "fixture",
        "test_wait": "timeout",
        "test_missing.py": "collection",
        "test_syntax.py": "collection",
    }
    assert [f.node_id for f in found[0].failures if f.repairable] == [
        "test_core.py::test_half[4-2]",
        "test_core.py::test_wait",
    ]


def test_what_passes_is_kept_with_its_coverage(found):
    passing = {run.node_id: run for run in found[0].passing}
    assert sorted(passing) == [
        "test_a.py::test_a",
        "test_core.py::test_expected_failure",
        "test_core.py::test_half[0-0]",
    ]
    assert FunctionKey("core.py", "half", 1) in passing["test_core.py::test_half[0-0]"].functions
    assert FunctionKey("core.py", "half", 1) in failure(found, "half").functions
    assert (found[0].collected, found[0].skipped) == (9, 1)


def test_a_flaky_test_is_explained_and_not_repaired(found):
    assert "not when run again" in note(found, "test_order")


def test_a_missing_dependency_is_named_with_what_to_do(found):
    text = note(found, "test_missing.py")
    assert "no_such_module_here" in text
    assert "install" in text


def test_a_syntax_error_is_placed(found):
    assert "syntax error at test_syntax.py:1" in note(found, "test_syntax.py")


def test_a_broken_and_a_missing_fixture_are_told_apart(found):
    assert "RuntimeError: no database" in note(found, "test_database")
    assert "there is no fixture nothing_like_it" in note(found, "test_unknown_fixture")


def test_a_hang_is_explained(found):
    assert "taken for a hang" in note(found, "test_wait")


def test_every_note_is_told_while_it_runs(found):
    assert [fields["text"] for event, fields in found[1] if event == "note"] == list(found[0].notes)
    assert found[1][0][0] == "stage"


# ------------------------------------------------------------------------------------------------------ chosen tests

SMALL_TESTS = """from core import f


def test_f():
    assert f() == 2


def test_g():
    assert f() == 3


def test_h():
    assert f() == 1
"""
SMALL = {
    "core.py": "def f():\n    return 1\n",
    "tests/test_f.py": SMALL_TESTS,
    "pytest.ini": "[pytest]\npythonpath = .\n",
}


@pytest.fixture(scope="module")
def small(repo, runner):
    return runner(repo(SMALL), LIMITS)


def test_only_the_chosen_tests_count_as_failing_but_the_whole_suite_is_run(small):
    discovery = discover(small, tests=["tests/test_f.py::test_f"], emit=Told())
    assert [f.node_id for f in discovery.failures] == ["tests/test_f.py::test_f"]
    assert [run.node_id for run in discovery.passing] == ["tests/test_f.py::test_h"]


def test_a_chosen_test_that_passes_is_mentioned(small):
    discovery = discover(small, tests=["tests/test_f.py::test_h"], emit=Told())
    assert discovery.failures == ()
    assert discovery.notes == ("tests/test_f.py::test_h passes already.",)


def test_a_test_that_does_not_exist_is_answered_with_the_nearest(small):
    with pytest.raises(ConfigError) as error:
        discover(small, tests=["tests/test_f.py::test_ff"], emit=Told())
    assert "test_ff" in error.value.message
    assert "tests/test_f.py::test_f" in error.value.hint


def test_a_repository_without_tests_is_an_error_with_a_hint(repo, runner):
    with pytest.raises(RepositoryError) as error:
        discover(runner(repo({"core.py": "x = 1\n"}), LIMITS), emit=Told())
    assert error.value.message == "No tests were collected."
    assert error.value.hint


def test_an_empty_folder_has_no_tests(repo, runner):
    with pytest.raises(RepositoryError, match="No tests"):
        discover(runner(repo({}), LIMITS), emit=Told())
