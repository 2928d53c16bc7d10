"""The attacks that bubblewrap alone has to stand, without Docker: signals, neighbours, system calls, the outside."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from runners.local import LocalRunner, bubblewrap_works
from tests.attacks.arena import LIMITS, NODES, TARGET, Arena, Attack
from tests.attacks.test_processes import OUTSIDE, SIGNALS

pytestmark = pytest.mark.skipif(not bubblewrap_works(), reason="bubblewrap does not work here")

ELSEWHERE = {  # of Docker's containers only, or of another runner's walls
    *(
        "the gateway",
        "control groups",
        "release agent",
        "the password file",
        "Docker's socket",
        "kcore",
        "sysrq",
        "the server's descriptors",
    ),
    *("stops itself", "ignores every signal", "an alarm that has no handler", "mknod"),  # slow, or the same
}
ATTACKS = tuple(attack for attack in (*SIGNALS, *OUTSIDE) if attack.name not in ELSEWHERE)


@pytest.fixture(scope="module")
def arena(attacked_root: Path) -> Iterator[Arena]:
    with (
        LocalRunner(attacked_root, LIMITS, python=sys.executable) as runner,
        runner.open_session(TARGET, NODES) as session,
    ):
        yield Arena(runner, session)


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_bubblewrap_stands_it_too(arena: Arena, attack: Attack) -> None:
    arena.meet(attack)


def test_nothing_that_the_kernel_shows_can_be_written_even_when_root_runs_the_sandbox(arena: Arena) -> None:
    look = """
    import os
    found = []
    for folder, folders, names in os.walk('/proc'):
        folders[:] = [name for name in folders if not (folder == '/proc' and name.isdigit()) and name != 'self']
        folders[:] = [name for name in folders if name != 'thread-self']
        for name in names:
            path = os.path.join(folder, name)
            try:
                os.close(os.open(path, os.O_WRONLY | os.O_NONBLOCK))
                found.append(path)
            except OSError:
                pass
    raise ValueError(found[:20], len(found))
    """
    assert "([], 0)" in arena.meet(Attack("looks for what can be written", look, "failed")).message


def test_a_body_that_looks_at_every_process_is_no_forger(arena: Arena) -> None:
    """Listing descriptors, the harness's too, is odd; it changes no report."""
    look = """
    import os
    for name in os.listdir('/proc'):
        for part in ('fd', 'task', 'environ', 'status'):
            try:
                path = f'/proc/{name}/{part}'
                os.listdir(path) if part in ('fd', 'task') else open(path, 'rb').read()
            except OSError:
                pass
    return x + 1
    """
    suite = arena.cold(look)
    assert suite.tampered == ""
    assert [test.outcome for test in suite.tests] == ["passed", "passed"]
