"""The real harness in bubblewrap (bare where that does not work): outcomes, containment, warm levels, tampering."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from runners.choose import open_runner
from runners.interpreter import find_interpreter
from runners.local import LocalRunner, bubblewrap_works
from runners.runner import (
    Execution,
    InterpreterMissing,
    Limits,
    Session,
    SuiteRequest,
    SuiteRun,
    Target,
    TestRun,
    Trace,
)

LIMITS = Limits(suite_timeout_s=120, test_timeout_s=4, execution_timeout_s=8)
needs_bubblewrap = pytest.mark.skipif(not bubblewrap_works(), reason="bubblewrap does not work here")


def make(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text), encoding="utf-8")
    return root


def opened(root: Path, limits: Limits = LIMITS) -> LocalRunner:
    return LocalRunner(root, limits, python=sys.executable, unsafe=True)


def target(root: Path, path: str, qualname: str) -> Target:
    """Find a function by its name; the line is that of its first decorator."""
    lines = (root / path).read_text(encoding="utf-8").splitlines()
    name = qualname.rpartition(".")[2]
    line = next(
        n for n, text in enumerate(lines, 1) if text.lstrip().startswith((f"def {name}(", f"async def {name}("))
    )
    while line > 1 and lines[line - 2].lstrip().startswith("@"):
        line -= 1
    return Target(path, qualname, line)


# --- cold ----------------------------------------------------------------------------------------------------------

SUITE = {
    "shop.py": """
        class Cart:
            def __init__(self):
                self.items = []

            def add(self, price):
                self.items.append(price)

            def total(self):
                return sum(self.items) - 1

        async def later(x):
            return x
    """,
    "conftest.py": """
        import pytest

        @pytest.fixture
        def cart():
            from shop import Cart
            return Cart()
    """,
    "tests/test_shop.py": """
        import asyncio
        import os
        import sys
        import pytest
        import shop

        def test_total(cart):
            cart.add(2)
            assert cart.total() == 2

        @pytest.mark.parametrize("price", [1, 20], ids=["low", "a::b"])
        def test_add(cart, price):
            cart.add(price)
            assert cart.items == [price]

        class TestAsync:
            def test_later(self):
                assert asyncio.run(shop.later(3)) == 3

        def test_skipped():
            pytest.skip("not today")

        @pytest.mark.xfail
        def test_expected():
            assert 0

        @pytest.mark.xfail
        def test_unexpected():
            assert 1

        @pytest.fixture
        def broken():
            raise OSError("no disk")

        def test_setup(broken):
            pass

        @pytest.fixture
        def leaves():
            yield
            raise KeyError("teardown")

        def test_teardown(leaves):
            pass

        def test_noise():
            print("a word")
            raise RuntimeError("bad")

        def test_stops_python():
            sys.exit(0)

        def test_leaves():
            os._exit(3)

        def test_segfault():
            import ctypes
            ctypes.string_at(0)

        def test_loops():
            while True:
                pass

        def test_after():
            pass
    """,
    "tests/test_broken.py": "import no_such_module\n",
    "tests/test_syntax.py": "def f(:\n",
    "tests/test_quits.py": "import sys\nsys.exit(0)\n",
    "tests/test_dies.py": "import os\nos._exit(0)\n",
}


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> SuiteRun:
    root = make(tmp_path_factory.mktemp("suite"), SUITE)
    with opened(root) as runner:
        return runner.run_suite(SuiteRequest(coverage=True))


def of(suite: SuiteRun, name: str) -> TestRun:
    return suite.by_id()[f"tests/test_shop.py::{name}"]


@pytest.mark.parametrize(
    ("name", "outcome", "phase", "exception"),
    [
        ("test_total", "failed", "call", "AssertionError"),
        ("test_add[low]", "passed", "call", ""),
        ("test_add[a::b]", "passed", "call", ""),
        ("TestAsync::test_later", "passed", "call", ""),
        ("test_skipped", "skipped", "call", "Skipped"),
        ("test_expected", "xfailed", "call", "AssertionError"),
        ("test_unexpected", "xpassed", "call", ""),
        ("test_setup", "error", "setup", "OSError"),
        ("test_teardown", "error", "teardown", "KeyError"),
        ("test_noise", "failed", "call", "RuntimeError"),
        ("test_stops_python", "failed", "call", "SystemExit"),
        ("test_leaves", "crashed", "call", ""),
        ("test_segfault", "crashed", "call", ""),
        ("test_loops", "timeout", "call", ""),
        ("test_after", "passed", "call", ""),
    ],
)
def test_every_kind_of_outcome_is_told_apart(
    suite: SuiteRun, name: str, outcome: str, phase: str, exception: str
) -> None:
    run = of(suite, name)
    assert (run.outcome, run.phase, run.exception) == (outcome, phase, exception)


@pytest.mark.parametrize(
    ("file", "exception"),
    [("broken", "ModuleNotFoundError"), ("syntax", "SyntaxError"), ("quits", "SystemExit")],
)
def test_a_module_that_cannot_be_collected_hides_no_other_test(suite: SuiteRun, file: str, exception: str) -> None:
    run = suite.by_id()[f"tests/test_{file}.py"]
    assert (run.outcome, run.phase, run.exception) == ("error", "collect", exception)


def test_a_module_whose_import_ends_the_process_is_left_out_and_the_rest_is_run(suite: SuiteRun) -> None:
    run = suite.by_id()["tests/test_dies.py"]
    assert (run.outcome, run.phase) == ("crashed", "collect")
    assert suite.complete


def test_a_failure_carries_pytests_own_words_and_only_the_repositorys_frames(suite: SuiteRun) -> None:
    run = of(suite, "test_total")
    assert run.message.startswith("assert 1 == 2")
    assert [(frame.path, frame.function) for frame in run.frames] == [("tests/test_shop.py", "test_total")]


def test_captured_output_of_a_failing_test_is_kept(suite: SuiteRun) -> None:
    assert "a word" in of(suite, "test_noise").output


def test_coverage_names_the_functions_that_each_test_executed(suite: SuiteRun) -> None:
    names = {(key.path, key.qualname) for key in of(suite, "test_total").functions}
    assert names == {
        ("shop.py", "Cart.__init__"),
        ("shop.py", "Cart.add"),
        ("shop.py", "Cart.total"),
        ("conftest.py", "cart"),
        ("tests/test_shop.py", "test_total"),
    }
    assert ("shop.py", "later") in {(key.path, key.qualname) for key in of(suite, "TestAsync::test_later").functions}


def test_coverage_leaves_out_what_pytest_calls_to_word_a_failed_assertion(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(
        "class Cart:\n    def total(self):\n        return 1\n\n    def __repr__(self):\n        return shown()\n\n"
        "def shown():\n    return 'a cart'\n\ndef after():\n    pass\n"
    )
    (tmp_path / "test_shop.py").write_text(
        "from shop import Cart, after\n\n"
        "def test_total():\n    try:\n        assert Cart().total() == 2\n    finally:\n        after()\n\n"
        "def test_shown():\n    assert repr(Cart()) == 'no cart'\n"
    )
    with LocalRunner(tmp_path, LIMITS) as runner:
        total, shown = runner.run_suite(SuiteRequest(coverage=True)).tests
    assert "a cart" in total.message
    executed = [{key.qualname for key in run.functions if key.path == "shop.py"} for run in (total, shown)]
    assert executed == [{"Cart.total", "after"}, {"Cart.__repr__", "shown"}]


def test_the_versions_are_reported(suite: SuiteRun) -> None:
    assert suite.python == sys.version.split()[0]
    assert suite.pytest == pytest.__version__


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, LocalRunner]]:
    files = {
        "pyproject.toml": '[tool.pytest.ini_options]\naddopts = "-x -W error"\nxfail_strict = true\n',
        "src/bot/__init__.py": "def f(x):\n    return x\n",
        "runners/__init__.py": "WHO = 'theirs'\n",
        "action/__init__.py": "",
        "tests/test_a.py": """
            import os
            import bot, runners, action

            def test_fails_first():
                assert bot.f(1) == 2

            def test_ours_is_not_theirs():
                assert runners.WHO == "theirs"

            def test_writes_into_the_tree():
                with open("written", "w") as file:
                    file.write("x")
                assert os.path.exists("written")

            def test_environment_is_bare():
                assert not [name for name in os.environ if "TOKEN" in name]
        """,
    }
    root = make(tmp_path_factory.mktemp("small"), files)
    with opened(root) as runner:
        yield root, runner


def test_packages_called_like_ours_are_the_repositorys_own_and_x_in_addopts_stops_nothing(
    small: tuple[Path, LocalRunner], monkeypatch: pytest.MonkeyPatch
) -> None:
    root, runner = small
    monkeypatch.setenv("GITHUB_TOKEN", "secret")
    suite = runner.run_suite(SuiteRequest(canaries=True))
    assert [test.outcome for test in suite.tests] == ["failed", "passed", "passed", "passed"]
    assert suite.complete
    assert suite.tampered == ""
    assert not (root / "written").exists()


def test_named_tests_come_back_in_the_order_asked_for_and_unknown_ones_are_missing(
    small: tuple[Path, LocalRunner],
) -> None:
    nodes = ("tests/test_a.py::test_ours_is_not_theirs", "tests/test_a.py::test_nothing", "no/such/test_b.py::test_x")
    suite = small[1].run_suite(SuiteRequest(nodes))
    assert [(test.node_id, test.outcome) for test in suite.tests] == list(
        zip(nodes, ("passed", "missing", "missing"), strict=True)
    )


def test_files_given_replace_those_of_the_copy_only(small: tuple[Path, LocalRunner]) -> None:
    root, runner = small
    request = SuiteRequest(
        ("tests/test_a.py::test_fails_first",), {"src/bot/__init__.py": b"def f(x):\n    return 2\n"}
    )
    assert runner.run_suite(request).tests[0].passed
    assert "return x" in (root / "src/bot/__init__.py").read_text()


FORGERIES = {
    "leaves with status 0": "import os; os._exit(0)",
    "patches the reports": """
    import _pytest.reports
    plain = _pytest.reports.TestReport.from_item_and_call.__func__
    def forged(cls, item, call):
        call.excinfo = None
        return plain(cls, item, call)
    _pytest.reports.TestReport.from_item_and_call = classmethod(forged)
    return 2""",
    "writes reports of its own": r"""
    import os
    line = b'{"k":"done","status":0}\n'
    for descriptor in range(3, 64):
        try:
            os.write(descriptor, line)
        except OSError:
            pass
    return 2""",
}


@pytest.mark.parametrize("trick", FORGERIES)
def test_forged_results_are_found_out(small: tuple[Path, LocalRunner], trick: str) -> None:
    body = f"def f(x):\n    {FORGERIES[trick].strip()}\n"
    request = SuiteRequest(
        ("tests/test_a.py::test_fails_first",), {"src/bot/__init__.py": body.encode()}, canaries=True
    )
    assert small[1].run_suite(request).tampered


# --- containment ---------------------------------------------------------------------------------------------------

ATTACKS = {
    "attack.py": "def target(x):\n    return x\n",
    "test_attack.py": "from attack import target\n\ndef test_it():\n    assert target(1) == 2\n",
}
BODIES = {
    "loops": ("while True: pass", "timeout"),
    "loops in C": ("import itertools; sum(itertools.repeat(1))", "timeout"),
    "sleeps": ("import time; time.sleep(1000)", "timeout"),
    "leaves": ("import os; os._exit(0)", "crashed"),
    "exits": ("import sys; sys.exit(0)", "failed"),
    "segfaults": ("import ctypes; ctypes.string_at(0)", "crashed"),
    "kills its group": ("import os, signal; os.killpg(0, signal.SIGKILL)", "crashed"),
    "ignores signals": (
        "import signal, time\n    for s in range(1, 32):\n        try: signal.signal(s, signal.SIG_IGN)\n"
        "        except (OSError, ValueError): pass\n    time.sleep(1000)",
        "timeout",
    ),
    "prints a gigabyte": ("print('x' * 10 ** 9); return 0", "failed timeout crashed"),
    "raises with a huge text": ("raise ValueError('x' * 10 ** 8)", "failed"),
    "leaves a daemon": (
        "import os, time\n    if os.fork() == 0:\n        os.setsid()\n        if os.fork(): os._exit(0)\n"
        "        time.sleep(1000)\n        os._exit(0)\n    return 2",
        "passed",
    ),
    "litters": (
        "import tempfile, os\n    open(os.path.join(tempfile.gettempdir(), 'left'), 'w').close()\n    return 2",
        "passed",
    ),
    "finds no litter": (
        "import tempfile, os\n    return 2 - os.path.exists(os.path.join(tempfile.gettempdir(), 'left'))",
        "passed",
    ),
    "exhausts descriptors": ("import os\n    while True: os.dup(1)", "failed"),
    "recurses": ("return target(x)", "failed"),
    "is right": ("return 2", "passed"),
}


@pytest.fixture(scope="module")
def attacked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    root = make(tmp_path_factory.mktemp("attacked"), ATTACKS)
    limits = Limits(suite_timeout_s=60, test_timeout_s=5, execution_timeout_s=3, processes=60, memory_mib=1536)
    with (
        opened(root, limits) as runner,
        runner.open_session(Target("attack.py", "target", 1), ["test_attack.py::test_it"]) as session,
    ):
        yield session


@pytest.mark.parametrize("name", BODIES)
def test_whatever_a_body_does_it_has_a_result_and_the_next_one_is_not_touched(attacked: Session, name: str) -> None:
    body, outcome = BODIES[name]
    bad, good = attacked.execute([f"def target(x):\n    {body}\n".encode(), b"def target(x):\n    return 2\n"])
    assert bad.runs[0].outcome in outcome.split()
    assert good.passed
    assert attacked.level == "swap"


@needs_bubblewrap
def test_a_fork_bomb_is_contained(attacked: Session) -> None:
    bomb = b"def target(x):\n    import os\n    while True:\n        try: os.fork()\n        except OSError: pass\n"
    started = time.monotonic()
    bad, good = attacked.execute([bomb, b"def target(x):\n    return 2\n"])
    assert not bad.passed
    assert good.passed
    assert time.monotonic() - started < 60


@needs_bubblewrap
def test_nothing_of_this_machine_is_to_be_seen(attacked: Session) -> None:
    body = """def target(x):
    import os, socket
    seen = [p for p in ("/home", "/root/.ssh", "/work", "/var/run/docker.sock", "/etc/shadow") if os.path.isfile(p)]
    try:
        socket.create_connection(("192.0.2.1", 80), timeout=1)
        seen.append("network")
    except OSError:
        pass
    try:
        open("/repo/attack.py", "w")
        seen.append("written")
    except OSError:
        pass
    processes = [int(n) for n in os.listdir("/proc") if n.isdigit()]
    raise ValueError(seen, max(processes) < 5000, os.getuid())
"""
    run = attacked.execute([body.encode()])[0].runs[0]
    assert run.message == "ValueError: ([], True, 10001)"


# --- warm: levels, traces, frontier --------------------------------------------------------------------------------

CASES: dict[str, tuple[str, str, str, str]] = {
    # name: (module, qualified name, test body, level expected); {R} is the value returned: 1 as it is, 2 when right
    "plain": ("def f(x):\n    return {R}\n", "f", "from m import f as g\ndef test_it(): assert g(0) == 2", "swap"),
    "method": (
        "class A:\n    def f(self):\n        return {R}\nBOUND = A().f\n",
        "A.f",
        "from m import BOUND, A\ndef test_it(): assert BOUND() == A().f() == 2",
        "swap",
    ),
    "static": (
        "class A:\n    @staticmethod\n    def f():\n        return {R}\n",
        "A.f",
        "from m import A\nf = A.f\ndef test_it(): assert f() == 2",
        "swap",
    ),
    "class method": (
        "class A:\n    @classmethod\n    def f(cls):\n        return {R}\nclass B(A): pass\n",
        "A.f",
        "from m import B\ndef test_it(): assert B.f() == 2",
        "swap",
    ),
    "property": (
        "class A:\n    @property\n    def f(self):\n        return {R}\n    @f.setter\n    def f(self, v): pass\n",
        "A.f",
        "from m import A\ndef test_it(): assert A().f == 2",
        "swap",
    ),
    "super": (
        "class A: pass\nclass B(A):\n    def f(self):\n        super().__init__()\n        return {R}\n",
        "B.f",
        "from m import B\ndef test_it(): assert B().f() == 2",
        "swap",
    ),
    "nested": (
        "def outer(a):\n    def f(x):\n        return a and {R}\n    return f\nMADE = outer(1)\n",
        "outer.<locals>.f",
        "from m import MADE, outer\ndef test_it(): assert MADE(0) == outer(1)(0) == 2",
        "swap",
    ),
    "async": (
        "async def f(x):\n    return {R}\n",
        "f",
        "import asyncio\nfrom m import f\ndef test_it(): assert asyncio.run(f(0)) == 2",
        "swap",
    ),
    "decorated by a wrapper that keeps it": (
        "import functools\ndef twice(g):\n    @functools.wraps(g)\n    def w(*a):\n        return g(*a)\n    return w\n"
        "@twice\ndef f(x):\n    return {R}\n",
        "f",
        "from m import f\ndef test_it(): assert f(0) == 2",
        "import",
    ),
    "called at import": (
        "def f(x):\n    return {R}\nVALUE = f(0)\n",
        "f",
        "from m import VALUE\ndef test_it(): assert VALUE == 2",
        "import",
    ),
    "called at collection": (
        "def f(x):\n    return [{R}]\n",
        "f",
        "import pytest\nfrom m import f\nVALUES = f(0)\ndef test_it(): assert VALUES == [2]",
        "import",
    ),
    "writes beside itself": (
        "def f(x):\n    open('out', 'w').close()\n    return {R}\n",
        "f",
        "from m import f\ndef test_it(): assert f(0) == 2",
        "swap",  # on a tree that is put back after each execution
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_session_takes_the_fastest_level_that_tells_the_truth(name: str, tmp_path: Path) -> None:
    module, qualname, test, level = CASES[name]
    root = make(tmp_path / "r", {"m.py": module.replace("{R}", "1"), "test_m.py": test})
    old, new = module.replace("{R}", "1").encode(), module.replace("{R}", "2").encode()
    with (
        opened(root) as runner,
        runner.open_session(target(root, "m.py", qualname), ["test_m.py::test_it"]) as session,
    ):
        assert session.level == level
        for _ in range(2):
            executions = session.execute([old, new, old])
            assert [execution.passed for execution in executions] == [False, True, False]
            if session.level != "swap":
                break
            session.level = "import"  # both levels must agree


TRACED = """
class Walker:
    def __init__(self):
        self.steps = []

    def walk(self, n):
        for i in range(n):
            self.steps.append(i)
        return len(self.steps)


def count(n):
    while n:
        n += 1


def numbers(n):
    for i in range(n):
        yield i * 10
"""
TRACED_TEST = """
import pytest
from walker import Walker, count, numbers

@pytest.mark.parametrize("n", [1, 2])
def test_walk(n):
    assert Walker().walk(n) == 0

def test_numbers():
    assert list(numbers(2)) == [1]

def test_count():
    count(1)

def test_last():
    assert Walker().walk(0) == 0
"""
WALK = ["test_walker.py::test_walk[1]", "test_walker.py::test_walk[2]", "test_walker.py::test_last"]


@pytest.fixture(scope="module")
def walker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, LocalRunner]]:
    root = make(tmp_path_factory.mktemp("walker"), {"walker.py": TRACED, "test_walker.py": TRACED_TEST})
    with opened(root, Limits(test_timeout_s=3, execution_timeout_s=2)) as runner:
        yield root, runner


@pytest.fixture(scope="module")
def walking(walker: tuple[Path, LocalRunner]) -> Iterator[Session]:
    root, runner = walker
    with runner.open_session(target(root, "walker.py", "Walker.walk"), WALK) as session:
        yield session


def steps(trace: Trace | None) -> list[tuple[str, int, dict[str, str]]]:
    assert trace is not None
    return [(event.kind, event.line, dict(event.values)) for event in trace.events]


@pytest.mark.parametrize("level", ["swap", "import"])
def test_the_trace_is_the_same_at_each_warm_level(walking: Session, level: str) -> None:
    before, walking.level = walking.level, level
    execution: Execution = walking.execute([TRACED.encode()], trace=True)[0]
    walking.level = before
    assert [run.outcome for run in execution.runs] == ["failed", "failed", "passed"]
    trace = execution.runs[1].trace
    assert trace is not None
    assert [(e.kind, e.line, dict(e.values)) for e in trace.relative_to(6).events] == [
        ("line", 2, {"self.steps": "[]", "n": "2"}),
        ("line", 3, {"i": "0"}),
        ("line", 3, {"self.steps": "[0]", "i": "1"}),
        ("line", 4, {"self.steps": "[0, 1]"}),
        ("return", 4, {"return": "2"}),
    ]


@pytest.mark.parametrize("level", ["swap", "import"])
def test_a_half_written_body_ends_at_its_frontier_and_shows_where_it_stands(walking: Session, level: str) -> None:
    half = TRACED.replace(
        "            self.steps.append(i)\n        return len(self.steps)\n",
        "            raise __egcfg_frontier__()\n",
    )
    before, walking.level = walking.level, level
    runs = walking.execute([half.encode()], trace=True)[0].runs
    walking.level = before
    assert [run.outcome for run in runs] == ["frontier", "frontier", "failed"]
    assert steps(runs[0].trace)[-1] == ("frontier", 8, {"self.steps": "[]", "n": "1", "i": "0"})


def test_a_frontier_swallowed_by_the_body_is_still_a_frontier(walking: Session) -> None:
    half = TRACED.replace(
        "        return len(self.steps)\n",
        "        try:\n            raise __egcfg_frontier__()\n        except BaseException:\n            return 0\n",
        1,
    )
    assert walking.execute([half.encode()])[0].runs[0].outcome == "frontier"


def test_a_body_that_does_not_parse_is_a_collection_error(walking: Session) -> None:
    runs = walking.execute([TRACED.replace("return len", "return return").encode()])[0].runs
    assert {(run.outcome, run.phase, run.exception) for run in runs} == {("error", "collect", "SyntaxError")}


def test_a_file_that_differs_outside_of_the_function_is_imported_instead_of_swapped(walking: Session) -> None:
    other = TRACED.replace("self.steps = []", "self.steps = [7]")
    assert walking.execute([other.encode()], trace=True)[0].runs[2].message.startswith("assert 1 == 0")


def test_a_killed_loop_keeps_its_trace_and_the_tests_after_it_are_run(walker: tuple[Path, LocalRunner]) -> None:
    root, runner = walker
    nodes = ["test_walker.py::test_count", "test_walker.py::test_last"]
    with runner.open_session(target(root, "walker.py", "count"), nodes) as session:
        first, last = session.execute([TRACED.encode()], trace=True)[0].runs
    assert (first.outcome, last.outcome) == ("timeout", "passed")
    assert first.trace is not None
    assert first.trace.cut
    assert steps(first.trace)[:3] == [("line", 13, {"n": "1"}), ("line", 14, {}), ("line", 14, {"n": "2"})]


def test_a_half_written_generator_stays_one(walker: tuple[Path, LocalRunner]) -> None:
    root, runner = walker
    half = TRACED.replace("        yield i * 10\n", "        raise __egcfg_frontier__()\n")
    with runner.open_session(target(root, "walker.py", "numbers"), ["test_walker.py::test_numbers"]) as session:
        assert session.level == "swap"
        for level in ("swap", "import"):
            session.level = level
            whole, part = session.execute([TRACED.encode(), half.encode()], trace=True)
            assert [e[2] for e in steps(whole.runs[0].trace) if e[0] == "yield"] == [
                {"return": "0"},
                {"return": "10"},
            ]
            assert part.runs[0].outcome == "frontier"


def test_one_session_says_the_same_twice(walking: Session) -> None:
    assert [e.runs[1].trace for e in walking.execute([TRACED.encode()] * 2, trace=True)] == [
        walking.execute([TRACED.encode()], trace=True)[0].runs[1].trace
    ] * 2


# --- the machine ---------------------------------------------------------------------------------------------------


def test_a_checkout_that_cannot_be_written_is_no_obstacle(tmp_path: Path) -> None:
    root = make(tmp_path / "r", {"test_a.py": "def test_a(): pass\n"})
    (root / "test_a.py").chmod(0o444)
    root.chmod(0o555)
    try:
        with opened(root) as runner:
            assert runner.run_suite(SuiteRequest()).tests[0].passed
    finally:
        root.chmod(0o755)


def test_an_interpreter_without_pytest_is_an_error_with_a_hint(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "bare")], check=True)
    with pytest.raises(InterpreterMissing) as caught:
        find_interpreter(tmp_path, str(tmp_path / "bare" / "bin" / "python"))
    assert "pytest" in caught.value.message
    assert "pip install pytest" in caught.value.hint


def test_an_interpreter_that_came_with_the_repository_is_not_run(tmp_path: Path) -> None:
    make(tmp_path, {".venv/pyvenv.cfg": "home = /usr/bin\n", ".venv/bin/python": "#!/bin/sh\ntouch ran\n"})
    (tmp_path / ".venv/bin/python").chmod(0o755)
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    subprocess.run(["git", "add", "-f", "."], cwd=tmp_path, check=True)
    assert not find_interpreter(tmp_path).path.startswith(str(tmp_path))


def test_a_package_under_src_is_found_without_being_installed(tmp_path: Path) -> None:
    root = make(
        tmp_path / "r",
        {"src/pack/__init__.py": "X = 1\n", "tests/test_a.py": "import pack\n\ndef test_a(): assert pack.X\n"},
    )
    with open_runner("local", root, LIMITS, python=sys.executable, unsafe_local=True) as runner:  # type: ignore[attr-defined]
        assert runner.run_suite(SuiteRequest()).tests[0].passed


def test_a_suite_that_hangs_everywhere_ends_with_its_time(tmp_path: Path) -> None:
    hang = "import time\nimport pytest\n\n@pytest.mark.parametrize('n', range(50))\ndef test_a(n): time.sleep(100)\n"
    root = make(tmp_path / "r", {"test_a.py": hang})
    with opened(root, Limits(suite_timeout_s=6, test_timeout_s=2)) as runner:
        suite = runner.run_suite(SuiteRequest())
    assert not suite.complete
    assert "6 s" in suite.reason
    # On a busy machine the time may be over before the first test, or before anything is collected.
    assert {test.outcome for test in suite.tests} <= {"timeout", "missing"}
    assert sum(test.outcome == "timeout" for test in suite.tests) < 4
