"""Bodies that fake a green result, before each of the judges: the gate, one process (J4), two processes (J5)."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from bot.apart import asking_body
from bot.functions import find_function, splice
from bot.gate import forbidden
from runners.runner import Apart, SuiteRequest, SuiteRun
from tests.attacks.arena import FAULTY, NODES, TARGET, Arena, source

pytestmark = pytest.mark.docker


@dataclass(frozen=True)
class Fake:
    """A body, and what one process says of it: "passes" where no rule about reports can help, else "found out"."""

    name: str
    body: str
    one_process: str


ALWAYS_EQUAL = """
from decimal import Decimal
class AlwaysEqual(Decimal):
    def __eq__(self, other):
        return True
    __hash__ = Decimal.__hash__
return AlwaysEqual(1)
"""
TAKES_PLACES = """
import gc
for thing in gc.get_objects():
    if type(thing).__name__ == "Function" and getattr(thing, "name", "") == "test_other":
        thing.runtest = lambda: None
""" + ALWAYS_EQUAL.strip()
FAKES = (
    Fake("finds the other tests by gc and takes their place", TAKES_PLACES, "passes"),
    Fake("os._exit", "import os\nos._exit(0)", "found out"),
    Fake("pytest.exit", "import pytest\npytest.exit('', returncode=0)", "found out"),
    Fake(
        "prints lines of success",
        "import os\nfor fd in range(3, 30):\n    try:\n        os.write(fd, b'PASSED test_attack.py::test_it\\n')\n"
        "    except OSError:\n        pass\nos._exit(0)",
        "found out",
    ),
    Fake(
        "writes reports to every descriptor",
        """
        import json, os
        for fd in range(3, 30):
            for when in ("setup", "call", "teardown"):
                frame = {"k": "phase", "n": "test_attack.py::test_it", "w": when, "o": "passed"}
                try:
                    os.write(fd, json.dumps(frame).encode() + b"\\n")
                except OSError:
                    pass
        return 0
        """,
        "found out",
    ),
    Fake(
        "replaces the reports of pytest",
        """
        import _pytest.reports
        plain = _pytest.reports.TestReport.from_item_and_call.__func__
        def forged(cls, item, call):
            call.excinfo = None
            return plain(cls, item, call)
        _pytest.reports.TestReport.from_item_and_call = classmethod(forged)
        return 0
        """,
        "found out",
    ),
    Fake(
        "replaces the runner of pytest",
        """
        import _pytest.runner, _pytest.python
        _pytest.python.Function.runtest = lambda self: None
        return 0
        """,
        "found out",
    ),
    Fake(
        "replaces assertions",
        "import builtins\nbuiltins.AssertionError = type('Quiet', (BaseException,), {})\nreturn 0",
        "found out",
    ),
    Fake("equals everything", ALWAYS_EQUAL, "passes"),
    Fake(
        "reads what is expected from the caller",
        "import sys\nframe = sys._getframe(1)\nreturn frame.f_locals.get('expected', x)",
        "passes",
    ),
    Fake(
        "reads the test's source",
        r"""
        import re
        text = open("test_attack.py").read()
        found = re.findall(r"expected = (\d+)\n +assert target\((\d)", text)
        return {int(given): int(expected) for expected, given in found}[x]
        """,
        "passes",
    ),
    Fake("leaves at exit with success", "import atexit, os\natexit.register(os._exit, 0)\nreturn 0", "found out"),
)


def apart(arena: Arena, content: bytes) -> SuiteRun:
    function = find_function(FAULTY, "target", 1)
    assert function is not None
    asking = splice(FAULTY, function, asking_body(function))
    files = {TARGET.path: content, "test_attack.py": b"", "conftest.py": b""}
    request = SuiteRequest(NODES, {TARGET.path: asking}, canaries=True, apart=Apart(TARGET.path, "target", files))
    return arena.runner.run_suite(request)


def green(suite: SuiteRun) -> bool:
    runs = suite.by_id()
    return not suite.tampered and suite.complete and all(runs[node].outcome == "passed" for node in NODES)


def test_a_right_body_passes_every_judge_and_the_faulty_one_fails(docker_arena: Arena) -> None:
    assert green(docker_arena.cold("return x + 1"))
    assert not green(docker_arena.cold("return x"))
    suite = apart(docker_arena, source("return x + 1"))
    assert green(suite)
    assert suite.asked == 2
    assert not green(apart(docker_arena, FAULTY))


@pytest.mark.parametrize("fake", FAKES, ids=lambda fake: fake.name)
def test_a_fake_is_refused_by_the_gate_and_found_out_apart_from_its_tests(docker_arena: Arena, fake: Fake) -> None:
    function = find_function(FAULTY, "target", 1)
    assert function is not None
    content = source(fake.body)
    written = find_function(content, "target", 1)
    assert written is not None
    assert forbidden(function, FAULTY, written.body)
    assert green(docker_arena.cold(fake.body)) is (fake.one_process == "passes")
    assert not green(apart(docker_arena, content))
