"""Sandboxes that stay open between two attempts at the same function: to open one takes seconds of a search."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from runners.runner import Session

MOST = 3  # that stay open; each holds a few processes with the repository loaded


class Sessions:
    """The sessions of one search, by what tells two of them apart. Those that are opened first stay open."""

    def __init__(self) -> None:
        self._open: dict[str, tuple[Session, ExitStack]] = {}

    @contextmanager
    def kept(self, key: str, opened: Callable[[], Session]) -> Iterator[Session]:
        """Yield the session of this key, `opened` if none is. An error ends it, and `MOST` that are open do."""
        session, ending = self._open.pop(key) if key in self._open else self._entered(opened)
        with ending:
            try:
                yield session
            except GeneratorExit:  # no more of its results are wanted
                self._keep(key, session, ending)
                raise
            self._keep(key, session, ending)

    def end(self, key: str) -> None:
        """End the session of this key, if it is open."""
        if key in self._open:
            self._open.pop(key)[1].close()

    def close(self) -> None:
        """End them all."""
        while self._open:
            self._open.popitem()[1][1].close()

    def _entered(self, opened: Callable[[], Session]) -> tuple[Session, ExitStack]:
        ending = ExitStack()
        return ending.enter_context(opened()), ending

    def _keep(self, key: str, session: Session, ending: ExitStack) -> None:
        if len(self._open) < MOST:
            self._open[key] = (session, ending.pop_all())
