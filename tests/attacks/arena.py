"""The repository that is attacked, and how an attack is run: the body, then a right one, then the faulty one."""

from __future__ import annotations

import textwrap
import time
from dataclasses import dataclass

from runners.runner import Limits, Runner, Session, SuiteRequest, SuiteRun, Target, TestRun

FILES = {
    "attack.py": "def target(x):\n    return x\n",
    "test_attack.py": (
        "from attack import target\n\n\n"
        "def test_it():\n    expected = 2\n    assert target(1) == expected\n\n\n"
        "def test_other():\n    expected = 5\n    assert target(4) == expected\n"
    ),
    "pytest.ini": "[pytest]\n",
    "conftest.py": "",
}
TARGET = Target("attack.py", "target", 1)
NODES = ("test_attack.py::test_it", "test_attack.py::test_other")
LIMITS = Limits(
    suite_timeout_s=30, test_timeout_s=4, execution_timeout_s=2, memory_mib=384, processes=64, file_mib=16, cpus=1.0
)
GRACE_S = 2.0  # by which nothing may outlive its limit
BUSY_S = 8.0  # more of it, for a machine that does other things


@dataclass(frozen=True)
class Attack:
    """A body and what must come of it: one of `outcomes`, and all the `words` in the message of the first test."""

    name: str
    body: str
    outcomes: str
    words: str = ""


def source(body: str) -> bytes:
    """Return the file with `body`, at whatever indentation it was written."""
    return ("def target(x):\n" + textwrap.indent(textwrap.dedent(body).strip("\n"), "    ") + "\n").encode()


RIGHT, FAULTY = source("return x + 1"), source("return x")


class Arena:
    """One runner and one warm session, in which attack follows attack."""

    def __init__(self, runner: Runner, session: Session) -> None:
        self.runner, self.session = runner, session

    def meet(self, attack: Attack) -> TestRun:
        """Run the attack warm; see that it ends in time and that the next two bodies are judged as they deserve."""
        started = time.monotonic()
        run = self.session.execute([source(attack.body)])[0].runs[0]
        took = time.monotonic() - started
        right, faulty = self.session.execute([RIGHT, FAULTY])
        assert run.outcome in attack.outcomes.split(), (run.outcome, run.message)
        assert all(word in run.message for word in attack.words.split()), run.message
        assert took < len(NODES) * LIMITS.execution_timeout_s + GRACE_S + BUSY_S
        assert [r.outcome for r in right.runs] == ["passed", "passed"]
        assert [r.outcome for r in faulty.runs] == ["failed", "failed"]
        return run

    def cold(self, body: str, **options: object) -> SuiteRun:
        """Run the suite cold, with canaries, on the body."""
        request = SuiteRequest(NODES, {TARGET.path: source(body)}, canaries=True, **options)  # type: ignore[arg-type]
        return self.runner.run_suite(request)
