"""What happens to a warm sandbox that is killed, stopped or abandoned, and to a run that is interrupted."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from bot.interruption import interruptible
from bot.journal import read
from runners.local import LocalRunner, bubblewrap_works
from runners.runner import Limits, Session, Target
from tests.test_wire import BOTH, MODULE, SOURCES, archive, execute, prepare, start

RIGHT = MODULE.replace(b"return x", b"return x + 1")
LIMITS = Limits(suite_timeout_s=120, test_timeout_s=30, execution_timeout_s=20, workers=1)
PATIENCE_S = 120  # for conditions that come about within milliseconds on a quiet machine
needs_bubblewrap = pytest.mark.skipif(not bubblewrap_works(), reason="bubblewrap does not work here")


def wait_for(condition: Callable[[], object]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end, "it never came about"
        time.sleep(0.01)


def children(pid: int) -> set[int]:
    try:
        return set(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))
    except (OSError, ProcessLookupError):
        return set()


@pytest.mark.parametrize("blow", [signal.SIGKILL, signal.SIGSTOP])
@pytest.mark.parametrize("level", ["swap", "import"])
def test_a_child_that_is_struck_while_it_waits_is_replaced(tmp_path: Path, level: str, blow: signal.Signals) -> None:
    (tmp_path / "tmp").mkdir()
    channel = start()
    hello = channel.boot(root=str(tmp_path / "repo"), tmp=str(tmp_path / "tmp"), was="")
    channel.send_files(archive(SOURCES))
    prepare(channel)
    (importing,) = children(hello.pid)
    (swapping,) = children(importing)
    zygote, other = (swapping, set[int]()) if level == "swap" else (importing, {swapping})
    assert execute(channel, RIGHT, level=level, again=True).runs[0].passed
    wait_for(lambda: children(zygote) - other)
    (waiting,) = children(zygote) - other
    os.kill(waiting, blow)
    reply = execute(channel, RIGHT, level=level, again=True, timeout=2 if blow is signal.SIGSTOP else 20)
    assert [run.outcome for run in reply.runs] == ["passed", "passed"]
    assert execute(channel, MODULE, level=level).runs[0].outcome == "failed"
    channel.close()


def test_nothing_lives_on_when_the_host_closes_the_channel(tmp_path: Path) -> None:
    (tmp_path / "tmp").mkdir()
    channel = start()
    hello = channel.boot(root=str(tmp_path / "repo"), tmp=str(tmp_path / "tmp"), was="")
    channel.send_files(archive(SOURCES))
    prepare(channel)
    execute(channel, RIGHT, again=True)
    importing = children(hello.pid)
    family = {hello.pid, *importing, *(pid for zygote in importing for pid in children(zygote))}
    assert len(family) >= 3
    channel.close()
    wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in family))


# --- a tree that the tests may write into --------------------------------------------------------------------------

WRITES = """
import os

import pytest

from m import f

HERE = os.path.dirname(os.path.abspath(__file__))


def test_it():
    assert f(1) == 2
    with open(os.path.join(HERE, "log"), "x") as file:
        file.write("once")
    os.mkdir(os.path.join(HERE, "made"))


def test_untouched():
    f(0)
    assert sorted(os.listdir(os.path.join(HERE, "data"))) == ["empty", "text"]
    with open(os.path.join(HERE, "data", "text")) as file:
        assert file.read() == "as it was"
"""
VANDAL = b"""def f(x):
    import os, shutil
    shutil.rmtree("data")
    os.symlink("/etc", "data")
    os.unlink("conftest.py")
    open("conftest.py", "w").write("raise SystemExit(1)")
    os.chmod("test_m.py", 0)
    os.makedirs("deep/down")
    os.chmod("deep", 0)
    return x + 1
"""


@pytest.fixture(scope="module")
def writing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    root = tmp_path_factory.mktemp("writing")
    (root / "data").mkdir()
    for name, text in {"m.py": MODULE.decode(), "test_m.py": WRITES, "conftest.py": ""}.items():
        (root / name).write_text(text)
    (root / "data" / "text").write_text("as it was")
    (root / "data" / "empty").write_text("")
    nodes = ["test_m.py::test_it", "test_m.py::test_untouched"]
    with (
        LocalRunner(root, LIMITS, python=sys.executable) as runner,
        runner.open_session(Target("m.py", "f", 1), nodes) as session,
    ):
        yield session


@needs_bubblewrap
def test_a_body_that_comes_as_far_as_writing_gets_a_tree_that_is_put_back_each_time(writing: Session) -> None:
    assert writing.level == "swap"
    assert not writing.writable  # type: ignore[attr-defined]
    for level in ("swap", "import"):
        writing.level = level
        assert [execution.passed for execution in writing.execute([RIGHT, RIGHT, MODULE, RIGHT])] == [1, 1, 0, 1]
    assert writing.writable  # type: ignore[attr-defined]


@needs_bubblewrap
def test_whatever_a_body_does_to_the_tree_the_next_one_finds_it_as_it_was(writing: Session) -> None:
    for level in ("swap", "import"):
        writing.level = level
        vandal, right = writing.execute([VANDAL, RIGHT])
        assert not vandal.passed
        assert right.passed, right


def test_an_interrupt_that_comes_where_exceptions_are_ignored_is_raised_again() -> None:
    class Careless:
        def __del__(self) -> None:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(0)  # here it is raised, and dropped

    def careless() -> None:
        Careless()
        wait_for(lambda: False)

    with interruptible(), pytest.raises(KeyboardInterrupt):
        careless()
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


# --- interrupted runs ----------------------------------------------------------------------------------------------

HOPELESS = {
    "m.py": "def f(x, y=2):\n    z = x + y\n    return z * y\n",
    "test_m.py": "from m import f\n\ndef test_it():\n    assert f(3) == [1, 2] == 7\n",
}


def processes_of(folder: Path) -> set[int]:
    """Return the processes that see, or stand in, a copy of the repository below `folder`."""
    found = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                told = (entry / "mountinfo").read_text() + os.readlink(entry / "cwd")
            except OSError:
                continue
            if folder.name in told:
                found.add(int(entry.name))
    return found


def begun(root: Path, stage: str) -> Path | None:
    """Return the journal of the run on `root` once this stage has begun."""
    for journal in root.glob(".egcfg-fix/runs/*/journal.jsonl"):
        if any(record.get("event") == "stage" and record.get("name") == stage for record in read(journal)):
            return journal
    return None


@needs_bubblewrap
@pytest.mark.parametrize(
    ("blow", "stage"), [(signal.SIGINT, "generate"), (signal.SIGTERM, "discover"), (signal.SIGKILL, "generate")]
)
def test_an_interrupted_run_leaves_a_whole_journal_and_no_process(
    tmp_path: Path, blow: signal.Signals, stage: str
) -> None:
    root, copies = tmp_path / "repository", tmp_path / f"copies-{os.getpid()}-{blow.name}"
    for folder in (root, copies):
        folder.mkdir()
    for name, text in HOPELESS.items():
        (root / name).write_text(text)
    command = [sys.executable, "-m", "bot", "repair", "--runner=local", "--model=none", "--budget=seconds=3000", "-q"]
    run = subprocess.Popen(
        [*command, f"--python={sys.executable}", str(root)],
        env={**os.environ, "TMPDIR": str(copies)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        wait_for(lambda: begun(root, stage) or run.poll() is not None)
        run.send_signal(blow)
        _, said = run.communicate(timeout=PATIENCE_S)
    finally:
        run.kill()
        run.communicate()
    journal = begun(root, stage)
    assert journal is not None, said
    assert run.returncode in ({signal.SIGKILL: -9}.get(blow, 130), 1)  # 1: it was over before the blow
    for line in journal.read_bytes().splitlines():
        json.loads(line)
    if blow is not signal.SIGKILL and run.returncode == 130:
        assert read(journal)[-1]["reason"] == "interrupted"
        assert not list(copies.iterdir())
    wait_for(lambda: not processes_of(copies))
    shutil.rmtree(copies)


# --- several sandboxes ---------------------------------------------------------------------------------------------


@needs_bubblewrap
def test_a_batch_is_spread_over_several_sandboxes_and_comes_back_in_order(tmp_path: Path) -> None:
    for name, text in SOURCES.items():
        (tmp_path / name).write_bytes(text)
    with (
        LocalRunner(tmp_path, replace(LIMITS, workers=2), python=sys.executable) as runner,
        runner.open_session(Target("m.py", "f", 1), BOTH) as session,
    ):
        batch = [MODULE.replace(b"return x", b"return %d" % (n % 3)) for n in range(9)]
        expected = [[n % 3 == 2, n % 3 != 0] for n in range(9)]

        def outcomes() -> list[list[bool]]:
            return [[run.passed for run in execution.runs] for execution in session.execute(batch)]

        assert outcomes() == expected
        assert session.workers == 1  # type: ignore[attr-defined]
        wait_for(lambda: outcomes() == expected and session.workers == 2)  # type: ignore[attr-defined]
        assert outcomes() == expected
        assert session.executions % 9 == 0
