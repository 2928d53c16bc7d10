"""Decides what of a repository enters the sandbox: a throw-away copy; never `.git`, never secrets.

The checkout itself is only read. A copy is made once per runner, so that a person who goes on editing does not change
the code between two runs of one repair.
"""

from __future__ import annotations

import errno
import hashlib
import io
import os
import shutil
import stat
import subprocess
import tarfile
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath

from runners.leftovers import Scratch, sweep_folders
from runners.runner import RunnerError

_SKIPPED_FOLDERS = frozenset(
    (
        *(".git", ".hg", ".svn", ".venv", "venv", "__pycache__", "node_modules", ".tox", ".nox", ".mypy_cache"),
        *(".ruff_cache", ".pytest_cache", ".hypothesis", ".idea", ".direnv", ".egcfg-fix"),
        *(".aws", ".ssh", ".gnupg", ".docker", ".kube", ".azure", ".gcloud"),
    )
)
_SECRETS = (
    *(".env", ".env.*", "*.pem", "*.p12", "*.pfx", "*.key", "id_rsa*", "id_dsa*", "id_ecdsa*", "id_ed25519*"),
    *(".netrc", "_netrc", ".pypirc", ".npmrc", ".git-credentials", ".htpasswd", "credentials.json", "*.kdbx"),
)
_HARMLESS = (".env.example", ".env.sample", ".env.template", ".env.dist")  # templates that tests may read


class Workspace:
    """A copy of a repository, and what is made from it for each run."""

    def __init__(self, root: Path, place: Path | None = None) -> None:
        """Copy the repository at `root` into a folder of its own in `place`, by default the one for temporary files.

        Copies of runs that were killed are removed first. Raises RunnerError when a copy is impossible.
        """
        self.root = Path(root).resolve()
        if not self.root.is_dir():
            raise RunnerError(f"{root} is not a folder.", hint="Give the path of a checkout.")
        try:
            for folder in {place, None}:
                sweep_folders(folder)
            self._scratch = Scratch(place)
        except OSError as error:
            hint = "Free some space, or set TMPDIR to a folder that can be written."
            reason = error.strerror or str(error)
            raise RunnerError(f"No folder for a copy of the repository can be made: {reason}.", hint=hint) from error
        self._folder = self._scratch.path
        self.snapshot = self._folder / "snapshot"
        self._archive: bytes | None = None
        self._overlays = 0
        try:
            copy_files(self.root, self.snapshot, repository_files(self.root))
        except BaseException:
            self.close()
            raise

    @property
    def empty(self) -> bool:
        """True when no file of the repository may enter the sandbox."""
        return not any(self.snapshot.iterdir())

    def archive(self, files: Mapping[str, bytes] | None = None) -> bytes:
        """Return the copy as a tar, with `files` (path -> bytes) in place of what they name."""
        if self._archive is None:
            self._archive = _tar(_tree(self.snapshot), end=False)
        return self._archive + _tar(_given(files or {}), end=True)

    def overlay(self) -> Path:
        """Return a new folder with a copy of the repository, into which the host alone writes variants."""
        self._overlays += 1
        place = self._folder / f"overlay-{self._overlays}"
        copy_files(self.snapshot, place, sorted(_names(self.snapshot)))
        return place

    def add(self, files: Mapping[str, bytes]) -> None:
        """Put generated files beside the sources of the copy, where the repository has none of that name."""
        for name, content in files.items():
            target = self.snapshot / checked_path(name)
            if not target.exists() and target.parent.resolve().is_relative_to(self.snapshot):
                replace_file(self.snapshot, name, content)
        self._archive = None

    def temporary(self) -> Path:
        """Return a new empty folder that goes away with the workspace."""
        return Path(tempfile.mkdtemp(prefix="tmp-", dir=self._folder))

    def read(self, path: str) -> bytes:
        """Return a file of the copy."""
        return (self.snapshot / checked_path(path)).read_bytes()

    def close(self) -> None:
        """Remove every copy."""
        self._scratch.close()


def checked_path(path: str) -> str:
    """Return `path` if it names a file inside the repository, else raise RunnerError."""
    parts = PurePosixPath(path).parts
    if not parts or path.startswith("/") or ".." in parts or "\0" in path or parts[0] == ".git":
        raise RunnerError(f"{path!r} does not name a file of the repository.")
    return path


def replace_file(folder: Path, path: str, content: bytes) -> None:
    """Put a file in place in one step, so that no reader sees half of it."""
    target = folder / checked_path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.egcfg")
    try:
        temporary.write_bytes(content)
        if target.exists():
            temporary.chmod(stat.S_IMODE(target.stat().st_mode))
        else:
            temporary.chmod(0o644)
        temporary.replace(target)
    except OSError as error:
        raise explain(error, target) from error


def repository_files(root: Path) -> list[str]:
    """Return the files that may enter the sandbox, as POSIX paths relative to `root`, sorted."""
    listed = _git_files(root)
    names = listed if listed is not None else _names(root)
    return sorted(name for name in names if allowed(name) and _inside(root, name))


def content_digest(root: Path) -> str:
    """Return a digest of every file that may enter the sandbox, names and contents: equal checkouts, equal digests."""
    digest = hashlib.sha256()
    for name in repository_files(root):
        path = root / name
        content = os.fsencode(os.readlink(path)) if path.is_symlink() else path.read_bytes() if path.is_file() else b""
        digest.update(f"{name}\0{len(content)}\0".encode("utf-8", "surrogateescape") + content)
    return digest.hexdigest()


def allowed(name: str) -> bool:
    """Say whether a path may enter the sandbox: no version control, no caches, no secrets."""
    parts = PurePosixPath(name).parts
    if not parts or any(part in _SKIPPED_FOLDERS for part in parts):
        return False
    last = parts[-1]
    return last in _HARMLESS or not any(fnmatch(last.lower(), pattern) for pattern in _SECRETS)


def git_environment() -> dict[str, str]:
    """Return an environment in which git reads no configuration but the repository's."""
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": "/nonexistent",
        "LC_ALL": "C.UTF-8",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_TERMINAL_PROMPT": "0",
    }


def git_list(root: Path, *arguments: str) -> list[str] | None:
    """Return what `git ls-files` lists under `root`; None when it is no git repository or there is no git."""
    command = ["git", "-c", "core.fsmonitor=", "-c", "core.hooksPath=/dev/null", "-c", "safe.directory=*"]
    try:
        done = subprocess.run(
            [*command, "-C", str(root), "ls-files", "-z", *arguments],
            env=git_environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=60,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    if done.returncode != 0:
        return None
    return [os.fsdecode(name) for name in done.stdout.split(b"\0") if name]


def _git_files(root: Path) -> list[str] | None:
    names = git_list(root, "--cached", "--others", "--exclude-standard")
    if names is None:
        return None
    submodules = [name for name in names if (root / name).is_dir() and not (root / name).is_symlink()]
    inner = [f"{module}/{name}" for module in submodules for name in _names(root / module)]
    return [*(set(names) - set(submodules)), *inner]


def _names(root: Path) -> Iterator[str]:
    for folder, folders, files in os.walk(root):
        folders[:] = sorted(name for name in folders if name not in _SKIPPED_FOLDERS)
        links = [name for name in folders if os.path.islink(os.path.join(folder, name))]
        for name in [*files, *links]:
            yield Path(folder, name).relative_to(root).as_posix()


def _inside(root: Path, name: str) -> bool:
    """Say whether a path exists as a file, or as a link that stays inside the repository."""
    path = root / name
    try:
        mode = path.lstat().st_mode
        if stat.S_ISLNK(mode):
            real = path.resolve()
            return real.exists() and real.is_relative_to(root) and allowed(real.relative_to(root).as_posix())
    except (OSError, RuntimeError, ValueError):
        return False
    return stat.S_ISREG(mode) and path.parent.resolve().is_relative_to(root)


def copy_files(source: Path, target: Path, names: Iterable[str]) -> None:
    """Copy files and links; raise RunnerError with a hint when a file cannot be read or the disk is full."""
    target.mkdir(parents=True, exist_ok=True)
    for name in names:
        origin, copy = source / name, target / name
        try:
            copy.parent.mkdir(parents=True, exist_ok=True)
            if origin.is_symlink():
                link = os.readlink(origin)
                if os.path.isabs(link):
                    link = os.path.relpath(origin.resolve(), origin.parent.resolve())
                copy.symlink_to(link)
            else:
                shutil.copyfile(origin, copy)
                copy.chmod(0o755 if origin.stat().st_mode & 0o100 else 0o644)
        except FileNotFoundError:
            continue  # deleted since it was listed
        except OSError as error:
            raise explain(error, origin) from error


def explain(error: OSError, path: Path) -> RunnerError:
    """Return the error a person can act on."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        place = tempfile.gettempdir()
        hint = "Free some space, or set TMPDIR to a folder on a larger disk."
        return RunnerError(f"No space left in {place} for a copy of the repository.", hint=hint)
    if error.errno in (errno.EACCES, errno.EPERM):
        return RunnerError(f"{path} cannot be read.", hint="Fix its permissions, or add it to .gitignore.")
    return RunnerError(f"{path} cannot be copied: {error.strerror}.")


def _tree(folder: Path) -> Iterator[tuple[tarfile.TarInfo, bytes]]:
    for name in sorted(_names(folder)):
        path = folder / name
        info = tarfile.TarInfo(name)
        if path.is_symlink():
            info.type, info.linkname = tarfile.SYMTYPE, os.readlink(path)
            yield info, b""
        else:
            content = path.read_bytes()
            info.size, info.mode = len(content), path.stat().st_mode & 0o777
            info.mtime = int(path.stat().st_mtime)
            yield info, content


def _given(files: Mapping[str, bytes]) -> Iterator[tuple[tarfile.TarInfo, bytes]]:
    for name, content in files.items():
        info = tarfile.TarInfo(checked_path(name))
        info.size, info.mode = len(content), 0o644
        yield info, content


def _tar(entries: Iterable[tuple[tarfile.TarInfo, bytes]], *, end: bool) -> bytes:
    """Return a tar; without its end mark another may follow, whose files replace earlier ones."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for info, content in entries:
            archive.addfile(info, io.BytesIO(content))
        size = archive.offset
    return buffer.getvalue() if end else buffer.getvalue()[:size]
