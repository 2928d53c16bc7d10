"""A function apart: tests in one sandbox, the function's body in another; plain data crosses, through the host.

The tests' process imports the repository with a body that only asks. Code that is being judged never runs where the
tests do: it cannot read what they expect, reach their reports, or hand them an object of its own making (level J5).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from runners.fields import text
from runners.runner import Apart, Limits, RunnerError, SandboxLost

if TYPE_CHECKING:
    from runners.cold import Sandbox, Start

ANSWER_BYTES = 1 << 20
MAX_CALLS = 100_000
_ANSWER = ("v", "s", "e", "n", "p", "why")


class FunctionApart:
    """The sandbox of the function, as the run of the tests uses it. Use as a context manager.

    asked: calls answered so far. unasked: why calls could not cross, each with "arguments" or "result" before it.
    """

    def __init__(self, start: Start, archive: bytes, limits: Limits, apart: Apart) -> None:
        self.asked = 0
        self.unasked: list[str] = []
        self._start, self._archive, self._limits, self._apart = start, archive, limits, apart
        self._sandbox: Sandbox | None = None

    def __enter__(self) -> FunctionApart:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def take(self, frame: Mapping[str, Any]) -> dict[str, Any] | None:
        """Take in one checked report of the tests' process; return the answer to a call, None for anything else."""
        if frame.get("k") == "unasked" and len(self.unasked) < 20:
            what = "result" if frame.get("w") == "result" else "arguments"
            self.unasked.append(f"{what}: {text(frame.get('m'), 300)}")
        if frame.get("k") != "ask":
            return None
        if self.asked >= MAX_CALLS:
            return {"why": f"more than {MAX_CALLS} calls"}
        try:
            answer = self._ask(frame.get("a"))
        except RunnerError as error:
            self._close()
            answer = {"why": error.message}
        self.asked += 1
        return answer

    def _ask(self, arguments: object) -> dict[str, Any]:
        """Return what the function answers, with nothing but the fields that an answer has."""
        patience = 2 * self._limits.test_timeout_s + 20
        if self._sandbox is None:
            self._open()
        assert self._sandbox is not None
        self._sandbox.channel.send({"op": "ask", "a": arguments})
        said = self._sandbox.channel.expect("asked", patience).get("d")
        answer = {key: said[key] for key in _ANSWER if key in said} if isinstance(said, dict) else {"why": "nonsense"}
        place = answer.get("s", 0)
        if isinstance(place, bool) or not isinstance(place, int) or not 0 <= place < _count(arguments):
            return {"why": "nonsense"}
        return answer if len(json.dumps(answer)) <= ANSWER_BYTES else {"why": "an answer of more than a mebibyte"}

    def _open(self) -> None:
        limits = self._limits
        self._sandbox = self._start(None)
        if not self._sandbox.channel.send_files(self._archive):
            raise SandboxLost("The sandbox of the function received an empty repository.")
        self._sandbox.channel.send(
            {
                "op": "apart",
                "path": self._apart.path,
                "qualname": self._apart.qualname,
                "timeout": limits.test_timeout_s,
                "seconds": limits.suite_timeout_s,
                "file_mib": limits.file_mib,
            }
        )
        why = text(self._sandbox.channel.expect("apart", 2 * limits.test_timeout_s + 20).get("why"), 300)
        if why:
            raise SandboxLost(f"The function cannot be served: {why}")

    def _close(self) -> None:
        sandbox, self._sandbox = self._sandbox, None
        if sandbox is not None:
            sandbox.close()


def _count(arguments: object) -> int:
    """Return how many positional arguments a call has, at least 1, so that an answer without place is in order."""
    try:
        return max(len(arguments[1][0][1]), 1)  # type: ignore[index]
    except (TypeError, IndexError, KeyError):
        return 1
