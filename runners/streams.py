"""Bytes to and from a sandbox, over the pipes of a process or Docker's attach socket; none is understood here."""

from __future__ import annotations

import os
import select
import socket
import subprocess
import time
from collections.abc import Callable
from typing import Protocol


class Stream(Protocol):
    """Bytes to and from a sandbox."""

    def send(self, data: bytes, deadline: float) -> None:
        """Write everything, or raise OSError, TimeoutError included."""
        ...

    def receive(self, timeout_s: float) -> bytes | None:
        """Return some bytes, b"" at the end, None when nothing came in time."""
        ...

    def last_words(self) -> str:
        """Return why the sandbox ended, as far as it can be known."""
        ...

    def close(self) -> None: ...


class ProcessStream:
    """A stream over the pipes of a process; closing it kills the process and its group."""

    def __init__(self, process: subprocess.Popen[bytes], ended: Callable[[], None] | None = None) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._process = process
        self._ended = ended
        self._to, self._from = process.stdin.fileno(), process.stdout.fileno()
        os.set_blocking(self._to, False)

    def send(self, data: bytes, deadline: float) -> None:
        view = memoryview(data)
        while view:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([], [self._to], [], left)[1]:
                raise TimeoutError("the sandbox does not read")
            view = view[os.write(self._to, view[: 1 << 16]) :]

    def receive(self, timeout_s: float) -> bytes | None:
        if not select.select([self._from], [], [], max(timeout_s, 0))[0]:
            return None
        return os.read(self._from, 1 << 18)

    def last_words(self) -> str:
        stderr = self._process.stderr
        if stderr is None:
            return ""
        os.set_blocking(stderr.fileno(), False)
        try:
            said = stderr.read(4000) or b""
        except OSError:
            said = b""
        return said.decode("utf-8", "replace").strip()[-500:]

    def close(self) -> None:
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            if pipe is not None:
                try:
                    pipe.close()
                except OSError:
                    continue
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        if self._ended is not None:
            self._ended()


class SocketStream:
    """A stream over Docker's attach socket: 8-byte headers name the stream and the length of each piece."""

    def __init__(self, connection: socket.socket, ended: Callable[[], str], close: Callable[[], None]) -> None:
        self._socket, self._ended, self._close = connection, ended, close
        self._raw = b""
        self._errors = b""

    def send(self, data: bytes, deadline: float) -> None:
        self._socket.settimeout(max(deadline - time.monotonic(), 0.01))
        self._socket.sendall(data)

    def receive(self, timeout_s: float) -> bytes | None:
        end = time.monotonic() + timeout_s
        while True:
            while len(self._raw) >= 8 and len(self._raw) >= 8 + (size := int.from_bytes(self._raw[4:8], "big")):
                kind, piece = self._raw[0], self._raw[8 : 8 + size]
                self._raw = self._raw[8 + size :]
                if kind == 1:
                    return piece
                self._errors = (self._errors + piece)[-4000:]
            left = end - time.monotonic()
            if left <= 0:
                return None
            self._socket.settimeout(left)
            try:
                data = self._socket.recv(1 << 18)
            except TimeoutError:
                return None
            if not data:
                return b""
            self._raw += data

    def last_words(self) -> str:
        said = self._errors.decode("utf-8", "replace").strip()[-500:]
        return "; ".join(part for part in (self._ended(), said) if part)

    def close(self) -> None:
        self._socket.close()
        self._close()
