"""What a repair run hands over: bundle.json beside the journal, the report and the contents of the changed files.

A repair run has no token; what publishes has no code of the repository. Between the two stands this folder, and it may
have passed through an artifact that others can write. So it is read as untrusted input: every field is checked, every
file is compared with its SHA-256, no link is followed, and nothing in it says where it may be published.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from bot import __version__
from bot.errors import BundleError
from bot.journal import masked_urls
from bot.records import Difference, Discovery, Patch, Repair, to_json

SCHEMA = 1
FILE = "bundle.json"
CONTENTS = "contents"  # folder of the changed files' bytes, before and after, named by their SHA-256
JOURNAL = "journal.jsonl"
MARKDOWN, HTML, RESULT, PATCH = "report.md", "report.html", "result.json", "fix.patch"
OTHERS = (JOURNAL, MARKDOWN, HTML, RESULT, PATCH)
LARGEST = 16 << 20  # bytes of one file of the bundle
MOST = 1000  # items of one list
SHOWN_DIFFERENCES = 50
SHOWN_DIFF = 3000  # characters of a change that is only shown
LONGEST = 100_000  # characters of one text
COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
DIGEST = re.compile(r"[0-9a-f]{64}")
REPOSITORY = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}/[A-Za-z0-9._-]{1,100}")
BRANCH = re.compile(r"(?!/|-|.*(?:\.\.|//|@\{|\.lock(?:/|$)))[^\x00-\x20\x7f\ud800-\udfff~^:?*\[\\]{1,244}(?<![/.])")
FOLDER = re.compile(r"(?!/)(?:(?!\.{1,2}/)[^/\x00-\x1f\\]+/)*")
HINT = "Take the folder as `egcfg-fix repair` wrote it, or run it again."

Changing = Callable[[Sequence[Repair]], Sequence[Patch]]  # repairs -> one patch for each changed file


@dataclass(frozen=True, slots=True)
class Source:
    """What was repaired."""

    commit: str = ""  # 40 hexadecimal digits, or "" where there is no commit
    repository: str = ""  # "owner/name", or ""
    branch: str = ""  # on which the tests failed, or "" when the checkout was of a commit alone
    folder: str = ""  # the folder that was repaired, from the repository's top: "" or "folder/"
    pull_request: int = 0  # whose head this is, or 0
    run_url: str = ""  # where the run can be looked at


@dataclass(frozen=True, slots=True)
class FileChange:
    """One file before and after; bodies of functions are all that may differ."""

    path: str  # from the repository's top, with slashes
    before: bytes
    after: bytes


@dataclass(frozen=True, slots=True)
class Function:
    """A function whose body is replaced, and why it was chosen."""

    path: str
    qualname: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Failing:
    """A test that failed on the unpatched commit."""

    node_id: str
    exception: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True)
class Changed:
    """One call of a passing test that does something else with the change, or one that tells two changes apart."""

    arguments: str
    before: str
    after: str
    node_id: str  # the test that makes it
    nearby: bool = False  # no test makes it: it is a small step away from one that this test makes


@dataclass(frozen=True, slots=True)
class Alternative:
    """Another change that passes everything too, and the calls on which it does something else. It is only shown."""

    diff: str
    differences: tuple[Changed, ...]  # before: with the change that is proposed; after: with this one


@dataclass(frozen=True, slots=True)
class Proposal:
    """One repair that is worth publishing, with its evidence."""

    kind: str  # "code", or "tests" when a stale test was regenerated
    tests: tuple[Failing, ...]  # all of the group, those that judged included
    functions: tuple[Function, ...]
    files: tuple[FileChange, ...]
    word: str  # the verdict's
    reasons: tuple[str, ...]
    fixed: tuple[str, ...]
    level: str  # how it was judged: "J4 in docker"
    regression_tests: int
    origin: str
    setting: str
    spent: Mapping[str, float]
    compared: int = 0  # calls of passing tests that the old and the new body were both seen to do
    differences: tuple[Changed, ...] = ()  # those of them whose result changes
    alternatives: tuple[Alternative, ...] = ()


@dataclass(frozen=True, slots=True)
class Bundle:
    """One run, as it may be published."""

    source: Source
    proposals: tuple[Proposal, ...] = ()
    together: tuple[FileChange, ...] = ()  # all proposals in one change
    failing: tuple[str, ...] = ()  # node ids, flaky ones too
    whole: bool = False  # the whole suite was run, so that what is not in `failing` does not fail
    command: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    version: str = __version__
    log: str = ""  # of the executions, for people


# ----------------------------------------------------------------------------------------------------------- writing


def source_of(environment: Mapping[str, str], *, commit: str, branch: str, folder: str) -> Source:
    """Return what is repaired, as far as git and GitHub's variables tell; `publish` can be told better.

    branch: that git has checked out, or "". GITHUB_REF is believed only where it names what is checked out.
    """
    get = environment.get
    repository = get("GITHUB_REPOSITORY", "")
    here = get("GITHUB_REF", "") if get("GITHUB_SHA") == commit else ""
    run = f"{get('GITHUB_SERVER_URL')}/{repository}/actions/runs/{get('GITHUB_RUN_ID')}" if get("GITHUB_RUN_ID") else ""
    named = branch or (here.removeprefix("refs/heads/") if here.startswith("refs/heads/") else "")
    return Source(commit, repository if REPOSITORY.fullmatch(repository) else "", named, folder, 0, run)


def write(
    folder: Path,
    source: Source,
    discovery: Discovery,
    repairs: Sequence[Repair],
    changing: Changing,
    *,
    whole: bool,
    command: str,
    environment: Mapping[str, str],
    log: str,
) -> Path:
    """Write the bundle of a finished run into its folder, whose other files are already there; return bundle.json.

    changing: puts repairs together, as one patch for each file. whole: no setting has narrowed the tests. Raises
    OSError when the disk is full.
    """
    published = [repair for repair in repairs if repair.published]
    contents = _Contents(folder, source.folder)
    document = {
        "schema": SCHEMA,
        "tool": {"name": "egcfg-fix", "version": __version__},
        "source": to_json(source),
        "run": {
            "whole": whole and _all_known(discovery),
            "command": masked_urls(command),
            "failing": [failure.node_id for failure in discovery.failures],
            "environment": {key: masked_urls(str(value)) for key, value in environment.items()},
            "log": log[:LONGEST],
        },
        "proposals": [_proposal(repair, changing([repair]), contents) for repair in published],
        "together": contents.stored(changing(published)) if published else [],
        "files": {name: _described(folder / name) for name in OTHERS if (folder / name).is_file()},
    }
    target = folder / FILE
    target.write_text(json.dumps(document, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    return target


def _all_known(discovery: Discovery) -> bool:
    """True when a test that is not named as failing is known not to fail: none was left out or lost with its module."""
    lost = any(failure.kind in ("collection", "dependency", "crash") for failure in discovery.failures)
    return not (lost or discovery.untried) and discovery.collected > 0


@dataclass(frozen=True, slots=True)
class _Contents:
    """The folder of file contents."""

    folder: Path
    prefix: str

    def stored(self, patches: Iterable[Patch]) -> list[dict[str, str]]:
        return [
            {"path": self.prefix + patch.path, "before": self._store(patch.before), "after": self._store(patch.after)}
            for patch in patches
        ]

    def _store(self, content: bytes) -> str:
        name = _digest(content)
        place = self.folder / CONTENTS
        place.mkdir(exist_ok=True)
        (place / name).write_bytes(content)
        return name


def _proposal(repair: Repair, patches: Sequence[Patch], contents: _Contents) -> dict[str, Any]:
    verdict, candidate = repair.verdict, repair.candidate
    assert verdict is not None
    reasons = {(suspect.key.path, suspect.key.qualname): suspect.reason for suspect in repair.suspects}
    return {
        "kind": repair.patch.subject if repair.patch is not None else "code",
        "tests": [
            {"node_id": one.node_id, "exception": one.exception[:200], "message": one.message[:2000]}
            for one in repair.failures
        ],
        "functions": [
            {"path": contents.prefix + patch.path, "qualname": name, "reason": reasons.get((patch.path, name), "")}
            for patch in patches
            for name in patch.qualname.split(", ")
        ],
        "files": contents.stored(patches),
        "word": verdict.word,
        "reasons": list(verdict.reasons),
        "fixed": list(verdict.fixed),
        "level": verdict.level,
        "regression_tests": verdict.regression_tests,
        "compared": verdict.compared,
        "differences": _calls(one for one in verdict.differences if not one.nearby),
        "alternatives": [
            {"diff": rival.diff[:SHOWN_DIFF], "differences": _calls(rival.differences)} for rival in verdict.rivals
        ],
        "origin": candidate.origin if candidate else "",
        "setting": candidate.setting if candidate else "",
        "spent": to_json(repair.spent),
    }


def _calls(differences: Iterable[Difference]) -> list[dict[str, Any]]:
    return [
        {name: getattr(one, name)[:300] for name in ("arguments", "before", "after", "node_id")}
        | {"nearby": one.nearby}
        for one in islice(differences, SHOWN_DIFFERENCES)
    ]


def _described(path: Path) -> dict[str, Any]:
    content = path.read_bytes()
    return {"bytes": len(content), "sha256": _digest(content)}


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


# ----------------------------------------------------------------------------------------------------------- reading


def read(folder: Path) -> Bundle:
    """Return the bundle in `folder`, checked field by field and file by file. Raises BundleError."""
    if not folder.is_dir():
        raise BundleError(f"{folder} is not the folder of a run.", hint="Give the folder that holds bundle.json.")
    try:
        document = json.loads(_file(folder, FILE))
        reader = _Reader(folder, FILE, document)
        if reader.whole("schema") != SCHEMA:
            raise BundleError(f"{FILE} is not of schema {SCHEMA}.", hint="Publish with the version that repaired.")
        for name, described in reader.part("files").by_name():
            _compare(folder, name, described)
        return _bundle(reader)
    except (ValueError, RecursionError) as error:
        raise BundleError(f"{folder / FILE} cannot be read: {error}", hint=HINT) from None


def _compare(folder: Path, name: str, described: _Reader) -> None:
    """Raise BundleError unless the file is the one described; the journal goes on for a line after the bundle."""
    length, digest = described.whole("bytes"), described.text("sha256", DIGEST)
    content = _file(folder, name) if name in OTHERS else b""
    if _digest(content[:length]) != digest or (len(content) > length and name != JOURNAL):
        raise BundleError(f"{name} is not the file that {FILE} describes.", hint=HINT)


def _bundle(reader: _Reader) -> Bundle:
    source, run = reader.part("source"), reader.part("run")
    return Bundle(
        source=Source(
            source.text("commit", COMMIT, empty=True),
            source.text("repository", REPOSITORY, empty=True),
            source.text("branch", BRANCH, empty=True),
            source.text("folder", FOLDER),
            source.whole("pull_request"),
            source.text("run_url"),
        ),
        proposals=tuple(_read_proposal(part) for part in reader.parts("proposals")),
        together=tuple(part.change() for part in reader.parts("together")),
        failing=run.texts("failing"),
        whole=run.flag("whole"),
        command=run.text("command"),
        environment=dict(run.part("environment").texts_by_name()),
        version=reader.part("tool").text("version"),
        log=run.text("log"),
    )


def _read_proposal(part: _Reader) -> Proposal:
    proposal = Proposal(
        kind=part.text("kind", re.compile("code|tests")),
        tests=tuple(Failing(p.text("node_id"), p.text("exception"), p.text("message")) for p in part.parts("tests")),
        functions=tuple(
            Function(p.text("path"), p.text("qualname"), p.text("reason")) for p in part.parts("functions")
        ),
        files=tuple(p.change() for p in part.parts("files")),
        word=part.text("word", re.compile("strong|plausible|suspect|rejected")),
        reasons=part.texts("reasons"),
        fixed=part.texts("fixed"),
        level=part.text("level"),
        regression_tests=part.whole("regression_tests"),
        compared=part.whole("compared"),
        differences=_read_calls(part),
        alternatives=tuple(Alternative(p.text("diff"), _read_calls(p)) for p in part.parts("alternatives")),
        origin=part.text("origin"),
        setting=part.text("setting"),
        spent=dict(part.part("spent").numbers_by_name()),
    )
    if not proposal.tests or not proposal.functions or not proposal.files:
        raise ValueError(f"{part.where} names no test, no function or no file")
    return proposal


def _read_calls(part: _Reader) -> tuple[Changed, ...]:
    return tuple(
        Changed(p.text("arguments"), p.text("before"), p.text("after"), p.text("node_id"), p.flag("nearby"))
        for p in part.parts("differences")
    )


@dataclass(frozen=True, slots=True)
class _Reader:
    """One object of the document; each question raises ValueError unless the answer is of the right kind."""

    folder: Path
    where: str
    content: Any

    def _get(self, key: str, kind: type) -> Any:
        value = self.content.get(key) if isinstance(self.content, dict) else None
        if type(value) is not kind:
            raise ValueError(f"{self.where}: {key} is missing or not of the right kind")
        return value

    def text(self, key: str, pattern: re.Pattern[str] | None = None, *, empty: bool = False) -> str:
        return _checked(
            self._get(key, str), f"{self.where}.{key}", None if empty and not self._get(key, str) else pattern
        )

    def texts(self, key: str) -> tuple[str, ...]:
        return tuple(_checked(item, f"{self.where}.{key}") for item in self._list(key))

    def whole(self, key: str) -> int:
        value: int = self._get(key, int)
        if not 0 <= value < 1 << 53:
            raise ValueError(f"{self.where}: {key} is no count")
        return value

    def flag(self, key: str) -> bool:
        return bool(self._get(key, bool))

    def part(self, key: str) -> _Reader:
        return _Reader(self.folder, f"{self.where}.{key}", self._get(key, dict))

    def parts(self, key: str) -> list[_Reader]:
        return [_Reader(self.folder, f"{self.where}.{key}[{n}]", item) for n, item in enumerate(self._list(key))]

    def _list(self, key: str) -> list[Any]:
        items: list[Any] = self._get(key, list)
        if key != "failing" and len(items) > MOST:
            raise ValueError(f"{self.where}: {key} has more than {MOST} items")
        return items

    def by_name(self) -> Iterator[tuple[str, _Reader]]:
        for key in self.content:
            yield _checked(key, self.where), self.part(key)

    def texts_by_name(self) -> Iterator[tuple[str, str]]:
        for key, value in self.content.items():
            yield _checked(key, self.where), _checked(value, f"{self.where}.{key}")

    def numbers_by_name(self) -> Iterator[tuple[str, float]]:
        for key, value in self.content.items():
            if type(value) not in (int, float):
                raise ValueError(f"{self.where}: {key} is no number")
            yield _checked(key, self.where), value

    def change(self) -> FileChange:
        return FileChange(self.text("path"), self._bytes("before"), self._bytes("after"))

    def _bytes(self, key: str) -> bytes:
        name = self.text(key, DIGEST)
        content = _file(self.folder, f"{CONTENTS}/{name}")
        if _digest(content) != name:
            raise ValueError(f"{CONTENTS}/{name} has been changed")
        return content


def _checked(value: object, where: str, pattern: re.Pattern[str] | None = None) -> str:
    if not isinstance(value, str) or len(value) > LONGEST or "\0" in value:
        raise ValueError(f"{where} is no text, or too long")
    if pattern is not None and pattern.fullmatch(value) is None:
        raise ValueError(f"{where} is not of the right form")
    return value


def _file(folder: Path, name: str) -> bytes:
    """Return a plain file of the folder; links are refused, those of its folder too."""
    place = folder / name
    try:
        for part in (place.parent, place) if place.parent != folder else (place,):
            if stat.S_ISLNK(part.lstat().st_mode):
                raise BundleError(f"{name} is a link.", hint=HINT)
        with open(os.open(place, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | os.O_NONBLOCK), "rb") as stream:
            if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
                raise BundleError(f"{name} is not a file.", hint=HINT)
            content = stream.read(LARGEST + 1)
    except OSError as error:
        raise BundleError(f"{place} cannot be read: {error.strerror}.", hint=HINT) from None
    if len(content) > LARGEST:
        raise BundleError(f"{name} is larger than {LARGEST >> 20} MiB.", hint=HINT)
    return content
