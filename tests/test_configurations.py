"""Suites as people configure them: every kind of test and every awkward option, run by the real harness."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from runners.local import LocalRunner
from runners.runner import FunctionKey, Limits, SuiteRequest, SuiteRun

CORE = '''def double(x):
    """Return twice x.

    >>> double(2)
    5
    """
    return x * 2
'''
PLAIN = """from core import double


def test_right():
    assert double(1) == 2


def test_wrong():
    assert double(1) == 3
"""
OPTIONS = "--strict-config --strict-markers -x --lf --ff --nf --sw --pdb --setup-only --collect-only --doctest-modules"
CONFIGURED = {
    "core.py": CORE,
    "pytest.ini": f"""[pytest]
pythonpath = .
testpaths = one two core.py
addopts = {OPTIONS} --import-mode=importlib
cache_dir = build/cache
filterwarnings = error
markers = slow
""",
    ".pytest_cache/v/cache/lastfailed": '{"one/test_a.py::test_right": true}',
    "one/conftest.py": "import pytest\n\n\n@pytest.fixture\ndef number():\n    return 1\n",
    "two/conftest.py": "import pytest\n\n\n@pytest.fixture\ndef number():\n    return 2\n",
    "one/test_a.py": PLAIN,
    "two/test_a.py": """import unittest
import warnings

import pytest
from core import double
from hypothesis import given, settings
from hypothesis import strategies as st


class TestOfUnittest(unittest.TestCase):
    def test_parts(self):
        for x in (0, 1, 2):
            with self.subTest(x=x):
                self.assertEqual(double(x), 2)

    def test_whole(self):
        self.assertEqual(double(1), 2)


def test_subtests(subtests):
    for x in (0, 1):
        with subtests.test(x=x):
            assert double(x) == 2


def test_good_subtests(subtests):
    with subtests.test("one"):
        assert double(1) == 2


@pytest.mark.xfail(reason="known")
def test_expected(subtests):
    assert double(1) == 3


@settings(database=None, max_examples=20)
@given(st.integers())
def test_any(x):
    assert double(x) == x + x


@settings(database=None, max_examples=50)
@given(st.integers())
def test_not_any(x):
    assert double(x) < 50


@pytest.mark.slow
@pytest.mark.parametrize("x", [2], ids=["a/b::c[d] e"])
def test_odd_id(x, number):
    assert double(x) == number


def test_warns():
    warnings.warn("old", DeprecationWarning)
""",
}
DOUBLE = FunctionKey("core.py", "double", 1)


def run(root: Path, python: str = sys.executable) -> SuiteRun:
    runner = LocalRunner(root, Limits(suite_timeout_s=120, test_timeout_s=30), python=python, unsafe=True)
    try:
        return runner.run_suite(SuiteRequest(coverage=True))
    finally:
        runner.close()


@pytest.fixture(scope="module")
def suite(repo) -> SuiteRun:
    return run(repo(CONFIGURED))


def test_no_option_of_the_repository_hides_repeats_or_reorders_a_test(suite: SuiteRun) -> None:
    assert (suite.complete, suite.tampered) == (True, "")
    assert {test.node_id: test.outcome for test in suite.tests} == {
        "one/test_a.py::test_right": "passed",
        "one/test_a.py::test_wrong": "failed",
        "two/test_a.py::TestOfUnittest::test_parts": "failed",
        "two/test_a.py::TestOfUnittest::test_whole": "passed",
        "two/test_a.py::test_subtests": "failed",
        "two/test_a.py::test_good_subtests": "passed",
        "two/test_a.py::test_expected": "xfailed",
        "two/test_a.py::test_any": "passed",
        "two/test_a.py::test_not_any": "failed",
        "two/test_a.py::test_odd_id[a/b::c[d] e]": "failed",
        "two/test_a.py::test_warns": "failed",
        "core.py::core.double": "failed",
    }


def test_each_kind_of_test_tells_what_it_executed(suite: SuiteRun) -> None:
    silent = {test.node_id for test in suite.tests if DOUBLE not in test.functions}
    assert silent == {"two/test_a.py::test_warns"}


def test_the_first_failing_subtest_tells_why_its_test_fails(suite: SuiteRun) -> None:
    runs = suite.by_id()
    assert runs["two/test_a.py::test_subtests"].message.startswith("assert 0 == 2")
    parts = runs["two/test_a.py::TestOfUnittest::test_parts"]
    assert (parts.exception, parts.message) == ("AssertionError", "AssertionError: 0 != 2")
    assert parts.frames[-1].function == "TestOfUnittest.test_parts"


def test_a_doctest_says_what_it_expected_and_what_it_got(suite: SuiteRun) -> None:
    assert suite.by_id()["core.py::core.double"].message == "double(2): expected 5, got 4"


def test_a_test_can_be_asked_for_whatever_its_id_holds(repo) -> None:
    runner = LocalRunner(repo(CONFIGURED), Limits(suite_timeout_s=120), python=sys.executable, unsafe=True)
    ids = ("two/test_a.py::test_odd_id[a/b::c[d] e]", "core.py::core.double", "one/test_a.py::test_right")
    try:
        tests = runner.run_suite(SuiteRequest(ids, canaries=True)).tests
    finally:
        runner.close()
    assert [(test.node_id, test.outcome) for test in tests] == list(
        zip(ids, ("failed", "failed", "passed"), strict=True)
    )


# ------------------------------------------------------------------------------------------------------ real plugins

PLUGINS = ("pytest-xdist", "pytest-randomly", "pytest-random-order", "pytest-rerunfailures", "pytest-asyncio")
PLUGGED = {
    "core.py": CORE,
    "pytest.ini": """[pytest]
pythonpath = .
asyncio_mode = auto
asyncio_default_fixture_loop_scope = function
addopts = -n 2 --dist loadfile --randomly-seed=3 --random-order --reruns 2 --strict-markers --cov=core --cov-branch
""",
    "test_a.py": PLAIN
    + """

import pytest

COUNT = []


async def test_awaited():
    assert double(2) == 5


@pytest.mark.flaky(reruns=3)
def test_works_the_second_time():
    COUNT.append(1)
    assert len(COUNT) > 1
""",
}


@pytest.mark.network
def test_plugins_that_distribute_shuffle_or_repeat_do_none_of_it(repo, tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", str(tmp_path / "env")], check=True)
    python = str(tmp_path / "env" / "bin" / "python")
    install = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "pytest-cov", *PLUGINS]
    subprocess.run(install, check=True)
    suite = run(repo(PLUGGED), python)
    assert (suite.complete, suite.tampered) == (True, "")
    assert [(test.node_id.partition("::")[2], test.outcome) for test in suite.tests] == [
        ("test_right", "passed"),
        ("test_wrong", "failed"),
        ("test_awaited", "failed"),
        ("test_works_the_second_time", "failed"),
    ]
    assert all(DOUBLE in test.functions for test in suite.tests[:3])
