"""How long variants may take, which tests they still meet once one has failed, and what is not run again."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from runners.deadlines import for_calibration, for_variants
from runners.local import LocalRunner, LocalSandbox
from runners.runner import Limits, Session, Target, TestRun

LIMITS = Limits(suite_timeout_s=120, test_timeout_s=3, execution_timeout_s=4, workers=1)
MODULE = b"""def down(n):
    while n != 0:
        n -= 2
    return 1
"""
TESTS = """from m import down

def test_odd():
    assert down(1) == 0

def test_even():
    assert down(2) == 1

def test_result():
    assert down(0) == 0
"""
NODES = [f"test_m.py::test_{name}" for name in ("odd", "even", "result")]


class Counting(LocalRunner):
    """Notes of each sandbox whether it is a warm one."""

    warm: list[bool]

    def _start(self, overlay: Path | None, *, warm: bool = False) -> LocalSandbox:
        self.warm.append(warm)
        return super()._start(overlay, warm=warm)


@pytest.fixture(scope="module")
def runner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Counting]:
    root = tmp_path_factory.mktemp("deadlines")
    (root / "m.py").write_bytes(MODULE)
    (root / "test_m.py").write_text(TESTS)
    with Counting(root, LIMITS, python=sys.executable) as opened:
        opened.warm = []
        yield opened


@pytest.fixture(scope="module")
def session(runner: Counting) -> Iterator[Session]:
    with runner.open_session(Target("m.py", "down", 1), NODES) as opened:
        yield opened


def outcomes(session: Session, body: bytes, *, trace: bool = False) -> list[str]:
    source = MODULE.replace(b"while n != 0:\n        n -= 2\n    return 1", body)
    assert body in source
    return [run.outcome for run in session.execute([source], trace=trace, brief=not trace)[0].runs]


def test_fast_tests_get_the_least_slow_ones_a_multiple_of_what_they_take():
    limits = Limits(execution_timeout_s=5.0, execution_least_s=1.0)
    assert for_variants(limits, 0.02, endless=False) == 1.0
    assert for_variants(limits, 0.2, endless=False) == 2.0
    assert for_variants(limits, 1.0, endless=False) == 5.0
    assert for_variants(limits, 4.0, endless=False) == 12.0
    assert for_variants(limits, 0.02, endless=True) == 2.0
    assert for_variants(Limits(execution_timeout_s=0.5), 0.02, endless=False) == 0.5


def test_a_test_that_hung_cold_need_not_hang_as_long_again():
    limits = Limits(execution_timeout_s=5.0)
    slow, hung = TestRun("a", "failed", duration_s=3.0), TestRun("b", "timeout", duration_s=30.0)
    assert for_calibration(limits, [slow]) == 9.0
    assert for_calibration(limits, [TestRun("a", "failed", duration_s=0.1), hung]) == 2.0
    assert for_calibration(limits, [TestRun("a", "failed", duration_s=0.1)]) == 5.0


@pytest.mark.parametrize("level", ["swap", "import"])
def test_what_hangs_or_passes_without_a_change_is_only_met_by_what_passes_the_rest(
    session: Session, level: str
) -> None:
    before, session.level = session.level, level
    try:
        assert outcomes(session, b"return 0") == ["missing", "failed", "passed"], "passing tests come before what hangs"
        assert outcomes(session, b"return n % 2 - 1") == ["missing", "missing", "failed"]
        assert outcomes(session, b"return (n + 1) % 2 * (n > 0)") == ["passed", "passed", "passed"]
        assert outcomes(session, b"while True:\n        pass") == ["missing", "missing", "timeout"]
        assert outcomes(session, b"import os; os._exit(0)") == ["missing", "missing", "crashed"]
    finally:
        session.level = before


def test_a_traced_variant_meets_every_test(session: Session) -> None:
    assert session.level == "swap"
    assert outcomes(session, b"return n % 2 - 1", trace=True) == ["passed", "failed", "failed"]
    assert outcomes(session, b"while n == 2:\n        n = 2\n    return 7", trace=True) == [
        "failed",
        "timeout",
        "failed",
    ]


def test_tests_that_take_longer_than_the_limit_are_warm_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "m.py").write_text("def f(x):\n    return x\n")
    (tmp_path / "test_m.py").write_text(
        "import time\nfrom m import f\n\ndef test_slow():\n    time.sleep(1)\n    assert f(1) == 2\n"
    )
    limits = Limits(suite_timeout_s=120, test_timeout_s=60, execution_timeout_s=0.5, workers=1)
    with (
        LocalRunner(tmp_path, limits, python=sys.executable) as runner,
        runner.open_session(Target("m.py", "f", 1), ["test_m.py::test_slow"]) as session,
    ):
        assert session.level == "swap"
        assert session.execute([b"def f(x):\n    return x + 1\n"])[0].passed


@pytest.mark.parametrize(("exception", "cold"), [("AssertionError", False), ("ValueError", True)])
def test_what_is_known_of_cold_runs_is_not_run_again_unless_it_is_found_otherwise(
    runner: Counting, exception: str, cold: bool
) -> None:
    runner.warm.clear()
    known = [TestRun(NODES[2], "failed", exception=exception), TestRun(NODES[1], "passed"), TestRun("other", "error")]
    with runner.open_session(Target("m.py", "down", 1), NODES[1:], known=known) as session:
        assert session.level == "swap"
        assert outcomes(session, b"return int(n > 0)") == ["passed", "passed"]
    assert runner.warm.count(False) == int(cold)


def test_where_too_little_is_known_the_tests_are_run_cold(runner: Counting) -> None:
    runner.warm.clear()
    with runner.open_session(Target("m.py", "down", 1), NODES[1:], known=[TestRun(NODES[1], "passed")]) as session:
        assert session.level == "swap"
    assert runner.warm.count(False) == 1
