"""What of a repository enters the sandbox, and that the checkout is left alone."""

from __future__ import annotations

import errno
import io
import os
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from runners.runner import RunnerError
from runners.workspace import Workspace, allowed, checked_path, explain, replace_file, repository_files


@pytest.fixture
def workspace() -> Iterator[Callable[[Path], Workspace]]:
    made: list[Workspace] = []

    def make(root: Path) -> Workspace:
        made.append(Workspace(root))
        return made[-1]

    yield make
    for one in made:
        one.close()


def write(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)
    return root


def git(root: Path, *arguments: str) -> None:
    subprocess.run(["git", *arguments], cwd=root, check=True, capture_output=True)


def test_a_git_repository_gives_tracked_and_untracked_files_but_no_ignored_ones(tmp_path: Path) -> None:
    write(tmp_path, "a.py", "new.py", "build/x.py", "deep/b.py")
    (tmp_path / ".gitignore").write_text("build/\n")
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", "a.py", ".gitignore")
    assert repository_files(tmp_path) == [".gitignore", "a.py", "deep/b.py", "new.py"]


def test_a_file_deleted_since_it_was_committed_is_no_error(tmp_path: Path) -> None:
    write(tmp_path, "a.py", "b.py")
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", ".")
    (tmp_path / "a.py").unlink()
    assert repository_files(tmp_path) == ["b.py"]


def test_a_plain_folder_gives_all_but_caches_and_environments(tmp_path: Path) -> None:
    write(tmp_path, "a.py", ".venv/lib/x.py", "__pycache__/a.pyc", "node_modules/n.js", "pkg/b.py")
    assert repository_files(tmp_path) == ["a.py", "pkg/b.py"]


@pytest.mark.parametrize(
    "name",
    [
        *(".env", "conf/.env.local", "key.pem", "id_rsa", "home/.ssh/config", ".netrc", ".pypirc"),
        *(".aws/credentials", ".git/config", "x/.git", "server.key", "credentials.json"),
    ],
)
def test_secrets_and_version_control_never_enter(name: str) -> None:
    assert not allowed(name)


@pytest.mark.parametrize("name", [".env.example", "environment.py", "keys.py", "src/pemberton.py"])
def test_files_that_only_sound_like_secrets_do(name: str) -> None:
    assert allowed(name)


def test_links_that_leave_the_repository_are_dropped_and_others_are_kept(
    tmp_path: Path, workspace: Callable[[Path], Workspace]
) -> None:
    root = write(tmp_path / "r", "a.py", ".env", "pkg/b.py")
    write(tmp_path, "outside.txt")
    (root / "inside.py").symlink_to("a.py")
    (root / "absolute.py").symlink_to(root / "pkg" / "b.py")
    (root / "folder").symlink_to("pkg")
    for name, place in (("leaves", "../outside.txt"), ("etc", "/etc"), ("secret", ".env"), ("gone", "nothing")):
        (root / name).symlink_to(place)
    copy = workspace(root).snapshot
    assert sorted(path.name for path in copy.iterdir()) == ["a.py", "absolute.py", "folder", "inside.py", "pkg"]
    assert (copy / "absolute.py").resolve() == copy / "pkg" / "b.py"


def test_git_settings_of_the_repository_run_nothing(tmp_path: Path) -> None:
    write(tmp_path, "a.py")
    git(tmp_path, "init", "-q")
    (tmp_path / "spy").write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    (tmp_path / "spy").chmod(0o755)
    git(tmp_path, "config", "core.fsmonitor", str(tmp_path / "spy"))
    assert "a.py" in repository_files(tmp_path)
    assert not (tmp_path / "ran").exists()


def test_the_archive_holds_the_copy_with_the_given_files_in_place(
    tmp_path: Path, workspace: Callable[[Path], Workspace]
) -> None:
    space = workspace(write(tmp_path, "a.py", "pkg/b.py"))
    with tarfile.open(fileobj=io.BytesIO(space.archive({"a.py": b"new", "more/c.py": b"c"}))) as archive:
        archive.extractall(tmp_path / "out", filter="data")
    found = {p.relative_to(tmp_path / "out").as_posix(): p.read_text() for p in (tmp_path / "out").rglob("*.py")}
    assert found == {"a.py": "new", "pkg/b.py": "pkg/b.py", "more/c.py": "c"}


def test_an_edit_of_the_checkout_after_the_copy_changes_nothing(
    tmp_path: Path, workspace: Callable[[Path], Workspace]
) -> None:
    space = workspace(write(tmp_path, "a.py"))
    (tmp_path / "a.py").write_text("edited")
    assert space.read("a.py") == b"a.py"


def test_overlays_are_apart_from_each_other_and_from_the_checkout(
    tmp_path: Path, workspace: Callable[[Path], Workspace]
) -> None:
    space = workspace(write(tmp_path, "a.py"))
    first, second = space.overlay(), space.overlay()
    replace_file(first, "a.py", b"variant")
    assert (first / "a.py").read_bytes() == b"variant"
    assert (second / "a.py").read_bytes() == (tmp_path / "a.py").read_bytes() == b"a.py"
    assert os.listdir(first) == ["a.py"]


def test_closing_removes_every_copy(tmp_path: Path) -> None:
    space = Workspace(write(tmp_path, "a.py"))
    place = space.overlay()
    space.close()
    assert not place.exists()
    assert (tmp_path / "a.py").exists()


@pytest.mark.parametrize("path", ["/etc/passwd", "../a", "a/../../b", "", ".git/hooks/pre-commit"])
def test_no_file_outside_of_the_copy_can_be_replaced(path: str) -> None:
    with pytest.raises(RunnerError):
        checked_path(path)


def test_a_full_disk_and_an_unreadable_file_are_told_with_what_to_do() -> None:
    full = explain(OSError(errno.ENOSPC, "No space left on device"), Path("x"))
    assert "No space left" in full.message
    assert "TMPDIR" in full.hint
    denied = explain(PermissionError(errno.EACCES, "Permission denied"), Path("x"))
    assert "cannot be read" in denied.message
    assert denied.hint


def test_a_path_that_is_no_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RunnerError, match="not a folder"):
        Workspace(tmp_path / "nothing")
