"""What a process that was killed leaves behind, and that the next one clears away this and nothing else."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from runners.leftovers import Scratch, abandoned, ended, owner, sweep_folders, this_process
from runners.runner import RunnerError
from runners.workspace import Workspace

USES_A_FOLDER = """
import sys
from pathlib import Path
from runners.leftovers import Scratch
from runners.leftovers import owner
scratch = Scratch(Path(sys.argv[1]))
(scratch.path / "sub").mkdir()
(scratch.path / "sub" / "file").write_text("x")
(scratch.path / "sub" / "link").symlink_to(sys.argv[2])
print(scratch.path, owner(), flush=True)
sys.stdin.read()
"""


@pytest.fixture
def user(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], Path, str]]:
    """A process that uses a scratch folder in tmp_path, the folder, and the process's name."""
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "file").write_text("not ours")
    command = [sys.executable, "-c", USES_A_FOLDER, str(tmp_path), str(tmp_path / "kept")]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    with process:
        assert process.stdout is not None
        path, name = process.stdout.readline().split()
        yield process, Path(path), name
        process.kill()


def test_the_folder_of_a_killed_process_goes_with_the_next_run_and_that_of_a_living_one_stays(
    user: tuple[subprocess.Popen[str], Path, str], tmp_path: Path
) -> None:
    process, folder, name = user
    assert sweep_folders(tmp_path) == []
    assert (folder / "sub" / "file").exists()
    assert not abandoned(name)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert abandoned(name)
    assert folder.is_dir()
    (tmp_path / "repository").mkdir()
    (tmp_path / "repository" / "a.py").write_text("")
    workspace = Workspace(tmp_path / "repository", tmp_path)  # as every run makes one
    assert not folder.exists()
    assert (tmp_path / "kept" / "file").read_text() == "not ours"
    assert workspace.read("a.py") == b""
    workspace.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["kept", "repository"]


def test_a_sweep_leaves_alone_what_is_not_a_folder_of_ours(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "file").write_text("not ours")
    place = tmp_path / "place"
    place.mkdir()
    (place / "egcfg-fix-scratch-aaaaaaaa").symlink_to(elsewhere)
    (place / "egcfg-fix-scratch-bbbbbbbb").write_text("a file")
    for name in ("egcfg-fix-scratch-cccccccc.txt", "my-egcfg-fix-scratch-dddddddd", "egcfg-fix-eeeeeeee"):
        (place / name).mkdir()
    if os.geteuid() == 0:  # else nobody's folder can be made
        (place / "egcfg-fix-scratch-ffffffff").mkdir()
        os.chown(place / "egcfg-fix-scratch-ffffffff", 65534, 65534)
    before = sorted(os.listdir(place))
    assert sweep_folders(place) == []
    assert sorted(os.listdir(place)) == before
    assert (elsewhere / "file").exists()
    (place / "egcfg-fix-scratch-gggggggg" / "deep" / "down").mkdir(parents=True)
    (place / "egcfg-fix-scratch-gggggggg" / "deep").chmod(0)
    assert sweep_folders(place) == [place / "egcfg-fix-scratch-gggggggg"]
    assert sorted(os.listdir(place)) == before
    assert sweep_folders(tmp_path / "none") == []


def test_a_sweep_never_takes_a_folder_that_is_being_made(tmp_path: Path) -> None:
    over = threading.Event()

    def sweep() -> None:
        while not over.is_set():
            sweep_folders(tmp_path)

    sweepers = [threading.Thread(target=sweep) for _ in range(2)]
    for thread in sweepers:
        thread.start()
    try:
        for _ in range(300):
            with Scratch(tmp_path) as folder:
                (folder / "file").write_text("whole")
                assert (folder / "file").read_text() == "whole"
            assert not folder.exists()
    finally:
        over.set()
        for thread in sweepers:
            thread.join()
    assert list(tmp_path.iterdir()) == []


def test_the_name_of_a_process_is_its_own() -> None:
    assert not ended(this_process())
    pid, _, started = this_process().partition("-")
    assert ended(f"{pid}-{int(started) + 1}")  # the same number, given again
    assert ended(f"{2**31 - 648}-{started}")
    assert all(ended(name) for name in ("", "-", "x-1", "no name"))
    assert owner() == f"{socket.gethostname()}/{this_process()}"
    assert not abandoned(f"another-machine/{2**31 - 648}-1")


def test_where_no_folder_can_be_made_the_error_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("")
    with pytest.raises(RunnerError, match="No folder for a copy") as caught:
        Workspace(tmp_path, tmp_path / "none")
    assert "TMPDIR" in caught.value.hint
