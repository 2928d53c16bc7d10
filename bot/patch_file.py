"""What a run proposes as a patch file: one patch for each file, every byte of it as git and `patch` read them. Pure."""

from __future__ import annotations

import dataclasses
import difflib
import re
from collections.abc import Iterable, Mapping

from bot.records import Patch, Repair

STALE = "A TEST is changed here, not the code: egcfg-fix was told to repair stale tests (--repair tests)."


def changes(repairs: Iterable[Repair], files: Mapping[str, bytes]) -> tuple[Patch, ...]:
    """Return one patch for each file of `files`, which holds the published patches of that file put together."""
    published = [
        step for repair in repairs if repair.published and repair.patch is not None for step in _steps(repair.patch)
    ]
    merged = []
    for path, after in sorted(files.items()):
        own = [patch for patch in published if patch.path == path]
        before = own[0].before
        names = ", ".join(dict.fromkeys(patch.qualname for patch in own))
        text = diff(path, before, after).decode("utf-8", "replace")
        merged.append(Patch(path, names, before, after, text, subject=own[0].subject))
    return tuple(merged)


def _steps(patch: Patch) -> list[Patch]:
    """Return one patch for each body, each from the file as it was before the first."""
    return [dataclasses.replace(step, before=patch.originals[step.path]) for step in patch.steps]


def patch_file(patches: Iterable[Patch]) -> bytes:
    """Return what `git apply` and `patch -p1` read; every byte of the files survives, line ends too."""
    parts = []
    for patch in patches:
        if patch.subject == "tests":  # text before a file's header is no part of the change to any of them
            parts.append(f"# {STALE}\n".encode())
        parts.append(diff(patch.path, patch.before, patch.after))
    return b"".join(parts)


def diff(path: str, before: bytes, after: bytes) -> bytes:
    """Return the unified diff of one file, b"" when nothing changed."""
    old, new = _lines(before), _lines(after)
    out = [f"--- {_header('a/' + path)}\n", f"+++ {_header('b/' + path)}\n"]
    body = list(difflib.unified_diff(old, new))[2:]
    for line in body:
        out.append(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n")
    return "".join(out).encode("latin-1") if body else b""


def _lines(content: bytes) -> list[str]:
    """Return the lines cut at b"\\n" only, one character a byte."""
    return re.findall(r"[^\n]*\n|[^\n]+", content.decode("latin-1"))


def _header(name: str) -> str:
    """Return a file name as git writes it in a patch."""
    data = name.encode("utf-8", "surrogateescape")
    if all(32 <= byte < 127 and byte not in b'"\\' for byte in data):
        return name + "\t" if " " in name else name
    special = {ord('"'): '\\"', ord("\\"): "\\\\", 10: "\\n", 9: "\\t"}
    return '"' + "".join(special.get(b) or (chr(b) if 32 <= b < 127 else f"\\{b:03o}") for b in data) + '"'
