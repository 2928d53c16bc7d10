from __future__ import annotations

import pytest

from bot.causes import explanation
from bot.discover import RELATED, discover
from bot.errors import ConfigError, RepositoryError
from bot.records import TestFailure
from bot.selection import earlier_run
from runners.runner import FunctionKey, Limits

LIMITS = Limits(suite_timeout_s=120, test_timeout_s=3)

CORE = """def half(x):
    return x / 3


def wait(n):
    while n:
        pass
    return n
"""
TESTS = """import pytest
from core import half, wait

@pytest.fixture
def database():
    raise RuntimeError("no database")


@pytest.mark.parametrize("x, expected", [(0, 0), (4, 2)])
def test_half(x, expected):
    assert half(x) == expected


def test_in_a_crowd(request):
    assert len(request.session.items) < 10


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


def test_late_import():
    import no_such_module_either


def test_crash():
    import os
    import signal
    os.kill(os.getpid(), signal.SIGSEGV)
"""
FILES = {
    "core.py": CORE,
    "test_core.py": TESTS,
    "test_a.py": "RAN = []\n\n\ndef test_1(): pass\n\n\ndef test_a(): RAN.append(1)\n\n\ndef test_2(): pass\n",
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
        "test_order": "order",
        "test_in_a_crowd": "flaky",
        "test_late_import": "dependency",
        "test_crash": "crash",
        "test_database": "fixture",
        "test_unknown_fixture": "fixture",
        "test_wait": "timeout",
        "test_missing.py": "dependency",
        "test_syntax.py": "collection",
    }
    assert [f.node_id for f in found[0].failures if f.repairable] == [
        "test_core.py::test_half[4-2]",
        "test_core.py::test_wait",
        "test_core.py::test_crash",
    ]


def test_what_passes_is_kept_with_its_coverage(found):
    passing = {run.node_id: run for run in found[0].passing}
    assert sorted(passing) == [
        "test_a.py::test_1",
        "test_a.py::test_2",
        "test_a.py::test_a",
        "test_core.py::test_expected_failure",
        "test_core.py::test_half[0-0]",
    ]
    assert FunctionKey("core.py", "half", 1) in passing["test_core.py::test_half[0-0]"].functions
    assert FunctionKey("core.py", "half", 1) in failure(found, "half").functions
    assert (found[0].collected, found[0].skipped) == (14, 1)


def test_a_flaky_test_is_explained_and_not_repaired(found):
    assert "not when run again" in note(found, "test_in_a_crowd")


def test_a_test_that_depends_on_the_order_is_told_with_the_test_that_it_depends_on(found):
    assert "fails only after test_a.py::test_a, and passes alone" in note(found, "test_order")


def test_a_missing_dependency_is_named_with_what_to_do(found):
    text = note(found, "test_missing.py")
    assert "no_such_module_here" in text
    assert "install" in text


def test_a_syntax_error_is_placed(found):
    assert "syntax error at test_syntax.py:1" in note(found, "test_syntax.py")


def test_a_broken_and_a_missing_fixture_are_told_apart(found):
    assert "RuntimeError: no database" in note(found, "test_database")
    assert "there is no fixture nothing_like_it" in note(found, "test_unknown_fixture")


def test_a_crash_is_explained_by_its_signal(found):
    assert "SIGSEGV" in note(found, "test_crash")
    assert "extension module" in note(found, "test_crash")


def test_a_module_that_a_test_imports_itself_is_a_missing_dependency_too(found):
    assert "no_such_module_either is missing" in note(found, "test_late_import")


def test_a_hang_is_explained(found):
    assert "taken for a hang" in note(found, "test_wait")


def test_of_tests_that_hang_only_two_hang_again(repo, runner):
    waits = "\n\n".join(f"def test_{n}():\n    while True:\n        pass" for n in range(3))
    root = repo({"test_waits.py": waits, "pytest.ini": "[pytest]\n"})
    hung, events = runner(root, Limits(suite_timeout_s=60, test_timeout_s=0.5)), []
    asked: list[object] = []
    run_suite = hung.run_suite
    hung.run_suite = lambda request: (asked.append(request.node_ids), run_suite(request))[1]
    found = discover(hung, emit=lambda event, **fields: events.append(fields.get("text")))
    assert [failure.kind for failure in found.failures] == ["timeout"] * 3
    assert asked == [None, ("test_waits.py::test_0",), ("test_waits.py::test_1",)]
    assert "Running 2 failing tests once more" in events


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


# ------------------------------------------------------------------------------------------- what an earlier run says

MORE = {
    **SMALL,
    "tests/test_more.py": "from core import f\n\n\ndef test_more():\n    assert f() == 1\n",
    "tests/test_else.py": "def test_else():\n    assert True\n",
    "tests/test_param.py": """import pytest
from core import f


@pytest.mark.parametrize("x", [1, 2, 3])
def test_param(x):
    assert f() == x
""",
    "pytest.ini": "[pytest]\npythonpath = .\ncache_dir = build/cache\n",
    "build/cache/v/cache/lastfailed": '{"tests/test_f.py::test_f": true, "tests/test_gone.py::test_gone": true}',
    "core.py": "def figure():\n    return 1\n\n\ndef f():\n    return figure()\n",
}
MORE["tests/test_more.py"] += "\n\ndef test_figure():\n    import core\n\n    assert core.figure() == 1\n"
XML = """<?xml version="1.0" encoding="utf-8"?>
<testsuites><testsuite name="pytest">
<testcase classname="api.tests.test_f" name="test_g"><failure message="assert 1 == 3">no</failure></testcase>
<testcase classname="api.tests.test_f" name="test_h" />
<testcase classname="api.tests.test_param" name="test_param[zzz]"><failure message="?" /></testcase>
<testcase classname="api.tests.test_else" name="test_else" />
<testcase classname="api.tests.test_old" name="test_old"><error message="?" /></testcase>
</testsuite></testsuites>
"""


@pytest.fixture(scope="module")
def more(repo, runner, tmp_path_factory):
    root = repo(MORE)
    report = tmp_path_factory.mktemp("ci") / "report.xml"
    report.write_text(XML)
    return root, runner(root, LIMITS), str(report)


def test_a_report_of_a_finished_run_spares_the_first_run_of_the_suite(more):
    root, sandbox, report = more
    told = Told()
    read = lambda path: (root / path).read_bytes()  # noqa: E731
    found = discover(sandbox, earlier=earlier_run(root, junit_xml=[report]), read=read, emit=told)
    assert {f.node_id.partition("::")[2] for f in found.failures} == {"test_g", "test_param[2]", "test_param[3]"}
    passing = {run.node_id.partition("::")[2]: bool(run.functions) for run in found.passing}
    assert passing == {
        "test_h": True,
        "test_param[1]": True,
        "test_more": True,
        "test_figure": True,
        "test_else": True,
    }
    assert "tests/test_f.py::test_f: fails too, but was not asked for." in found.notes
    assert any("test_old (no collected test has this name)" in note for note in found.notes)
    assert any("test_param[zzz] (its parameters are new" in note for note in found.notes)
    assert (found.collected, found.untried) == (9, ())


def test_what_is_told_of_the_suite_and_what_is_found_are_the_same_counts_also_of_tests_that_were_not_run(
    repo, runner, tmp_path
):
    many = RELATED + 60
    tests = f"import pytest\n\n@pytest.mark.parametrize('n', range({many}))\ndef test_n(n):\n    assert n\n"
    cases = [f'<testcase classname="test_many" name="test_n[{n}]" />' for n in range(1, many)]
    failed = '<testcase classname="test_many" name="test_n[0]"><failure message="no" /></testcase>'
    report = tmp_path / "report.xml"
    report.write_text(f"<testsuites><testsuite>{failed}{''.join(cases)}</testsuite></testsuites>")
    root, told = repo({"test_many.py": tests}), Told()
    found = discover(runner(root, LIMITS), earlier=earlier_run(root, junit_xml=[str(report)]), emit=told)
    (suite,) = [fields for event, fields in told if event == "suite"]
    assert (suite["collected"], suite["failed"], suite["passed"]) == (many, 1, many - 1)
    assert (found.collected, len(found.failures), len(found.passing)) == (many, 1, many - 1)
    assert suite["earlier"] == 59  # the failing one and two hundred others were run


def test_pytests_own_memory_is_found_where_the_configuration_puts_it(more):
    root, sandbox, _ = more
    told = Told()
    found = discover(sandbox, earlier=earlier_run(root, last_failed=True), emit=told)
    assert [f.node_id for f in found.failures] == ["tests/test_f.py::test_f"]
    assert [note for note in found.notes if "test_gone" in note]
    assert any(event == "progress" for event, _ in told)


def test_a_report_that_is_none_is_refused_before_any_test_is_run(more, tmp_path):
    root, _, _ = more
    for name, text in {"a.xml": "<html/>", "b.xml": "", "c.xml": "<testsuite>"}.items():
        (tmp_path / name).write_text(text)
        with pytest.raises(ConfigError, match="no JUnit XML"):
            earlier_run(root, junit_xml=[str(tmp_path / name)])
    for missing in (tmp_path / "none.xml", tmp_path):
        with pytest.raises(ConfigError, match=r"cannot be read|is no file"):
            earlier_run(root, junit_xml=[str(missing)])


def test_where_pytest_remembers_nothing_that_is_said(repo, tmp_path):
    with pytest.raises(ConfigError, match="remembers no failure"):
        earlier_run(tmp_path, last_failed=True)
    (tmp_path / "tox.ini").write_text(f"[pytest]\naddopts = -q -o cache_dir={tmp_path.parent}\n")
    with pytest.raises(ConfigError, match="outside the repository"):
        earlier_run(tmp_path, last_failed=True)


class Later:
    """A repository of which another version is there from the third run on."""

    def __init__(self, before, after):
        self.versions = [before, before, after]

    def run_suite(self, request):
        return (self.versions.pop(0) if len(self.versions) > 1 else self.versions[0]).run_suite(request)


@pytest.mark.parametrize(("times", "kind"), [(1, "failure"), (2, "flaky")])
def test_a_test_that_passes_the_third_time_is_flaky_for_whoever_asks_often_enough(repo, runner, times, kind):
    failing, passing = (runner(repo({"test_t.py": f"def test_t():\n    assert {n}\n"}), LIMITS) for n in (0, 1))
    (found,) = discover(Later(failing, passing), times=times, emit=Told()).failures
    assert found.kind == kind


def test_a_test_that_asks_for_the_network_is_told_that_there_is_none():
    message = "urllib.error.URLError: <urlopen error [Errno -3] Temporary failure in name resolution>"
    failing = TestFailure("tests/test_a.py::test_b", "call", "failure", "URLError", message, ())
    assert "the network, which the sandbox does not have" in explanation(failing, None)
