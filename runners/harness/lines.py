"""JSON lines between the harness's own processes."""

# mypy: ignore-errors

from __future__ import annotations

import contextlib
import json
import os

from runners.harness.kept import monotonic, write


def emitter(descriptor, nonce=""):
    """Return a function that writes one JSON line, whole, to a descriptor; only from the process that made it."""
    owner = os.getpid()

    def emit(frame):
        if os.getpid() != owner:
            return
        if nonce:
            frame["x"] = nonce
        data = json.dumps(frame, separators=(",", ":")).encode() + b"\n"
        view = memoryview(data)
        while view:
            view = view[write(descriptor, view) :]

    return emit


def send_line(channel, frame):
    channel.sendall(json.dumps(frame, separators=(",", ":")).encode() + b"\n")


def requests_of(channel):
    with channel.makefile("rb") as lines:
        for line in lines:
            yield json.loads(line)


class Line:
    """One end of a zygote's channel, with a deadline."""

    def __init__(self, channel):
        self.channel, self.buffer = channel, b""

    def send(self, frame):
        self.channel.settimeout(10)
        with contextlib.suppress(OSError):
            send_line(self.channel, frame)

    def receive(self, timeout):
        """Return the next frame, or None when the zygote is gone, silent or talks nonsense."""
        end = monotonic() + timeout
        while b"\n" not in self.buffer:
            left = end - monotonic()
            if left <= 0 or len(self.buffer) > 16 << 20:
                return None
            self.channel.settimeout(left)
            try:
                data = self.channel.recv(1 << 16)
            except OSError:
                return None
            if not data:
                return None
            self.buffer += data
        line, _, self.buffer = self.buffer.partition(b"\n")
        try:
            frame = json.loads(line)
        except ValueError:
            return None
        return frame if isinstance(frame, dict) else None

    def close(self):
        self.channel.close()
