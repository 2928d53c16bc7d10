"""A Docker Engine that can go away, be slow or refuse: a proxy in front of the real one's socket."""

from __future__ import annotations

import json
import os
import select
import socket
import threading
from collections.abc import Callable
from pathlib import Path

REAL = (os.environ.get("DOCKER_HOST") or "unix:///var/run/docker.sock").removeprefix("unix://")


class Engine:
    """Passes every byte on until it is told otherwise. Use as a context manager.

    refusals: start of a request's first line -> the message with which it is refused. started: told of each request.
    """

    def __init__(self, path: Path) -> None:
        self.host = f"unix://{path}"
        self.refusals: dict[bytes, str] = {}
        self.silent = threading.Event()
        self.requests: list[bytes] = []
        self.on_request: Callable[[bytes], None] = lambda line: None
        self._path = path
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen(16)
        self._gone = threading.Event()
        self._threads = [threading.Thread(target=self._accept, daemon=True)]

    def __enter__(self) -> Engine:
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        self.die()
        for thread in self._threads:
            thread.join(10)

    def die(self) -> None:
        """Close every connection and listen no more."""
        if self._gone.is_set():
            return
        self._gone.set()
        self._path.unlink(missing_ok=True)
        with self._lock:
            for end in self._open:
                try:
                    end.shutdown(socket.SHUT_RDWR)
                except OSError:
                    continue

    def _accept(self) -> None:
        with self._listener:
            while not self._gone.is_set():
                if not select.select([self._listener], [], [], 0.1)[0]:
                    continue
                client, _ = self._listener.accept()
                thread = threading.Thread(target=self._serve, args=(client,), daemon=True)
                self._threads.append(thread)
                thread.start()

    def _serve(self, client: socket.socket) -> None:
        with client, socket.socket(socket.AF_UNIX) as engine:
            engine.connect(REAL)
            with self._lock:
                self._open |= {client, engine}
            try:
                self._pass_on(client, engine)
            except OSError:
                pass
            finally:
                with self._lock:
                    self._open -= {client, engine}

    def _pass_on(self, client: socket.socket, engine: socket.socket) -> None:
        ends = {client: engine, engine: client}
        while not self._gone.is_set() and ends:
            for end in select.select(list(ends), [], [], 0.1)[0]:
                data = end.recv(1 << 16)
                if not data:
                    ends.pop(end).shutdown(socket.SHUT_WR)
                    continue
                if end is client and self._answered(client, data):
                    return
                ends[end].sendall(data)

    def _answered(self, client: socket.socket, data: bytes) -> bool:
        """Answer a request in the engine's place, or keep it waiting; True when it is not to be passed on."""
        line = data.split(b"\r\n", 1)[0]
        if not line.endswith(b"HTTP/1.1"):
            return False
        self.requests.append(line)
        self.on_request(line)
        if self.silent.is_set():
            self._gone.wait()
            return True
        for start, message in self.refusals.items():
            if start in line:
                body = json.dumps({"message": message}).encode()
                head = b"HTTP/1.1 500 Internal Server Error\r\nContent-Type: application/json\r\n"
                client.sendall(head + b"Content-Length: %d\r\nConnection: close\r\n\r\n" % len(body) + body)
                return True
        return False
