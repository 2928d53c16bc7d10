"""One call of the command, as whoever tells of it knows it: its result, or what went wrong and with which exit status.

Progress and errors go to standard error, the result to standard output; with --json that is exactly one document.
"""

from __future__ import annotations

import contextlib
import errno
import importlib
import os
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import click

from bot.config import Config
from bot.errors import EXIT_ENVIRONMENT, EXIT_INTERRUPTED, EXIT_USAGE, EgcfgError, exit_code_of
from bot.json_documents import dumps, error_document
from bot.markup import printable
from bot.records import Discovery, Emit, Repair
from runners.runner import RunnerError

if TYPE_CHECKING:
    from bot.pipeline import Group, Outcome
    from bot.recorded import Earlier

FULL_DISK = (errno.ENOSPC, errno.EDQUOT)


class Pipeline(Protocol):
    """What the command needs of `bot.pipeline`."""

    def find(self, root: Path, config: Config, emit: Emit) -> tuple[Discovery, list[Group]]: ...

    def repair(self, root: Path, config: Config, emit: Emit, *, earlier: Earlier | None = None) -> Outcome: ...

    def combined(self, repairs: Sequence[Repair]) -> Mapping[str, bytes]: ...


@dataclass(slots=True)
class Invocation:
    """What one call knows: for the commands, and for whoever reports that they failed."""

    given_pipeline: Pipeline | None = None  # stands in for `bot.pipeline`
    json: bool = False
    verbosity: int = 0
    log: str = ""  # the journal, once there is one
    changed: str = ""  # what was done to the repository, once it was

    @property
    def pipeline(self) -> Pipeline:
        return self.given_pipeline or importlib.import_module("bot.pipeline")


def show(
    call: Invocation, document: Callable[[], Mapping[str, Any]], view: Callable[[Any], None], advice: Sequence[str]
) -> None:
    """Write the result to standard output; a reader that has gone away is no failure."""
    from bot import terminal

    try:
        if call.json:
            click.echo(dumps(document()))
        else:
            view(terminal.console(sys.stdout, os.environ))
            for line in advice:
                click.echo(printable(line))
        sys.stdout.flush()
    except (BrokenPipeError, SystemExit):  # rich turns the one into the other
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def failed(call: Invocation, error: BaseException) -> int:
    """Say why the call ends without a result; return its exit status."""
    if isinstance(error, (click.Abort, KeyboardInterrupt)):
        said = f"Interrupted; {call.changed or 'the repository is as it was'}."
        return _said(call, "Interrupted", said, "", EXIT_INTERRUPTED)
    if isinstance(error, click.ClickException):
        return _misused(call, error)
    if isinstance(error, (EgcfgError, RunnerError)):
        return _said(call, type(error).__name__, error.message, error.hint, exit_code_of(error))
    return _broken(call, error)


def _misused(call: Invocation, error: click.ClickException) -> int:
    if call.json:
        return _said(call, "UsageError", error.format_message(), "egcfg-fix --help lists the options.", EXIT_USAGE)
    error.show()
    return EXIT_USAGE


def _broken(call: Invocation, error: BaseException) -> int:
    """Report an exception nobody foresaw: the world's, if the disk is full, else ours."""
    if isinstance(error, OSError) and error.errno in FULL_DISK:
        where = os.fsdecode(error.filename) if error.filename else "the disk"
        hint = "Free some space; TMPDIR says where the sandbox's copies go."
        return _said(call, "DiskFull", f"No space is left on the device ({where}).", hint, EXIT_ENVIRONMENT)
    if call.verbosity > 0:
        traceback.print_exception(error)
    if isinstance(error, OSError) and error.filename and error.strerror:
        said = f"{os.fsdecode(error.filename)}: {error.strerror}."
        return _said(call, type(error).__name__, said, "Check that it exists and may be used.", EXIT_ENVIRONMENT)
    said = f"egcfg-fix itself failed: {type(error).__name__}: {error}"
    hint = "Please report it, with that log." if call.log else "-v shows where."
    return _said(call, type(error).__name__, said, hint, EXIT_ENVIRONMENT)


def _said(call: Invocation, name: str, message: str, hint: str, code: int) -> int:
    with contextlib.suppress(OSError):
        click.echo(printable(f"Error: {message}" if code != EXIT_INTERRUPTED else message), err=True)
        if hint:
            click.echo(printable(f"  {hint}"), err=True)
        if call.log:
            click.echo(printable(f"  Log: {call.log}"), err=True)
        if call.json:
            click.echo(dumps(error_document(name, message, hint, exit_code=code, log=call.log)))
    return code
