"""The files of the checkout: reads them, and decides which of them may be rewritten. Never writes one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from bot.errors import RepositoryError
from bot.localise import is_test_path


@dataclass(frozen=True, slots=True)
class Checkout:
    """The files under `root`. allowed: patterns of the only files that may change, if any. excluded: of others."""

    root: Path
    allowed: Sequence[str] = ()
    excluded: Sequence[str] = ()

    def read(self, path: str) -> bytes:
        """Return a file's content. Raises RepositoryError for a path that leaves the checkout, OSError as usual.

        Paths come from the sandbox, and so from the repository's own code.
        """
        full = (self.root / path).resolve()
        if not full.is_relative_to(self.root.resolve()):
            raise RepositoryError(
                f"{path} lies outside the repository.", hint="Symbolic links that leave it are not used."
            )
        return full.read_bytes()

    def kept_out(self, path: str) -> bool:
        """Say whether the user keeps a file from being changed."""
        allowed = not self.allowed or any(fnmatch(path, pattern) for pattern in self.allowed)
        return not allowed or any(fnmatch(path, pattern) for pattern in self.excluded)

    def untouchable(self, path: str) -> bool:
        """Say whether a file is never rewritten while the code is repaired: a test, or kept out by the user."""
        return is_test_path(path) or self.kept_out(path)
