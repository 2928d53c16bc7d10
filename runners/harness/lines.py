"""JSON lines between the harness's own processes."""

from __future__ import annotations

import contextlib
import json
import os
import socket
from collections.abc import Callable, Iterator
from typing import Any

from runners.harness.kept import monotonic, read, write

Message = dict[str, Any]  # one JSON object
Emit = Callable[[Message], None]


def emitter(descriptor: int, nonce: str = "") -> Emit:
    """Return a function that writes one JSON line, whole, to a descriptor; only from the process that made it."""
    owner = os.getpid()

    def emit(frame: Message) -> None:
        if os.getpid() != owner:
            return
        if nonce:
            frame["x"] = nonce
        data = json.dumps(frame, separators=(",", ":")).encode() + b"\n"
        view = memoryview(data)
        while view:
            view = view[write(descriptor, view) :]

    return emit


def send_line(channel: socket.socket, frame: Message) -> None:
    """Write one JSON line, whole."""
    channel.sendall(json.dumps(frame, separators=(",", ":")).encode() + b"\n")


def requests_of(channel: socket.socket) -> Iterator[Message]:
    """Yield what the other end asks until it closes."""
    with channel.makefile("rb") as lines:
        for line in lines:
            yield json.loads(line)


class Line:
    """One end of a zygote's channel, with a deadline."""

    def __init__(self, channel: socket.socket) -> None:
        self.channel, self.buffer = channel, b""

    def send(self, frame: Message) -> None:
        """Write one line; one that is gone shows when nothing is received."""
        self.channel.settimeout(10)
        with contextlib.suppress(OSError):
            send_line(self.channel, frame)

    def receive(self, timeout: float) -> Message | None:
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

    def close(self) -> None:
        self.channel.close()


class Host:
    """The host's end of our stdin and stdout: lines of JSON, and bytes where a request announces them."""

    def __init__(self, source: int, sink: int) -> None:
        self.source, self.sink = source, sink
        self.pending = b""

    def line(self) -> bytes | None:
        """Return the next line; None when the host is gone."""
        while b"\n" not in self.pending:
            data = read(self.source, 1 << 16)
            if not data:
                return None
            self.pending += data
        line, _, self.pending = self.pending.partition(b"\n")
        return line

    def exactly(self, size: int) -> bytes:
        """Return so many bytes; raise EOFError when the host is gone before."""
        parts, left = [self.pending[:size]], size - min(size, len(self.pending))
        self.pending = self.pending[size:]
        while left:
            data = read(self.source, min(left, 1 << 20))
            if not data:
                raise EOFError("the stream of files ended early")
            parts.append(data)
            left -= len(data)
        return b"".join(parts)

    def reply(self, frame: Message) -> None:
        """Write one JSON line."""
        self.reply_raw(json.dumps(frame, separators=(",", ":")).encode())

    def reply_raw(self, data: bytes) -> None:
        """Write one line as it is."""
        view = memoryview(data + b"\n")
        while view:
            view = view[write(self.sink, view) :]
