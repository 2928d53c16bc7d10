"""The journal: every record of a run as one line of journal.jsonl, in a folder of its own.

A line is written by one system call, so that a crash leaves whole lines; a reader that meets a cut last line drops it.
Every journal ends with an "end" record that says why. It holds what the stages emit and nothing else: environment
variables are never recorded, and credentials inside URLs are masked.

The folder is `.egcfg-fix/runs/<id>` in the repository. The repository is hostile, so a link in that place is never
followed; then, and where the checkout is read-only, the folder lies in the user's state directory instead.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import secrets
import tempfile
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any

from bot.errors import EgcfgError, RepositoryError
from bot.records import Emit, to_json

SCHEMA = 1
FOLDER = ".egcfg-fix"
FILE = "journal.jsonl"
LONGEST = 64 * 1024  # characters of one string
CREDENTIALS = re.compile(r"(?<=://)[^/\s@]+@")

EXACT = ("body", "diff")  # kept to the letter, so that a patch can be taken from the journal

Clock = Callable[[], datetime]


def now() -> datetime:
    return datetime.now(UTC)


class Journal:
    """Writes the records of one run; an `Emit`. Use as a context manager, or call `close`.

    path: the journal. elsewhere: why the folder does not lie in the repository, for people, or "".
    """

    def __init__(self, folder: Path, *, clock: Clock = now, elsewhere: str = "") -> None:
        self.folder = folder
        self.path = folder / FILE
        self.elsewhere = elsewhere
        self._clock = clock
        self._lock = threading.Lock()
        self._seq = 0
        self._ended = False
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0)
        self._file = os.open(self.path, flags, 0o600)

    @classmethod
    def create(cls, root: Path, environment: Mapping[str, str], *, clock: Clock = now) -> Journal:
        """Start a journal for a run on `root`; the environment only says where the user's state directory is.

        Raises EgcfgError when no folder anywhere can be written.
        """
        name = f"{clock():%Y%m%dT%H%M%S.%fZ}-{secrets.token_hex(3)}"  # sorted by name, two of one second too
        reason = ""
        for parent in _places(root, environment):
            try:
                return cls(_new_folder(parent, name, inside=root), clock=clock, elsewhere=reason)
            except OSError as error:
                reason = reason or f"{parent} cannot be used: {error.strerror or error}"
        try:
            folder = Path(tempfile.mkdtemp(prefix="egcfg-fix-")) / name
            folder.mkdir()
            return cls(folder, clock=clock, elsewhere=reason)
        except OSError as error:
            raise EgcfgError(
                f"No folder for this run can be written: {reason}, and no temporary one: {error.strerror or error}.",
                hint="Free some space, or let XDG_STATE_HOME or TMPDIR name a folder that can be written.",
            ) from error

    def __call__(self, event: str, **fields: Any) -> None:
        with self._lock:
            self._write(event, fields)

    def close(self, reason: str = "done", **fields: Any) -> None:
        """Write the closing record, unless a stage has, and close the file. A second call does nothing."""
        with self._lock:
            if self._file < 0:
                return
            try:
                if not self._ended:
                    self._write("end", {"reason": reason, **fields})
            finally:
                os.close(self._file)
                self._file = -1

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        with suppress(OSError):  # a full disk is reported by the error that is on its way
            ours = error is None or isinstance(error, KeyboardInterrupt) or hasattr(error, "hint")
            self.close(_reason(error), **({} if ours else {"traceback": "".join(traceback.format_exception(error))}))

    def _write(self, event: str, fields: Mapping[str, Any]) -> None:
        if self._file < 0:
            return
        record = {"schema": SCHEMA, "seq": self._seq, "time": self._clock().isoformat(timespec="milliseconds")}
        taken = {**record, "event": event}
        body = {(f"{key}_" if key in taken else key): _cut(to_json(value)) for key, value in fields.items()}
        line = json.dumps({**taken, **body}, default=_shown, allow_nan=False).encode() + b"\n"
        start = os.fstat(self._file).st_size
        written = os.write(self._file, line)
        if written < len(line):  # a full disk: take the half line back
            with suppress(OSError):
                os.ftruncate(self._file, start)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.path))
        self._seq += 1
        self._ended = self._ended or event == "end"


def _reason(error: BaseException | None) -> str:
    if error is None:
        return "done"
    return "interrupted" if isinstance(error, KeyboardInterrupt) else f"error: {type(error).__name__}: {error}"


class Fanout:
    """An `Emit` that passes each event to several others, in order."""

    def __init__(self, *sinks: Emit) -> None:
        self._sinks = sinks

    def __call__(self, event: str, **fields: Any) -> None:
        for sink in self._sinks:
            sink(event, **fields)


def read(path: Path) -> list[dict[str, Any]]:
    """Return the records of a journal. A cut last line is dropped; a broken line before it raises ValueError."""
    return list(_records(path.read_bytes()))


LAST = "last"


def find_run(root: Path, environment: Mapping[str, str], name: str) -> Path:
    """Return the folder of an earlier run on `root`: a path, the name of a folder, or "last" for the newest.

    Raises RepositoryError when there is none, with those there are.
    """
    found = {
        folder.name: folder
        for parent in _places(root, environment)
        if parent.is_dir() and not parent.is_symlink()
        for folder in parent.iterdir()
        if (folder / FILE).is_file() and not (folder / FILE).is_symlink()
    }
    given = Path(name)
    if given.name != name and (given / FILE).is_file():
        return given
    chosen = max(found, default="") if name == LAST else name
    if chosen in found:
        return found[chosen]
    known = ", ".join(sorted(found)[-3:])
    raise RepositoryError(
        f"There is no earlier run {name} of {root}." if name != LAST else f"There is no earlier run of {root}.",
        hint=f"The newest are {known}." if known else "A run leaves its folder in .egcfg-fix/runs.",
    )


def _records(data: bytes) -> Iterator[dict[str, Any]]:
    *lines, tail = data.split(b"\n")  # what follows the last newline is a line that was never finished
    del tail
    for number, line in enumerate(lines, 1):
        try:
            record = json.loads(line)
        except ValueError as error:
            raise ValueError(f"line {number} is not a record: {error}") from None
        if not isinstance(record, dict) or record.get("schema") != SCHEMA:
            raise ValueError(f"line {number} is not a record of schema {SCHEMA}")
        yield record


def _places(root: Path, environment: Mapping[str, str]) -> Iterator[Path]:
    """Yield the folders that may hold the runs on `root`, best first."""
    yield root / FOLDER / "runs"
    state = environment.get("XDG_STATE_HOME", "")
    home = environment.get("HOME", "")
    base = Path(state) if os.path.isabs(state) else Path(home, ".local", "state") if os.path.isabs(home) else None
    if base is not None:
        digest = hashlib.sha256(os.fsencode(root.resolve())).hexdigest()[:10]
        yield base / "egcfg-fix" / "runs" / f"{root.resolve().name or 'root'}-{digest}"


def _new_folder(parent: Path, name: str, *, inside: Path) -> Path:
    """Make and return `parent`/`name`. Below `inside`, each part must be a real folder: links are refused."""
    if parent.is_relative_to(inside):
        current = inside
        for part in parent.relative_to(inside).parts:
            current = current / part
            with suppress(FileExistsError):
                current.mkdir()
            if current.is_symlink() or not current.is_dir():
                raise NotADirectoryError(errno.ENOTDIR, "it is a link or no folder", str(current))
        _ignore(inside / FOLDER)
    else:
        parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    folder = parent / name
    folder.mkdir(mode=0o700)
    return folder


def _ignore(folder: Path) -> None:
    """Keep the folder out of the user's `git status`."""
    with suppress(FileExistsError):
        file = os.open(folder / ".gitignore", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        with os.fdopen(file, "wb") as stream:
            stream.write(b"*\n")


def _cut(value: Any) -> Any:
    """Return JSON-able data with long strings cut, URL credentials masked and no number that JSON lacks."""
    if isinstance(value, str):
        masked = masked_urls(value)
        if len(masked) <= LONGEST:
            return masked
        return f"{masked[:LONGEST]}... [cut, {len(masked) - LONGEST} more characters]"
    if isinstance(value, dict):
        return {key: item if key in EXACT and _fits(item) else _cut(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_cut(item) for item in value]
    if isinstance(value, float) and value - value != 0:
        return str(value)  # nan and infinity
    return value


def _fits(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= LONGEST


def masked_urls(text: str) -> str:
    """Return `text` with "user:password@" in URLs replaced by "***@"."""
    return CREDENTIALS.sub("***@", text)


def _shown(value: object) -> str:
    return masked_urls(str(value))[:LONGEST]
