"""One build under way: its time, its output without secrets, and what a person is told of it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from runners.environment import failure
from runners.environment.image_store import short_strings
from runners.environment.plan import EVERYTHING, Plan
from runners.environment.wanted import Supply
from runners.runner import EnvironmentFailed

_LOG_KEPT = 400_000  # characters, for the explanation of a failure

Progress = Callable[[str], None]


def silent(_text: str) -> None:
    """Tell nobody."""


class BuildLog:
    """The output of a build, without secrets: all of it in a file, the end of a stage's in memory."""

    def __init__(self, folder: Path, supply: Supply) -> None:
        self._supply = supply
        self.text = ""
        self.path = ""
        self._folder = folder

    def begin(self, stage: str) -> None:
        """Start the text of another stage, so that its failure is not explained by what came before."""
        self.write(f"== {stage}\n")
        self.text = ""

    def write(self, text: str) -> None:
        """Add output. A log that cannot be written is no reason to stop."""
        text = self._supply.masked(text)
        self.text = (self.text + text)[-_LOG_KEPT:]
        with suppress(OSError):
            if not self.path:
                self._folder.mkdir(parents=True, exist_ok=True)
                self.path = str(self._folder / f"{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.log")
            with open(self.path, "a", encoding="utf-8") as file:
                file.write(text)


def log_folder(environment: Mapping[str, str]) -> Path:
    """Return the folder for the logs of builds."""
    state = environment.get("XDG_STATE_HOME") or os.path.join(environment.get("HOME") or "/nonexistent", ".local/state")
    return Path(state, "egcfg-fix", "builds")


class Build:
    """A build under way."""

    def __init__(self, supply: Supply, timeout_s: float, progress: Progress) -> None:
        """progress: is told what is done, in a few words."""
        self.supply, self.timeout_s, self.progress = supply, timeout_s, progress
        self.log = BuildLog(log_folder(os.environ), supply)
        self._start = time.monotonic()

    @property
    def seconds(self) -> float:
        """How long it has taken so far."""
        return time.monotonic() - self._start

    @property
    def left(self) -> float:
        """The seconds that are left; not positive when the time is up."""
        return self.timeout_s - self.seconds

    def failed(self, name: str, plan: Plan | None, python: str, said: str = "") -> EnvironmentFailed:
        """Return what is told of a stage that failed. said: what ended it, beside its output."""
        cause = failure.explain(self.log.text + said, python=python, wanted=plan.version if plan else "")
        likely = f" Likely cause: {cause.text}." if cause.text else ""
        tail = failure.tail(self.log.text)
        lines = f"\n{tail}" if tail else ""
        detail = f" {self.supply.masked(said)}" if said else ""
        where = f" The whole log is {self.log.path}." if self.log.path else ""
        return EnvironmentFailed(
            f"The environment for the tests could not be built ({name}).{likely}{detail}{lines}",
            hint=f"{cause.hint}{where}",
            cause=cause.name,
        )

    def timed_out(self, name: str) -> EnvironmentFailed:
        """Return what is told of a stage that the time ran out on."""
        where = f" The log so far is {self.log.path}." if self.log.path else ""
        return EnvironmentFailed(
            f"The environment for the tests was not built within {self.timeout_s:.0f} s ({name}).",
            hint=f"Allow more with --build-timeout, or give an image that has the packages with --image.{where}",
            cause="timeout",
        )

    def remarks(self, reply: Mapping[str, Any]) -> Iterator[str]:
        """Yield what a person is told of a stage that succeeded, from its last reply."""
        attempt = reply.get("attempt")
        if isinstance(attempt, str) and attempt != EVERYTHING:
            yield f"Not everything could be installed together; installed was {attempt[:200]}."
        for line in short_strings(reply.get("dropped")):
            yield f"{self.supply.masked(line)} could not be installed and was left out."
        if reply.get("backend") is False:
            yield "The build back end could not be installed, so the project is on the path but not installed."
        if reply.get("project") is False:
            cause = failure.explain(self.log.text)
            why = f" Likely cause: {cause.text}." if cause.text else ""
            yield f"The project itself could not be installed in place; its modules are found all the same.{why}"
        for folder in short_strings(reply.get("lost")):
            yield f"{folder}, on which the project depends, could not be installed."
