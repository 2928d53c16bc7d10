"""The host's half of the wire: a channel of JSON lines to the harness, which it hands over and greets.

Nothing here knows how the sandbox is made. What frames hold is parsed in `runners.replies` and `runners.comparison`.
"""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Mapping
from typing import Any

from runners.bundling import harness_source
from runners.fields import count, text
from runners.runner import SandboxLost
from runners.streams import Stream

PROTOCOL = 1
MAX_LINE = 24 << 20

BOOTSTRAP = (
    "import os,sys\n"
    "def r(n):\n"
    " b=b''\n"
    " while len(b)<n:\n"
    "  p=os.read(0,n-len(b))\n"
    "  if not p:os._exit(3)\n"
    "  b+=p\n"
    " return b\n"
    "s=r(int.from_bytes(r(4),'big'))\n"
    "sys.path[:]=[p for p in sys.path if p]\n"
    "n={'__name__':'egcfg_harness','__builtins__':__builtins__}\n"
    "exec(compile(s,'<egcfg-harness>','exec'),n)\n"
    "n['serve']()"
)
"""What `python -c` runs: it reads the harness from stdin, so that the sandbox needs no file of ours."""

INTERPRETER_FLAGS = ("-s", "-B", "-c", BOOTSTRAP)

_ANY_PYTHON = (
    'p=$(command -v python || command -v python3) || { echo "no python in this image" >&2; exit 127; }; exec "$p" "$@"'
)
ENTRYPOINT = ("/bin/sh", "-c", _ANY_PYTHON, "sh")
"""What starts an image's interpreter, by whichever name it goes by; its flags follow."""


class Channel:
    """JSON lines to the harness and back, each with a deadline."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._buffer = bytearray()
        self._scanned = 0

    def boot(self, *, root: str, tmp: str, was: str, processes: int = 0, timeout_s: float = 60.0) -> Hello:
        """Hand over the harness and greet it.

        root: the repository's path inside; was: its path outside; processes: a limit to set inside, 0 for none.
        """
        self.send_bytes(harness_source(), timeout_s)
        self.send({"op": "hello", "root": root, "tmp": tmp, "was": was, "processes": processes})
        return Hello(self.expect("hello", timeout_s))

    def send(self, frame: Mapping[str, Any], timeout_s: float = 30.0) -> None:
        self.send_bytes(json.dumps(frame, separators=(",", ":")).encode() + b"\n", timeout_s)

    def send_bytes(self, data: bytes, timeout_s: float) -> None:
        try:
            self._stream.send(data, time.monotonic() + timeout_s)
        except OSError as error:
            raise self._lost("The sandbox stopped listening", error) from error

    def send_files(self, archive: bytes, timeout_s: float = 120.0, *, keep: bool = False) -> int:
        """Send the repository as a tar; return how many entries arrived. keep: put it back after every execution."""
        self.send({"op": "files", "size": len(archive), "keep": keep})
        self.send_bytes(archive, timeout_s)
        return count(self.expect("files", timeout_s).get("count"))

    def receive(self, timeout_s: float) -> dict[str, Any]:
        """Return the next frame; raise SandboxLost when none comes in time or it is no JSON object."""
        end = time.monotonic() + timeout_s
        while (place := self._buffer.find(b"\n", self._scanned)) < 0:
            self._scanned = len(self._buffer)
            if len(self._buffer) > MAX_LINE:
                raise self._lost("The sandbox sent a reply that never ends")
            try:
                data = self._stream.receive(end - time.monotonic())
            except OSError as error:
                raise self._lost("The sandbox is gone", error) from error
            if data is None:
                raise self._lost(f"The sandbox did not answer within {timeout_s:.0f} s")
            if not data:
                raise self._lost("The sandbox ended")
            self._buffer += data
        line = bytes(self._buffer[:place])
        del self._buffer[: place + 1]
        self._scanned = 0
        try:
            frame = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise self._lost("The sandbox answered nonsense", error) from error
        if not isinstance(frame, dict):
            raise self._lost("The sandbox answered nonsense")
        return frame

    def expect(self, kind: str, timeout_s: float) -> dict[str, Any]:
        """Return the next frame, which must be of this kind."""
        frame = self.receive(timeout_s)
        if frame.get("k") == "error":
            raise self._lost(f"The sandbox reports: {text(frame.get('why'), 300)}")
        if frame.get("k") != kind:
            raise self._lost(f"The sandbox answered {text(frame.get('k'), 40)!r} instead of {kind!r}")
        return frame

    def close(self) -> None:
        self._stream.close()

    def _lost(self, what: str, error: BaseException | None = None) -> SandboxLost:
        words = self._stream.last_words()
        detail = "; ".join(part for part in (str(error) if error else "", words) if part)
        return SandboxLost(
            f"{what}{': ' + detail if detail else ''}.", hint="Run again; if it stays, raise the limits."
        )


class Hello:
    """What the harness said about itself."""

    def __init__(self, frame: Mapping[str, Any]) -> None:
        if frame.get("protocol") != PROTOCOL:
            raise SandboxLost("The harness speaks another protocol.", hint="Reinstall egcfg-fix.")
        self.python = text(frame.get("python"), 40)
        self.pytest = text(frame.get("pytest"), 40)
        self.pid = count(frame.get("pid"))
        self.uid = count(frame.get("uid"))
        status = frame.get("status")
        self.status = {text(k, 20): text(v, 40) for k, v in status.items()} if isinstance(status, dict) else {}
        self.denied = frame.get("denied") is True  # whether our own filter of system calls is in force
        limits = frame.get("limits")
        self.limits = {text(k, 20): text(v, 80) for k, v in limits.items()} if isinstance(limits, dict) else {}
        interfaces = frame.get("interfaces")
        self.interfaces = [text(name, 40) for name in interfaces] if isinstance(interfaces, list) else []


def encode(source: bytes) -> str:
    """Return bytes as they travel inside a JSON frame."""
    return base64.b64encode(source).decode("ascii")
