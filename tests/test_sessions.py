"""Sandboxes that stay open between two attempts at the same function."""

from __future__ import annotations

from contextlib import closing

import pytest

from bot.sessions import MOST, Sessions
from runners.local import LocalRunner
from runners.runner import Limits, SandboxLost, Target

FAULTY = "def double(x):\n    return x + 3\n"
RIGHT = FAULTY.replace("x + 3", "2 * x").encode()
NODE = "test_it.py::test_double"


class Bench:
    """A runner on a small repository that counts how often a session is opened, and knows those that are open."""

    def __init__(self, runner):
        self.runner, self.opened = runner, []
        self.sessions = Sessions()

    def open(self):
        self.opened.append(self.runner.open_session(Target("it.py", "double", 1), [NODE]))
        return self.opened[-1]

    def kept(self, key):
        return self.sessions.kept(key, self.open)

    def running(self):
        return [session._main._sandbox is not None for session in self.opened]


@pytest.fixture
def bench(tmp_path):
    (tmp_path / "it.py").write_text(FAULTY)
    (tmp_path / "test_it.py").write_text("from it import double\n\ndef test_double():\n    assert double(5) == 10\n")
    with LocalRunner(tmp_path, Limits(workers=1)) as runner:
        bench = Bench(runner)
        with closing(bench.sessions):
            yield bench


def test_a_session_is_opened_once_and_runs_bodies_again_after_its_first_use(bench):
    for _ in range(3):
        with bench.kept("one") as session:
            assert [e.passed for e in session.execute([RIGHT, FAULTY.encode()])] == [True, False]
    assert bench.running() == [True]
    bench.sessions.close()
    assert bench.running() == [False]


def test_two_functions_have_two_sessions_and_those_beyond_the_most_end_after_use(bench):
    for number in range(MOST + 2):
        with bench.kept(str(number)):
            pass
    assert bench.running() == [True] * MOST + [False] * 2
    with bench.kept("0") as session:
        assert session is bench.opened[0]


def test_a_generator_that_is_closed_half_way_leaves_its_session_open(bench):
    def lots():
        with bench.kept("one") as session:
            while True:
                yield session.execute([RIGHT])

    with closing(lots()) as found:
        assert next(found)[0].passed
    assert bench.running() == [True]


def test_a_session_that_is_ended_is_opened_anew(bench):
    with bench.kept("one"):
        pass
    bench.sessions.end("one")
    bench.sessions.end("one")
    assert bench.running() == [False]
    with bench.kept("one"):
        pass
    assert len(bench.opened) == 2


def test_an_error_ends_the_session_and_the_next_attempt_opens_another(bench):
    with pytest.raises(SandboxLost), bench.kept("one"):
        raise SandboxLost("gone")
    assert bench.running() == [False]
    with bench.kept("one") as session:
        assert session.execute([RIGHT])[0].passed
    assert bench.running() == [False, True]
