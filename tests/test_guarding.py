"""Tests that stand guard: in the warm sandbox behind those that steer, and before a long suite is run."""

from __future__ import annotations

from typing import Any, cast

import pytest

from bot.decoding.trials import Trials
from bot.discover import discover
from bot.functions import find_function, splice
from bot.guides import GUARDING, GUARDS, guarding, guards
from bot.patches import make_patch
from bot.verify import SCREENING, verify
from runners.runner import FunctionKey, Runner, SuiteRequest, SuiteRun, Target, TestRun

STEPS = b"""def step(n):
    return n + 2


def other(n):
    return n
"""
TESTS = f"""import pytest
from steps import other, step


def test_steers():
    assert step(1) == 2


@pytest.mark.parametrize("n", range({SCREENING + 10}))
def test_guards(n):
    assert step(n) > n


@pytest.mark.parametrize("n", range({2 * SCREENING}))
def test_others(n):
    assert other(n) == n


def test_fails_anyhow():
    assert step(0) == 5
"""
STEERS = "test_steps.py::test_steers"
KEY = FunctionKey("steps.py", "step", 1)
TWO, RIGHT, FAULTY = b"return 2", b"return n + 1", b"return n + 2"


def variant(text: bytes) -> bytes:
    return STEPS.replace(FAULTY, text)


@pytest.fixture(scope="module")
def steps(repo, runner) -> Runner:
    return runner(repo({"steps.py": STEPS, "test_steps.py": TESTS}))


@pytest.mark.parametrize("level", ["swap", "import"])
def test_a_variant_that_passes_what_steers_meets_the_tests_on_guard(steps, level):
    further = [f"test_steps.py::test_guards[{n}]" for n in (1, 2, 3)]
    with steps.open_session(
        Target("steps.py", "step", 1), [STEERS], [*further, "test_steps.py::test_fails_anyhow"]
    ) as warm:
        warm.level = level
        two, right, faulty = warm.execute([variant(TWO), variant(RIGHT), STEPS])
        traced = warm.execute([variant(TWO)], trace=True)[0]
    assert [(run.node_id, run.outcome) for run in two.runs] == [
        (STEERS, "passed"),
        (further[1], "failed"),
        (further[2], "failed"),
    ], "a test that fails on the code as it is guards nothing"
    assert not two.passed
    assert right.passed
    assert [run.outcome for run in faulty.runs] == ["failed"]
    assert [run.outcome for run in traced.runs] == ["passed"]


def test_a_body_that_breaks_a_guarding_test_is_no_progress(steps):
    function = find_function(STEPS, "step", 1)
    assert function is not None
    with steps.open_session(Target("steps.py", "step", 1), [STEERS], ["test_steps.py::test_guards[5]"]) as warm:
        trials = Trials(function, STEPS, warm, lambda event, **fields: None)
        trials.run([function.body, "    return 2\n"])
        assert trials.progress() == []


def test_next_to_the_guards_stand_further_tests_of_the_same_files():
    def passing(name: str) -> TestRun:
        return TestRun(name, "passed", functions=frozenset({KEY}))

    runs = [passing(f"a.py::{n:03}") for n in range(GUARDS + GUARDING + 5)] + [passing("b.py::1")]
    tests = guards(runs, KEY)
    found = guarding(runs, KEY, tests)
    assert len(found) == GUARDING
    assert not set(found) & set(tests)
    assert guarding([*runs[:GUARDS], runs[-1]], KEY, tests) == []


class Counting:
    """A runner that notes how many tests each run asked for."""

    def __init__(self, runner: Runner) -> None:
        self._runner, self.asked = runner, cast("list[int | None]", [])

    def __getattr__(self, name: str) -> Any:
        return getattr(self._runner, name)

    def run_suite(self, request: SuiteRequest) -> SuiteRun:
        self.asked.append(None if request.node_ids is None else len(request.node_ids))
        return self._runner.run_suite(request)


def test_of_a_long_suite_what_executes_the_function_is_run_first(steps):
    counting = Counting(steps)
    discovery = discover(steps, emit=lambda event, **fields: None)
    target = next(failure for failure in discovery.failures if failure.node_id == STEERS)
    function = find_function(STEPS, "step", 1)
    assert function is not None

    def judged(body: str) -> tuple[str, tuple[str, ...]]:
        assert splice(STEPS, function, body) != STEPS
        verdict = verify(make_patch("steps.py", STEPS, function, body), [target], discovery, cast("Runner", counting))
        return verdict.word, verdict.reasons

    word, reasons = judged("    return 2\n")
    assert (word, counting.asked) == ("rejected", [SCREENING + 1, 3, 3])
    assert reasons[0].startswith("it breaks test_steps.py::test_guards[")
    counting.asked.clear()
    assert judged("    return n\n") == ("rejected", (f"{STEERS} still fails",))
    assert counting.asked == [SCREENING + 1]
    counting.asked.clear()
    assert judged("    return n + 1\n")[0] == "plausible"
    assert counting.asked[:2] == [SCREENING + 1, None]
