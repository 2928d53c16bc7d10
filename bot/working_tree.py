"""Patched files written into a working tree: checked before, each in one step, put back when a later one fails.

Paths of patches are relative to `root`, which may be a folder inside the repository's top level.
"""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from bot.errors import RepositoryError
from bot.git import is_dirty
from bot.records import Patch


def apply(root: Path, patches: Sequence[Patch], *, allow_dirty: bool = False) -> list[str]:
    """Write the patched files into the working tree, each atomically, keeping its mode. Return their paths.

    All files are checked before the first is written, and put back if a later one cannot be written.
    Raises RepositoryError when a file changed since it was read, is no plain file inside `root`, or has uncommitted
    changes and `allow_dirty` is not given.
    """
    dirty = set() if allow_dirty else set(is_dirty(root))
    for patch in patches:
        if _plain_file(root, patch.path).read_bytes() != patch.before:
            raise RepositoryError(
                f"{patch.path} has changed since it was read; nothing was written.",
                hint="Run egcfg-fix again, or apply the patch file by hand: git apply --3way.",
            )
        if patch.path in dirty:
            raise RepositoryError(
                f"{patch.path} has uncommitted changes; nothing was written.",
                hint="Commit or stash them first, or say --allow-dirty: the patch was made on the file as it stands.",
            )
    written: list[Patch] = []
    try:
        for patch in patches:
            written.append(patch)
            _replace(_plain_file(root, patch.path), patch.after)
    except BaseException:
        for patch in written:
            with suppress(OSError, RepositoryError):
                _replace(_plain_file(root, patch.path), patch.before)
        raise
    return [patch.path for patch in patches]


def _plain_file(root: Path, relative: str) -> Path:
    """Return the file, refusing links and anything that lies outside `root` or in a .git folder."""
    parts = Path(relative).parts
    if not parts or Path(relative).is_absolute() or ".." in parts or ".git" in (part.lower() for part in parts):
        raise RepositoryError(f"{relative} is not a path inside the repository.")
    current = root
    for part in parts:
        current = current / part
        try:
            mode = current.lstat().st_mode
        except OSError as error:
            raise RepositoryError(f"{relative} cannot be read: {error.strerror}.") from None
        if stat.S_ISLNK(mode):
            raise RepositoryError(f"{relative} is or goes through a symbolic link.", hint="Apply the patch by hand.")
    if not stat.S_ISREG(mode):
        raise RepositoryError(f"{relative} is not a file.")
    return current


def _replace(path: Path, content: bytes) -> None:
    """Put `content` in place in one step. The file beside it is named before it is made, so that it never stays."""
    temporary = path.with_name(f".egcfg-{secrets.token_hex(8)}")
    try:
        with open(temporary, "xb", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
            os.fchmod(file.fileno(), stat.S_IMODE(path.stat().st_mode))
        os.replace(temporary, path)
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
