"""A run under way: its journal, its terminal, its interruption."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bot import __version__, git, terminal
from bot.config import Config
from bot.interruption import interruptible
from bot.invocation import Invocation, Pipeline
from bot.journal import Fanout, Journal, read
from bot.precedence import in_ci
from bot.records import Emit
from bot.report import Run


@dataclass(frozen=True, slots=True)
class Running:
    """One run of a command on a repository. changed: its files with uncommitted changes, where they matter."""

    root: Path
    config: Config
    pipeline: Pipeline
    journal: Journal
    terminal: terminal.Terminal
    emit: Emit
    command: str
    commit: str
    changed: Sequence[str]

    def about(self, written: Mapping[str, str]) -> Run:
        """Return what a report tells of the run; written: what was written where."""
        folder, records = str(self.journal.folder), read(self.journal.path)
        return Run(folder, self.command, self.commit, tuple(self.changed), dict(written), records)


@contextmanager
def running(
    call: Invocation,
    command: str,
    root: Path,
    config: Config,
    changed: Sequence[str] = (),
    *,
    hide: Sequence[str] = (),
) -> Iterator[Running]:
    """Open the journal and the terminal of a run, and let a signal end it in good order."""
    commit = git.head(root)
    with Journal.create(root, os.environ) as journal, interruptible():
        call.log = str(journal.path)
        console = terminal.console(sys.stderr, os.environ)
        view = terminal.Terminal(console, verbosity=call.verbosity, hide=hide, in_ci=in_ci(os.environ))
        emit = Fanout(journal, view)
        arguments = shlex.join(["egcfg-fix", command, *config.arguments()])
        journal("run", command=arguments, version=__version__, commit=commit, dirty=list(changed))
        if journal.elsewhere:
            emit("note", text=f"{journal.elsewhere}. The files of this run are in {journal.folder}.")
        if changed:
            emit("note", text=f"Uncommitted changes in {_some(changed)}.")
        yield Running(root, config, call.pipeline, journal, view, emit, arguments, commit, changed)


def _some(paths: Sequence[str]) -> str:
    return ", ".join(paths[:5]) + (f" and {len(paths) - 5} more files" if len(paths) > 5 else "")
