"""A child as its parent sees it: lines until it ends, is too slow, or talks too much."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
from collections.abc import Callable, Iterator

from runners.harness.kept import kill, monotonic, read, sleep, write
from runners.harness.lines import Message

FRAME_BYTES = 1 << 20  # one line of a child
STREAM_BYTES = 256 << 20  # all lines of a child


def _status(status: int) -> int:
    return -(status & 0x7F) if status & 0x7F else status >> 8


class Child:
    """A child as its parent sees it: lines until it ends, is too slow, or talks too much."""

    def __init__(self, pid: int, descriptor: int, ear: int = -1) -> None:
        self.pid, self.descriptor, self.buffer, self.total = pid, descriptor, b"", 0
        self.ear = ear  # where a child that waits for its request listens
        self.why, self.code, self.reaped, self.ended = "", 0, False, False
        self.pidfd = -1
        with contextlib.suppress(OSError, AttributeError):  # neither Python 3.8's nor every sandbox's kernel has it
            self.pidfd = os.pidfd_open(pid)
        os.set_blocking(descriptor, False)

    def tell(self, request: Message, end: float) -> bool:
        """Give a waiting child its request. Returns False when it is dead or does not read until `end`."""
        view = memoryview(json.dumps(request, separators=(",", ":")).encode() + b"\n")
        os.set_blocking(self.ear, False)
        try:
            while view:
                if not select.select([], [self.ear], [], max(end - monotonic(), 0))[1]:
                    return False
                view = view[write(self.ear, view[:4096]) :]
        except OSError:
            return False
        return True

    def lines(self, deadline: Callable[[], float]) -> Iterator[bytes]:
        """Yield lines; `deadline` is called for the moment to give up. Afterwards `why` says how it ended."""
        poller = select.poll()
        poller.register(self.descriptor, select.POLLIN)
        if self.pidfd >= 0:
            poller.register(self.pidfd, select.POLLIN)
        while not self.why:
            left = deadline() - monotonic()
            if left <= 0:
                self.why = "timeout"
                return
            ready = {fd for fd, _ in poller.poll(min(left, 60 if self.pidfd >= 0 else 0.05) * 1000 + 1)}
            if self.descriptor in ready:
                yield from self._take()
            elif self.pidfd in ready or self.pidfd < 0:
                self._check()
        while self._more():
            yield from self._take()

    def _more(self) -> bool:
        open_still = self.why == "exited" and self.buffer != b"\0"
        return open_still and bool(select.select([self.descriptor], [], [], 0)[0])

    def _take(self) -> Iterator[bytes]:
        try:
            data = read(self.descriptor, 1 << 16)
        except BlockingIOError:
            return
        if not data:
            self._check(wait=True)
            self.buffer = b"\0"
            return
        self.total += len(data)
        self.buffer += data
        *lines, self.buffer = self.buffer.split(b"\n")
        if len(self.buffer) > FRAME_BYTES or self.total > STREAM_BYTES or any(len(x) > FRAME_BYTES for x in lines):
            self.why = "flood"
            return
        yield from lines

    def _check(self, wait: bool = False) -> None:
        """See whether the child has ended. A closed pipe with a live child is given a second."""
        end = monotonic() + 1.0
        while not self.why:
            try:
                pid, status = os.waitpid(self.pid, os.WNOHANG)
            except OSError:
                pid, status = self.pid, 0
            if pid:
                self.why, self.code, self.reaped = "exited", _status(status), True
            elif not wait or monotonic() > end:
                self.why = "timeout" if wait else ""
                return
            else:
                sleep(0.001)

    def end(self) -> None:
        """Kill what is left of the child and its group. A second call does nothing."""
        if self.ended:
            return
        self.ended = True
        with contextlib.suppress(OSError):
            os.killpg(self.pid, signal.SIGKILL)
        with contextlib.suppress(OSError):
            kill(self.pid, signal.SIGKILL)
        if not self.reaped:
            with contextlib.suppress(OSError):
                self.code = _status(os.waitpid(self.pid, 0)[1])
        for descriptor in (self.descriptor, self.pidfd, self.ear):
            if descriptor >= 0:
                os.close(descriptor)
