"""Files that are as they were after every execution: the repository's, and the temporary folder."""

from __future__ import annotations

import contextlib
import os
import shutil
import time

from runners.harness.kept import open_file


def wipe(folder: str, keep: set[str]) -> bool:
    """Empty the temporary folder of what was not there at the start. Return whether that worked."""
    clean = True
    for name in os.listdir(folder):
        if name in keep:
            continue
        path = os.path.join(folder, name)
        if os.path.isdir(path) and not os.path.islink(path):
            shutil.rmtree(path, ignore_errors=True)
        else:
            with contextlib.suppress(OSError):
                os.unlink(path)
        clean = clean and not os.path.lexists(path)
    return clean


class Tree:
    """A writable repository that is as it was after every execution. Raises OSError when it is too large to be kept.

    What changed is seen by the time of the last change of status, which only the kernel sets; a file that changed a
    moment ago is compared byte by byte, since the next change may carry the same time.
    """

    FILES, BYTES, MOMENT_NS = 20_000, 64 << 20, 50_000_000

    def __init__(self, root: str) -> None:
        self.root = root
        self.folders: dict[str, tuple[int, frozenset[str]]] = {}  # mode, names
        self.files: dict[str, tuple[int, bytes]] = {}  # mode, content
        self.seen: dict[str, tuple[int, ...]] = {}
        left = self.BYTES
        for folder, folders, names in os.walk(root):
            self.folders[folder] = (os.lstat(folder).st_mode, frozenset([*folders, *names]))
            links = [name for name in folders if os.path.islink(os.path.join(folder, name))]
            for path in (os.path.join(folder, name) for name in [*names, *links]):
                content = self._content(path)
                left -= len(content)
                if left < 0 or len(self.files) >= self.FILES:
                    raise OSError("the repository is too large to be put back after every execution")
                self.files[path] = (os.lstat(path).st_mode, content)

    def put(self, path: str, content: bytes) -> None:
        """Let a file have this content from now on."""
        full = os.path.join(self.root, path)
        self.files[full] = (self.files[full][0], content)
        self._write(full)

    def restore(self) -> bool:
        """Undo every change. Returns whether that was possible."""
        try:
            self._restore(self.root)
        except OSError:
            return False
        return True

    def _restore(self, folder: str) -> None:
        mode, names = self.folders[folder]
        if os.lstat(folder).st_mode != mode:
            os.chmod(folder, mode & 0o7777)
        present = set(os.listdir(folder))
        for name in present - names:
            self._remove(os.path.join(folder, name))
        for name in names:
            path = os.path.join(folder, name)
            if path not in self.folders:
                if name not in present or not self._unchanged(path):
                    self._write(path)
                continue
            if name in present and (os.path.islink(path) or not os.path.isdir(path)):
                self._remove(path)
            os.makedirs(path, exist_ok=True)
            self._restore(path)

    def _unchanged(self, path: str) -> bool:
        now = os.lstat(path)
        sign = (now.st_mode, now.st_ino, now.st_size, now.st_mtime_ns, now.st_ctime_ns)
        if self.seen.get(path) == sign:
            return True
        mode, content = self.files[path]
        if now.st_mode != mode or self._content(path) != content:
            return False
        if time.time_ns() - now.st_ctime_ns > self.MOMENT_NS:
            self.seen[path] = sign
        return True

    def _content(self, path: str) -> bytes:
        if os.path.islink(path):
            return os.fsencode(os.readlink(path))
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with open_file(descriptor, "rb") as file:
            return file.read(self.BYTES)

    def _write(self, path: str) -> None:
        mode, content = self.files[path]
        self._remove(path)
        if mode & 0o170000 == 0o120000:
            os.symlink(content, path)
            return
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with open_file(descriptor, "wb") as file:
            file.write(content)
            os.fchmod(descriptor, mode & 0o7777)

    def _remove(self, path: str) -> None:
        if os.path.isdir(path) and not os.path.islink(path):
            for folder, folders, _ in os.walk(path):
                os.chmod(folder, 0o700)
                for name in folders:
                    if not os.path.islink(os.path.join(folder, name)):
                        os.chmod(os.path.join(folder, name), 0o700)
            shutil.rmtree(path)
        elif os.path.lexists(path):
            os.unlink(path)
