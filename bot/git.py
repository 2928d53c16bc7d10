"""The few git operations we need, in a cleaned environment; and writing patched files into a working tree.

The repository is hostile: its .git/config may name programs (hooks, fsmonitor, filters, pagers, credential helpers).
None of them is ever run here: git starts with an emptied environment and with every such setting overridden, and no
operation converts file content. Nothing here talks to a network.

Paths of patches are relative to `root`, which may be a folder inside the repository's top level.
"""

from __future__ import annotations

import os
import re
import stat
import tempfile
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from bot.errors import EgcfgError, RepositoryError
from bot.records import Patch
from runners.leftovers import Scratch

NAME = "egcfg-fix"
EMAIL = "egcfg-fix@users.noreply.github.com"
KEPT = ("PATH", "HOME", "XDG_CONFIG_HOME", "TMPDIR")  # variables of ours that git sees
VARIABLES = {
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_ATTR_NOSYSTEM": "1",
    "GIT_OPTIONAL_LOCKS": "0",  # `status` never rewrites the user's index
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_NO_REPLACE_OBJECTS": "1",
    "GIT_ALLOW_PROTOCOL": "none",
    "GIT_ASKPASS": "/bin/false",
    "GIT_SSH_COMMAND": "/bin/false",
    "GIT_EDITOR": "/bin/false",
    "GIT_PAGER": "cat",
    "GIT_LITERAL_PATHSPECS": "1",
    "LC_ALL": "C",
}
SETTINGS = {
    "core.hooksPath": "/dev/null",
    "core.fsmonitor": "false",
    "core.pager": "cat",
    "core.askPass": "/bin/false",
    "core.sshCommand": "/bin/false",
    "core.quotePath": "false",
    "core.splitIndex": "false",
    "core.untrackedCache": "false",
    "diff.external": "",
    "diff.ignoreSubmodules": "all",
    "status.submoduleSummary": "false",
    "credential.helper": "",
    "commit.gpgSign": "false",
    "gc.auto": "0",
    "maintenance.auto": "false",
}


class GitMissing(EgcfgError):
    """No usable git program."""


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
        return _git(root, "rev-parse", "--is-inside-work-tree").strip() == b"true"
    except RepositoryError as error:
        if error.hint:
            raise
        return False


def head(root: Path) -> str:
    """Return the commit that is checked out, or "" when there is none yet or no repository."""
    try:
        return _git(root, "rev-parse", "--verify", "--quiet", "HEAD^{commit}").decode().strip()
    except (RepositoryError, GitMissing):
        return ""


def branch(root: Path) -> str:
    """Return the branch that is checked out, or "" for a commit alone or no repository."""
    try:
        return _git(root, "symbolic-ref", "--quiet", "--short", "HEAD").decode("utf-8", "replace").strip()
    except (RepositoryError, GitMissing):
        return ""


def message(root: Path) -> str:
    """Return the message of the commit that is checked out, or ""."""
    try:
        return _git(root, "log", "-1", "--format=%B", "HEAD", "--").decode("utf-8", "replace")
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
        listed = _git(root, "config", "--local", "--no-includes", "--name-only", "--null", "--list")
    except (RepositoryError, GitMissing):
        return []
    return [name.decode("utf-8", "replace").lower() for name in listed.split(b"\0") if name]


def is_dirty(root: Path) -> list[str]:
    """Return the tracked files below `root` with uncommitted changes, relative to `root`; [] where there is no git.

    Filters are off, so a file that one would convert (Git LFS) may be listed although git itself calls it clean.
    """
    if not is_repository(root):
        return []
    out = _git(
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
        return bool(_git(root, "merge-base", "--end-of-options", ref, "HEAD"))
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
        base = _git(root, "merge-base", "--end-of-options", ref, "HEAD").decode().strip()
    except RepositoryError as error:
        hint = "Fetch it with its history: git fetch origin REF; for actions/checkout, fetch-depth: 0."
        raise RepositoryError(f"There is no common base of {ref} and HEAD here.", hint=hint) from error
    options = ("--unified=0", "--find-renames", "--no-color", "--no-ext-diff", "--no-textconv", "--relative")
    out = _git(root, "diff", *options, "--src-prefix=a/", "--dst-prefix=b/", "--diff-filter=AMR", base, "--", ".")
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
        _git(root, "check-ref-format", f"refs/heads/{name}")
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
        _git(root, "read-tree", base, extra=index)
        for patch in patches:
            path = prefix + patch.path
            mode = _mode(root, base, path)
            content = _committed(root, base, path, patch)
            blob = _stored(root, content, folder / "blob")
            _git(root, "update-index", "--cacheinfo", f"{mode},{blob},{path}", extra=index)
        tree = _git(root, "write-tree", extra=index).decode().strip()
        commit = _git(root, "commit-tree", "--no-gpg-sign", "-p", base, "-m", message, tree, extra=_identity(root))
    commit_id = commit.decode().strip()
    _git(root, "update-ref", "-m", "egcfg-fix", f"refs/heads/{name}", commit_id, "0" * len(commit_id))
    return commit_id


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
    handle, temporary = tempfile.mkstemp(prefix=".egcfg-", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
            os.fchmod(file.fileno(), stat.S_IMODE(path.stat().st_mode))
        os.replace(temporary, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)
        raise


def _committed(root: Path, base: str, path: str, patch: Patch) -> bytes:
    """Return the content to commit: as patched, with the commit's line ends where the checkout only converted them."""
    blob = _git(root, "cat-file", "blob", f"{base}:{path}")
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
    return _git(root, "hash-object", "-w", "--no-filters", str(scratch)).decode().strip()


def _mode(root: Path, base: str, path: str) -> str:
    entry = _git(root, "ls-tree", "--full-tree", "-z", base, "--", path)
    mode = entry.split(b" ", 1)[0].decode()
    if mode not in ("100644", "100755"):
        raise RepositoryError(
            f"{path} is not a file of the commit that is checked out.", hint="Add and commit it first, or use --apply."
        )
    return mode


def _exists(root: Path, ref: str) -> bool:
    try:
        _git(root, "show-ref", "--verify", "--quiet", ref)
    except RepositoryError:
        return False
    return True


def _prefix(root: Path) -> str:
    """Return `root` relative to the repository's top level: "" or "folder/"."""
    return os.fsdecode(_git(root, "rev-parse", "--show-prefix").rstrip(b"\n"))


def _identity(root: Path) -> dict[str, str]:
    """Return who commits: the user as git knows them, else egcfg-fix."""

    def asked(key: str) -> str:
        with suppress(RepositoryError):
            return _git(root, "config", "--get", key).decode("utf-8", "replace").strip()
        return ""

    name, email = asked("user.name") or NAME, asked("user.email") or EMAIL
    parts = {"NAME": name, "EMAIL": email}
    return {f"GIT_{who}_{what}": value for who in ("AUTHOR", "COMMITTER") for what, value in parts.items()}


def _filters(root: Path) -> dict[str, str]:
    """Return settings that switch every configured content filter and diff program off."""
    names = _run(root, ["config", "--null", "--name-only", "--list"], SETTINGS, {}).split(b"\0")
    off: dict[str, str] = {}
    for raw in names:
        key = os.fsdecode(raw)
        section, _, variable = key.rpartition(".")
        if section.startswith("filter.") and variable in ("clean", "smudge", "process"):
            off[key] = ""
        elif section.startswith("filter.") and variable == "required":
            off[key] = "false"
        elif section.startswith("diff.") and variable in ("textconv", "command"):
            off[key] = ""
    return off


def _git(root: Path, *arguments: str, extra: dict[str, str] | None = None) -> bytes:
    """Run git at `root` and return what it printed. Raises RepositoryError with git's own words."""
    settings = {**SETTINGS, **(_filters(root) if arguments[0] in ("status", "diff") else {})}
    return _run(root, list(arguments), settings, extra or {})


def _run(root: Path, arguments: list[str], settings: Mapping[str, str], extra: Mapping[str, str]) -> bytes:
    status, out, said = execute(root, arguments, settings, extra)
    if status != 0:
        raise _refusal(root, arguments, said)
    return out


def execute(
    root: Path,
    arguments: Sequence[str],
    settings: Mapping[str, str],
    extra: Mapping[str, str],
    *,
    inherited: Collection[str] = (),
    descriptors: Sequence[int] = (),
) -> tuple[int, bytes, str]:
    """Run git at `root`; return its exit status, what it printed and what it said. Raises GitMissing.

    settings: configuration that wins over every file's. extra: variables. inherited: names of variables of ours that
    git gets too, without their values standing in a command line. descriptors: files of ours that it can read.
    """
    os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")  # a missing git is reported below, not by an import
    import git

    kept = {*KEPT, *inherited}
    variables = {**VARIABLES, **extra, "GIT_CONFIG_COUNT": str(len(settings))}
    for number, (key, value) in enumerate(settings.items()):
        variables |= {f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": value}
    assigned = [f"{name}={value}" for name, value in variables.items()]
    if inherited:
        cleaned = [part for name in os.environ if name not in kept for part in ("-u", name)]
    else:
        cleaned = ["-i", *(f"{name}={os.environ[name]}" for name in KEPT if name in os.environ)]
    try:
        status, out, err = git.Git(str(root)).execute(
            ["env", *cleaned, *assigned, "git", "-C", str(root), *arguments],
            with_extended_output=True,
            with_exceptions=False,
            stdout_as_string=False,
            strip_newline_in_stdout=False,
            pass_fds=tuple(descriptors),
        )
    except git.GitCommandNotFound:  # not even `env`
        status, out, err = 127, b"", ""
    if status == 127:
        raise GitMissing("git was not found.", hint="Install git, or check PATH.")
    assert isinstance(out, bytes)
    return status, out, err.decode("utf-8", "replace") if isinstance(err, bytes) else str(err)


def _refusal(root: Path, arguments: list[str], said: str) -> RepositoryError:
    first = next((line for line in said.splitlines() if line.strip()), "no reason given")
    hint = ""
    if "dubious ownership" in said:
        hint = f"The folder belongs to another user. If you trust it: git config --global --add safe.directory {root}"
    return RepositoryError(f"git {arguments[0]} failed in {root}: {first}", hint=hint)
