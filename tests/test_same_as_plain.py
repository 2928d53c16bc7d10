"""What a test finds around it: cold, at both warm levels, traced and with coverage, as in a plain run of pytest."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from runners import wire
from runners.cold import run_suite
from runners.runner import Limits, SuiteRequest, Target
from runners.streams import ProcessStream
from runners.wire import Channel, Hello
from runners.worker import Job, Worker
from runners.workspace import Workspace

LIMITS = Limits(suite_timeout_s=240, test_timeout_s=120, execution_timeout_s=240)
STRICT = ("-W", "error", "-p", "no:cacheprovider")
ENVIRONMENT = {"PATH": os.environ["PATH"], "HOME": "/tmp", "LANG": "C.UTF-8", "TZ": "Asia/Kathmandu"}
SOURCE = "def f(x):\n    return x\n"
LOOKS = """
import asyncio, builtins, gc, json, locale, logging, os, signal, sys, threading, time, warnings

from m import f


def depth():
    count, frame = 0, sys._getframe()
    while frame is not None:
        count, frame = count + 1, frame.f_back
    return count


def raised(call, *arguments):
    try:
        return str(call(*arguments))
    except Exception as error:
        return type(error).__name__


def umask():
    before = os.umask(0)
    os.umask(before)
    return before


def looks():
    streams = [sys.stdin, sys.stdout, sys.stderr]
    return {
        "arguments": sys.argv[1:],
        "program": os.path.basename(sys.argv[0]),
        "current folder": [os.getcwd() == os.path.dirname(os.path.abspath(__file__)), os.environ["PWD"] == os.getcwd()],
        "umask": umask(),
        "flags": [getattr(sys.flags, name) for name in dir(sys.flags) if name[0] in "abdeijopqsuvw" and name[0] != "_"
                  and name not in ("dont_write_bytecode", "count", "index")],
        "variables": sorted(set(os.environ) - {"PYTHONDONTWRITEBYTECODE", "PYTEST_CURRENT_TEST"}),
        "gc": [gc.isenabled(), gc.get_threshold(), gc.get_debug(), len(gc.callbacks), len(gc.garbage)],
        "signals": {str(s): str(signal.getsignal(s)).split(" at ")[0] for s in signal.valid_signals()},
        "blocked": sorted(signal.pthread_sigmask(signal.SIG_BLOCK, ())),
        "timers": [signal.getitimer(t) for t in (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF)],
        "wakeup": signal.set_wakeup_fd(-1),
        "threads": [thread.name for thread in threading.enumerate()],
        "tracers": [str(sys.gettrace()), sys.getswitchinterval()],
        "recursion": sys.getrecursionlimit(),
        "warnings": [[str(part) for part in entry] for entry in warnings.filters],
        "options of warnings": sys.warnoptions,
        "logging": [logging.root.level, len(logging.root.handlers), logging.root.manager.disable],
        "locale": [locale.setlocale(locale.LC_ALL), locale.getpreferredencoding(False), sys.getfilesystemencoding()],
        "time zone": [time.tzname, time.timezone],
        "streams": [[s.encoding, s.isatty(), getattr(s, "errors", None)] for s in streams],
        "a line of input": raised(input),
        "lone surrogate": raised(print, chr(0xD800)),
        "number of stdout": raised(lambda: sys.stdout.fileno() > 0),
        "hooks": [sys.excepthook is sys.__excepthook__, threading.excepthook is threading.__excepthook__,
                  sys.displayhook is sys.__displayhook__, sys.breakpointhook is sys.__breakpointhook__],
        "event loops": type(asyncio.get_event_loop_policy()).__name__,
        "niceness": os.nice(0),
        "meta path": [type(finder).__name__ for finder in sys.meta_path],
        "depth": depth(),
        "modules": sorted(sys.modules),
        "builtins": sorted(name for name in dir(builtins) if "egcfg" not in name),
        "frozen": gc.get_freeze_count() > 0,
        "profiler": str(sys.getprofile()).split(" ")[0],
    }


def test_looks():
    f(1)
    with open({OUT!r}, "w") as file:
        json.dump(looks(), file)
"""
BEHAVES = """
import asyncio, concurrent.futures, gc, io, logging, multiprocessing, os, random, signal, socket, subprocess, sys
import tempfile, threading, time, tracemalloc, warnings, weakref

import pytest

from m import f

ORDER = []


@pytest.fixture(autouse=True)
def called():
    assert f(1) == 1
    yield
    ORDER.append(1)


def test_recursion_ends_in_the_frame_that_recurses():
    def down(n):
        return up(n)

    def up(n):
        return down(n)

    with pytest.raises(RecursionError) as caught:
        down(1)
    last = caught.traceback[-1]
    assert last.name in ("down", "up")
    assert last.lineno > last.frame.code.firstlineno


def test_a_deep_recursion_has_room():
    def deep(n):
        return n if n == 0 else 1 + deep(n - 1)

    assert deep(900) == 900


def test_warnings_are_errors_and_can_be_caught():
    with pytest.raises(UserWarning):
        warnings.warn("mine")
    with pytest.warns(DeprecationWarning):
        warnings.warn("old", DeprecationWarning)


def test_what_is_left_open_is_noticed_and_nothing_else_is():
    gc.collect()
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        open(os.devnull)
        gc.collect()
    assert [w.category for w in told] == [ResourceWarning]


def test_descriptors_come_back():
    before = os.listdir("/proc/self/fd")
    with tempfile.TemporaryFile(), socket.socket(), open(__file__):
        pass
    assert os.listdir("/proc/self/fd") == before


def test_signals():
    def alarm(number, frame):
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, alarm)
    signal.setitimer(signal.ITIMER_REAL, 0.01)
    try:
        with pytest.raises(TimeoutError):
            while True:
                time.sleep(1)
    finally:
        signal.signal(signal.SIGALRM, before)
    with pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(30)


def test_threads_and_processes():
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        assert list(pool.map(f, range(9))) == list(range(9))
    with concurrent.futures.ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        assert pool.submit(abs, -3).result() == 3
    assert threading.active_count() == 1


def test_a_program_that_is_started():
    code = "import sys; sys.exit(3 if sys.stdin.read() else 0)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
    assert subprocess.run([sys.executable, "-c", code], input=b"x").returncode == 3


def test_output(capfd, caplog):
    print("printed")
    os.write(2, b"written")
    logging.getLogger("x").warning("logged")
    assert capfd.readouterr() == ("printed\\n", "written")
    assert caplog.messages == ["logged"]


def test_input(monkeypatch):
    with pytest.raises(OSError, match="reading from stdin"):
        input()
    monkeypatch.setattr("sys.stdin", io.StringIO("typed\\n"))
    assert input() == "typed"


def test_random_numbers_are_random_and_a_seed_holds():
    assert random.random() != random.random()
    random.seed(3)
    assert random.random() == 0.23796462709189137
    other = [sys.executable, "-c", "import os, sys; print(os.environ.get('PYTHONHASHSEED'))"]
    assert subprocess.run(other, capture_output=True).stdout == b"None\\n"


def test_the_collector_and_memory_tracing():
    class Node:
        pass

    one, other = Node(), Node()
    one.next, other.next = other, one
    dead = weakref.ref(one)
    del one, other
    gc.collect()
    assert dead() is None
    tracemalloc.start()
    try:
        kept = bytearray(1 << 20)
        assert tracemalloc.get_traced_memory()[0] > len(kept)
    finally:
        tracemalloc.stop()


def test_tracing_and_profiling_of_its_own():
    seen = []

    def look(frame, event, argument):
        seen.append(event)

    sys.setprofile(look)
    f(2)
    sys.setprofile(None)
    sys.settrace(look)
    f(2)
    sys.settrace(None)
    assert seen.count("call") >= 2


def test_coroutines():
    async def work():
        await asyncio.sleep(0)
        return await asyncio.to_thread(f, 4)

    assert asyncio.run(work()) == 4


def test_files(tmp_path):
    (tmp_path / "file").write_text("x")
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o666 & ~{UMASK}
    assert tempfile.gettempdir()
    assert os.getcwd() == os.path.dirname(os.path.abspath(__file__))
"""
GIVEN = """
import time

from hypothesis import HealthCheck, given, settings, strategies as st

from m import f


@given(st.lists(st.integers(), max_size=30))
def test_with_the_defaults(values):
    assert [f(value) for value in values] == values


@settings(max_examples=20, deadline=1500, suppress_health_check=[HealthCheck.too_slow])
@given(st.text(), st.dictionaries(st.text(max_size=3), st.floats(allow_nan=False)))
def test_with_a_deadline(text, table):
    assert f(text) == text
    assert f(table) == table
"""
NODES = tuple(
    f"test_behaves.py::{line.partition('(')[0].removeprefix('def ')}"
    for line in BEHAVES.splitlines()
    if line.startswith("def test_")
)
HYPOTHESES = ("test_given.py::test_with_the_defaults", "test_given.py::test_with_a_deadline")
WARM = (("import", False), ("import", True), ("swap", False), ("swap", True))


class Bench:
    """One repository, run bare: its tests are ours."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "repository"
        self.root.mkdir()
        self.told = folder / "looks.json"
        umask = os.umask(0)
        os.umask(umask)
        (self.root / "m.py").write_text(SOURCE)
        (self.root / "test_looks.py").write_text(LOOKS.replace("{OUT!r}", repr(str(self.told))))
        (self.root / "test_behaves.py").write_text(BEHAVES.replace("{UMASK}", str(umask)))
        (self.root / "test_given.py").write_text(GIVEN)
        self.workspace = Workspace(self.root)

    def __call__(self, overlay: Path | None, *, warm: bool = False) -> Bare:
        temporary = self.workspace.temporary()
        return Bare(overlay or self.workspace.temporary() / "repo", temporary, warm)

    def looks(self) -> dict[str, Any]:
        """Return what the test that looks around has found since the last call."""
        found = json.loads(self.told.read_text())
        self.told.unlink()
        return dict(found)

    def worker(self, nodes: tuple[str, ...], arguments: tuple[str, ...] = ()) -> Worker:
        """Return a warm worker with both levels ready."""
        worker = Worker(Job(self, self.workspace, LIMITS, Target("m.py", "f", 1), nodes, arguments), swap=True)
        assert worker.open() == {"import", "swap"}, worker.why
        return worker

    def plain(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run the pytest command itself, with no part of ours."""
        return subprocess.run(
            [sys.executable, "-m", "pytest", "-q", *arguments],
            cwd=self.root,
            env={**ENVIRONMENT, "PWD": str(self.root)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )


class Bare:
    """The harness without a sandbox around it, in a job in the background for which Ctrl-C is switched off."""

    def __init__(self, root: Path, tmp: Path, warm: bool) -> None:
        pipe = subprocess.PIPE
        process = subprocess.Popen(
            ["/bin/sh", "-c", 'trap "" INT; exec "$@"', "sh", sys.executable, *wire.INTERPRETER_FLAGS],
            env={**ENVIRONMENT, **({"PYTHONHASHSEED": "0"} if warm else {})},
            stdin=pipe,
            stdout=pipe,
            stderr=pipe,
            start_new_session=True,
        )
        self.root = str(root)
        self.channel = Channel(ProcessStream(process))
        self.hello: Hello = self.channel.boot(root=self.root, tmp=str(tmp), was="")

    def close(self) -> None:
        self.channel.close()


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    bench = Bench(tmp_path_factory.mktemp("plain"))
    yield bench
    bench.workspace.close()


def test_a_test_finds_the_world_as_in_a_plain_run(bench: Bench) -> None:
    node = "test_looks.py::test_looks"
    said = bench.plain(node)
    assert said.returncode == 0, said.stdout
    plain = bench.looks()
    found = {}
    for coverage in (False, True):
        suite = run_suite(bench, bench.workspace, LIMITS, SuiteRequest((node,), coverage=coverage))
        assert suite.tests[0].passed, suite.tests[0].message
        found[f"cold, coverage {coverage}"] = bench.looks()
    worker = bench.worker((node,))
    for level, trace in WARM:
        reply = worker.ask(level, SOURCE.encode(), trace=trace, again=True)  # type: ignore[arg-type]
        assert reply.runs[0].passed, reply.runs[0].message
        found[f"{level}, trace {trace}"] = bench.looks()
    worker.close()
    for looks in found.values():  # the differences there are, and that we know of
        assert looks.pop("arguments") == []
        assert looks.pop("program") == "pytest"
        assert abs(looks.pop("depth") - plain["depth"]) <= 3
        assert set(looks.pop("modules")) >= {
            name for name in plain["modules"] if name not in ("runpy", "pytest.__main__")
        }
    assert [looks.pop("frozen") for looks in found.values()] == [False, False, True, True, True, True]
    profilers = [looks.pop("profiler") for looks in found.values()]
    assert profilers[:1] + profilers[2:] == ["None"] * 5
    expected = {key: plain[key] for key in plain if key in next(iter(found.values()))}
    assert len(expected) >= 25
    for way, looks in found.items():
        assert looks == expected, way


def test_what_passes_in_a_plain_run_passes_at_every_level_with_warnings_as_errors(bench: Bench) -> None:
    said = bench.plain(*STRICT, "test_behaves.py")
    assert f"{len(NODES)} passed" in said.stdout, said.stdout
    request = SuiteRequest(NODES, coverage=True, pytest_args=STRICT)
    suite = run_suite(bench, bench.workspace, LIMITS, request)
    assert {run.node_id: run.message for run in suite.tests if not run.passed} == {}
    assert all(any(key.qualname == "f" for key in run.functions) for run in suite.tests)
    worker = bench.worker(NODES, STRICT)
    for level, trace in WARM:
        reply = worker.ask(level, SOURCE.encode(), trace=trace, again=True)  # type: ignore[arg-type]
        assert {run.node_id: run.message for run in reply.runs if not run.passed} == {}, (level, trace)
        assert len(reply.runs) == len(NODES)
    worker.close()


def test_hypothesis_finds_nothing_to_complain_of(bench: Bench) -> None:
    pytest.importorskip("hypothesis")
    said = bench.plain(*STRICT, "test_given.py")
    assert "2 passed" in said.stdout, said.stdout
    suite = run_suite(bench, bench.workspace, LIMITS, SuiteRequest(HYPOTHESES, coverage=True, pytest_args=STRICT))
    assert {run.node_id: run.message for run in suite.tests if not run.passed} == {}
    worker = bench.worker(HYPOTHESES, STRICT)
    for level, trace in WARM:
        reply = worker.ask(level, SOURCE.encode(), trace=trace, again=True)  # type: ignore[arg-type]
        assert {run.node_id: run.message for run in reply.runs if not run.passed} == {}, (level, trace)
    worker.close()
