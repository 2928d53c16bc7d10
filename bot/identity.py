"""Decides by what a pull request is found again: its key, its branch and the hidden marker in its body.

Pure: no input or output. The key is made of the failing tests and the functions that are changed, so that the next run
over the same failure finds the same pull request, whatever body it has come up with. The marker remembers what we
proposed and said last; the trailers of a commit tell a person's commit on the branch from ours.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

from bot.bundle import FileChange, Proposal

KEY_LENGTH = 10
TRAILER = "Egcfg-Fix-Key"
TREE_TRAILER = "Egcfg-Fix-Tree"
BASE_TRAILER = "Egcfg-Fix-Base"
MARKER = re.compile(r"<!-- egcfg-fix:(\{[^<>]{0,20000}\}) -->")
MARKED_TESTS = 200  # so many tests of a pull request are remembered in its marker
RUN = "run"  # key of the one pull request that holds all repairs of a run


@dataclass(frozen=True, slots=True)
class Marker:
    """What the body of a pull request remembers, unseen by people."""

    key: str
    functions: str = ""  # hash of the functions that are changed
    tests: tuple[str, ...] = ()  # hashes of the failing tests
    content: str = ""  # hash of the changed files as we proposed them last
    text: str = ""  # hash of title and body as we wrote them last
    done: tuple[str, ...] = ()  # what has been done once and is not done again: "labels", "reviewers", ...
    closed: str = ""  # why we closed it

    def __str__(self) -> str:
        return f"<!-- egcfg-fix:{json.dumps(asdict(self), separators=(',', ':'))} -->"


def read_marker(body: str | None) -> Marker | None:
    """Return the last marker of a body, or None; what people have made of it is no error."""
    found = MARKER.findall(body or "")
    if not found:
        return None
    try:
        content = json.loads(found[-1])
        key, functions, text, closed = (str(content.get(name, "")) for name in ("key", "functions", "text", "closed"))
        tests, done = (tuple(str(item) for item in content.get(name, ())) for name in ("tests", "done"))
        return Marker(key, functions, tests, str(content.get("content", "")), text, done, closed)
    except (ValueError, TypeError, AttributeError):
        return None


def with_marker(text: str, marker: Marker) -> str:
    """Return a body with its marker replaced, or put at its end."""
    plain = MARKER.sub("", text.replace("\r\n", "\n")).rstrip()
    return f"{plain}\n\n{marker}\n"


def key_of(proposals: Sequence[Proposal], *, run: bool = False) -> str:
    """Return the key of the pull request that holds `proposals`; run: whatever a run has repaired has one key."""
    if run:
        return _hash([RUN])[:KEY_LENGTH]
    tests = sorted({test.node_id for one in proposals for test in one.tests})
    return _hash([*sorted({one.kind for one in proposals}), *tests, "", *_functions(proposals)])[:KEY_LENGTH]


def hash_of_functions(proposals: Sequence[Proposal]) -> str:
    return _hash(_functions(proposals))[:KEY_LENGTH]


def hash_of_test(node_id: str) -> str:
    return _hash([node_id])[:KEY_LENGTH]


def hashes_of_tests(proposals: Iterable[Proposal]) -> tuple[str, ...]:
    ids = sorted({test.node_id for one in proposals for test in one.tests})
    return tuple(hash_of_test(node_id) for node_id in ids[:MARKED_TESTS])


def branch_name(prefix: str, base: str, key: str) -> str:
    """Return the branch of the pull request; it never depends on what the new body says."""
    return f"{prefix.rstrip('/')}/{base}/{key}"


def trailers(key: str, tree: str, base: str) -> str:
    """Return the last lines of a commit message of ours: the tree tells whether someone has amended the commit."""
    return f"{TRAILER}: {key}\n{TREE_TRAILER}: {tree}\n{BASE_TRAILER}: {base}\n"


def our_base(message: str, tree: str) -> str:
    """Return the commit on which we made this one; "" for a commit that is not ours or was changed since.

    message, tree: of the commit. Its author says nothing, since anyone can commit in our name.
    """
    said = dict(re.findall(rf"(?m)^({TRAILER}|{TREE_TRAILER}|{BASE_TRAILER}): ([0-9a-f]+)\s*$", message))
    return said.get(BASE_TRAILER, "") if TRAILER in said and said.get(TREE_TRAILER) == tree else ""


def hash_of_text(title: str, body: str) -> str:
    """Return the hash of what a person reads: title and body without marker, whatever newlines GitHub made."""
    plain = MARKER.sub("", body.replace("\r\n", "\n")).strip()
    return _hash([title.strip(), plain])[:KEY_LENGTH]


def hash_of_files(files: Iterable[FileChange]) -> str:
    """Return the hash of the files as the change leaves them."""
    return _hash(sorted(f"{change.path} {blob_id(change.after)}" for change in files))[:KEY_LENGTH]


def blob_id(content: bytes) -> str:
    """Return the id that git gives to a file's content (SHA-1, as GitHub has it)."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def as_committed(change: FileChange, blob: str) -> bytes | None:
    """Return what to commit in place of the blob, or None when the patch was made on other content.

    A checkout may have turned "\\n" into "\\r\\n"; then the commit's line ends are kept.
    """
    if blob_id(change.before) == blob:
        return change.after
    if blob_id(change.before.replace(b"\r\n", b"\n")) == blob:
        return change.after.replace(b"\r\n", b"\n")
    return None


def _functions(proposals: Sequence[Proposal]) -> list[str]:
    return sorted({f"{function.path}::{function.qualname}" for one in proposals for function in one.functions})


def _hash(parts: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(parts).encode("utf-8", "surrogatepass")).hexdigest()
