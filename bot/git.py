"""The few questions that we ask git, and the branch that we make.

No operation converts file content, and nothing here talks to a network. Paths of patches are relative
to `root`, which may be a folder inside the repository's top level.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from bot.errors import RepositoryError
from bot.git_program import EMAIL, NAME, GitMissing, run_git
from bot.records import Patch
from runners.leftovers import Scratch


def is_repository(root: Path) -> bool:
    """True when `root` is inside the working tree of a git repository and there is a git to ask.

    Raises RepositoryError when git refuses to look at it.
    """
    try:
        return _inside(root)
    except GitMissing:
        return False


def _inside(root: Path) -> bool:
    try:
        return run_git(root, "rev-parse", "--is-inside-work-tree").strip() == b"true"
    except RepositoryError as error:
        if error.hint:
            raise
        return False


def head(root: Path) -> str:
    """Return the commit that is checked out, or "" when there is none yet or no repository."""
    try:
        return run_git(root, "rev-parse", "--verify", "--quiet", "HEAD^{commit}").decode().strip()
    except (RepositoryError, GitMissing):
        return ""


def branch(root: Path) -> str:
    """Return the branch that is checked out, or "" for a commit alone or no repository."""
    try:
        return run_git(root, "symbolic-ref", "--quiet", "--short", "HEAD").decode("utf-8", "replace").strip()
    except (RepositoryError, GitMissing):
        return ""


def message(root: Path) -> str:
    """Return the message of the commit that is checked out, or ""."""
    try:
        return run_git(root, "log", "-1", "--format=%B", "HEAD", "--").decode("utf-8", "replace")
    except (RepositoryError, GitMissing):
        return ""


def folder(root: Path) -> str:
    """Return where `root` lies in its repository: "" at the top or without one, else "folder/"."""
    try:
        return _prefix(root)
    except (RepositoryError, GitMissing):
        return ""


def local_settings(root: Path) -> list[str]:
    """Return the names of the checkout's own git settings, section and variable in lower case; never their values."""
    try:
        listed = run_git(root, "config", "--local", "--no-includes", "--name-only", "--null", "--list")
    except (RepositoryError, GitMissing):
        return []
    return [name.decode("utf-8", "replace").lower() for name in listed.split(b"\0") if name]


def is_dirty(root: Path) -> list[str]:
    """Return the tracked files below `root` with uncommitted changes, relative to `root`; [] where there is no git.

    Filters are off, so a file that one would convert (Git LFS) may be listed although git itself calls it clean.
    """
    if not is_repository(root):
        return []
    out = run_git(
        root,
        "status",
        "--porcelain=v1",
        "-z",
        "--untracked-files=no",
        "--no-renames",
        "--ignore-submodules=all",
        "--",
        ".",
    )
    prefix = _prefix(root)
    paths = [os.fsdecode(entry[3:]) for entry in out.split(b"\0") if len(entry) > 3]
    return sorted(path.removeprefix(prefix) for path in paths)


def shares_history(root: Path, ref: str) -> bool:
    """True if `ref` is known here and has a common base with HEAD; a shallow clone often has none."""
    try:
        return bool(run_git(root, "merge-base", "--end-of-options", ref, "HEAD"))
    except (RepositoryError, GitMissing):
        return False


def changed_lines(root: Path, ref: str) -> dict[str, list[range]]:
    """Return path -> ranges of lines that changed since the merge base of HEAD and `ref`, uncommitted ones included.

    Paths are relative to `root`; files outside of it are left out. Lines are those of the files as they stand, 1-based;
    where lines were only taken away, the two around the gap count. Raises RepositoryError if there is no such base.
    """
    if not _inside(root):
        raise RepositoryError(f"{root} is not a git repository, so --base means nothing.", hint="Leave --base out.")
    try:
        base = run_git(root, "merge-base", "--end-of-options", ref, "HEAD").decode().strip()
    except RepositoryError as error:
        hint = "Fetch it with its history: git fetch origin REF; for actions/checkout, fetch-depth: 0."
        raise RepositoryError(f"There is no common base of {ref} and HEAD here.", hint=hint) from error
    options = ("--unified=0", "--find-renames", "--no-color", "--no-ext-diff", "--no-textconv", "--relative")
    out = run_git(root, "diff", *options, "--src-prefix=a/", "--dst-prefix=b/", "--diff-filter=AMR", base, "--", ".")
    return _ranges(os.fsdecode(out))


def _ranges(diff: str) -> dict[str, list[range]]:
    found: dict[str, list[range]] = {}
    current: list[range] | None = None
    for line in diff.split("\n"):
        if line.startswith("diff --git "):
            current = None
        elif current is None and line.startswith("+++ b/"):
            current = found.setdefault(line[6:].removesuffix("\t"), [])
        elif current is not None and (hunk := re.match(r"@@ -\S+ \+(\d+)(?:,(\d+))? @@", line)):
            first, count = int(hunk[1]), int(hunk[2] or 1)
            current.append(range(first, first + max(count, 2 if count == 0 else 1)))
    return found


def check_branch(root: Path, name: str) -> None:
    """Raise RepositoryError unless a new branch `name` can be made in the repository at `root`."""
    if not _inside(root):
        raise RepositoryError(
            f"{root} is not a git repository, so there can be no branch.", hint="Use --apply or --patch FILE."
        )
    if not head(root):
        raise RepositoryError("The repository has no commit yet.", hint="Commit first, or use --apply.")
    try:
        run_git(root, "check-ref-format", f"refs/heads/{name}")
        valid = not name.startswith("-")
    except RepositoryError:
        valid = False
    if not valid:
        raise RepositoryError(f"{name!r} is not a name for a branch.", hint="Try egcfg-fix/repair.")
    if _exists(root, f"refs/heads/{name}"):
        raise RepositoryError(
            f"The branch {name} exists already.", hint=f"Choose another name, or delete it: git branch -D {name}"
        )


def create_branch(root: Path, name: str, patches: Sequence[Patch], message: str) -> str:
    """Make branch `name`: one commit on HEAD with only the patched files. Return the commit's id.

    The user's index, working tree and checked out branch are not touched, and no program of the repository is run.
    Raises RepositoryError when a patched file differs from the commit, since the patch was proven on other content.
    """
    check_branch(root, name)
    base, prefix = head(root), _prefix(root)
    with Scratch() as folder:
        index = {"GIT_INDEX_FILE": str(folder / "index")}
        run_git(root, "read-tree", base, extra=index)
        for patch in patches:
            path = prefix + patch.path
            mode = _mode(root, base, path)
            content = _committed(root, base, path, patch)
            blob = _stored(root, content, folder / "blob")
            run_git(root, "update-index", "--cacheinfo", f"{mode},{blob},{path}", extra=index)
        tree = run_git(root, "write-tree", extra=index).decode().strip()
        commit = run_git(root, "commit-tree", "--no-gpg-sign", "-p", base, "-m", message, tree, extra=_identity(root))
    commit_id = commit.decode().strip()
    run_git(root, "update-ref", "-m", "egcfg-fix", f"refs/heads/{name}", commit_id, "0" * len(commit_id))
    return commit_id


def _committed(root: Path, base: str, path: str, patch: Patch) -> bytes:
    """Return the content to commit: as patched, with the commit's line ends where the checkout only converted them."""
    blob = run_git(root, "cat-file", "blob", f"{base}:{path}")
    if blob == patch.before:
        return patch.after
    if blob == patch.before.replace(b"\r\n", b"\n"):
        return patch.after.replace(b"\r\n", b"\n")
    raise RepositoryError(
        f"{patch.path} has uncommitted changes, and the patch was proven on them; no branch was made.",
        hint="Commit them first and run again, or use --apply.",
    )


def _stored(root: Path, content: bytes, scratch: Path) -> str:
    scratch.write_bytes(content)
    return run_git(root, "hash-object", "-w", "--no-filters", str(scratch)).decode().strip()


def _mode(root: Path, base: str, path: str) -> str:
    entry = run_git(root, "ls-tree", "--full-tree", "-z", base, "--", path)
    mode = entry.split(b" ", 1)[0].decode()
    if mode not in ("100644", "100755"):
        raise RepositoryError(
            f"{path} is not a file of the commit that is checked out.", hint="Add and commit it first, or use --apply."
        )
    return mode


def _exists(root: Path, ref: str) -> bool:
    try:
        run_git(root, "show-ref", "--verify", "--quiet", ref)
    except RepositoryError:
        return False
    return True


def _prefix(root: Path) -> str:
    """Return `root` relative to the repository's top level: "" or "folder/"."""
    return os.fsdecode(run_git(root, "rev-parse", "--show-prefix").rstrip(b"\n"))


def _identity(root: Path) -> dict[str, str]:
    """Return who commits: the user as git knows them, else egcfg-fix."""

    def asked(key: str) -> str:
        with suppress(RepositoryError):
            return run_git(root, "config", "--get", key).decode("utf-8", "replace").strip()
        return ""

    name, email = asked("user.name") or NAME, asked("user.email") or EMAIL
    parts = {"NAME": name, "EMAIL": email}
    return {f"GIT_{who}_{what}": value for who in ("AUTHOR", "COMMITTER") for what, value in parts.items()}
