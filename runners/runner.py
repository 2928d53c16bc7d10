"""What a runner is, what it returns, its limits and its errors: the host's half of the sandbox.

A `Runner` executes tests in a sandbox in two ways. `run_suite` is cold: a fresh process on a fresh copy, the only
source of verdicts. `open_session` is warm: a fork server that runs many variants of one function against a few tests,
the source of traces. Everything that comes back from a sandbox is untrusted and checked (`runners.fields`).
Paths inside records are POSIX and relative to the repository root; lines are 1-based, of the file as executed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Literal, Protocol

Outcome = Literal[
    "passed", "failed", "error", "skipped", "xfailed", "xpassed", "frontier", "timeout", "crashed", "missing"
]
Phase = Literal["collect", "setup", "call", "teardown"]
EventKind = Literal["line", "return", "raise", "yield", "frontier"]

ASK = "__egcfg_ask__"  # `return __egcfg_ask__((a, *b), {"c": c, **d})` asks for a function that runs apart
FRONTIER = "__egcfg_frontier__"  # `raise __egcfg_frontier__()` marks where a half-written body ends


class RunnerError(Exception):
    """The sandbox itself cannot work; tests that fail are results, not errors."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class DockerUnavailable(RunnerError):
    """No Docker Engine answers, or it refuses what the sandbox needs."""


class EnvironmentFailed(RunnerError):
    """The repository's dependencies could not be installed. cause: a word for programs, such as "compiler"."""

    def __init__(self, message: str, *, hint: str = "", cause: str = "unknown") -> None:
        super().__init__(message, hint=hint)
        self.cause = cause


class SandboxUnavailable(RunnerError):
    """Neither Docker nor bubblewrap works and --unsafe-local was not given."""


class InterpreterMissing(RunnerError):
    """The interpreter for the repository's tests is absent, too old, or has no pytest."""


class SandboxLost(RunnerError):
    """The sandbox died half-way or answered nonsense; what was running has no result."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What code in the sandbox may use."""

    suite_timeout_s: float = 600.0  # a whole cold run
    test_timeout_s: float = 30.0  # one test in a cold run
    execution_timeout_s: float = 5.0  # all tests of one warm execution; less where they are fast, more where slow
    execution_least_s: float = 1.0  # that they get however fast they are
    memory_mib: int = 1024
    processes: int = 128
    file_mib: int = 64
    cpus: float = 1.0
    output_kib: int = 64  # captured output kept per run
    trace_events: int = 300  # recorded events per test
    workers: int = 0  # sandboxes of one warm session; 0: one for each CPU, at most four


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame of a traceback, inside the repository."""

    path: str
    line: int
    function: str


@dataclass(frozen=True, slots=True)
class FunctionKey:
    """A function as executed: where its code object starts (first decorator line) and its qualified name."""

    path: str
    qualname: str
    first_line: int


@dataclass(frozen=True, slots=True)
class TraceEvent:
    """One step of the traced function.

    kind: "line" before the line runs, with the variables that changed since the last event of the same frame;
    "return" and "yield" with the value under the name "return"; "raise" with the exception under "raise";
    "frontier" with the variables as they stand where the body ends.
    values: (name, safe representation) pairs, representations at most 40 characters per scalar.
    """

    kind: EventKind
    line: int
    depth: int = 0
    values: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Trace:
    """What the traced function did during one test, in order; `cut` says that events were dropped."""

    events: tuple[TraceEvent, ...] = ()
    cut: bool = False
    lost: str = ""  # why there is no trace, when there is none

    def relative_to(self, first_line: int) -> Trace:
        """Return the trace with lines counted from `first_line` = 1."""
        moved = tuple(replace(event, line=event.line - first_line + 1) for event in self.events)
        return replace(self, events=moved)


@dataclass(frozen=True, slots=True)
class TestRun:
    """One test, run once."""

    __test__ = False  # a record, not a test class
    node_id: str
    outcome: Outcome
    phase: Phase = "call"
    exception: str = ""  # class name
    message: str = ""  # pytest's short text of the failure, cut
    frames: tuple[Frame, ...] = ()  # repository frames, innermost last
    duration_s: float = 0.0
    trace: Trace | None = None
    functions: frozenset[FunctionKey] = frozenset()  # executed, when coverage was asked for
    output: str = ""  # tail of the captured output

    @property
    def passed(self) -> bool:
        return self.outcome in ("passed", "xfailed")

    @property
    def failing(self) -> bool:
        """True for an outcome that makes a suite red."""
        return self.outcome in ("failed", "error", "timeout", "crashed")


@dataclass(frozen=True, slots=True)
class Target:
    """The function whose body varies in a warm session."""

    path: str
    qualname: str
    first_line: int  # first decorator line, else the def line
    base: Mapping[str, bytes] = field(default_factory=dict)  # files that stand changed in every variant: path -> bytes


ResultKind = Literal["value", "raise", "timeout", "crashed", "refused", "lost"]


@dataclass(frozen=True, slots=True)
class Varied:
    """A function and its variants: whole files in place of its own that differ in its body alone."""

    target: Target
    sources: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Example:
    """A call that a docstring shows.

    arguments: a literal, a pair of a list and a dict. expected: a literal. text: the call as it is written.
    """

    arguments: str
    expected: str
    text: str


@dataclass(frozen=True, slots=True)
class Comparing:
    """Which variants of a function are compared on the calls that tests make of it.

    sources: whole files in place of the target's; the first is the one that the tests themselves run on. nearby: also
    on arguments a small step away. calls, seconds: at most so many different calls, and so long for all of them.
    beside: functions that vary with it, with as many sources, the first of each as the tests run on it; calls that
    they make of the target are not compared, since they are part of theirs. examples: done once by every variant,
    when the function is called for the first time.
    """

    target: Target
    sources: tuple[bytes, ...]
    nearby: bool = False
    calls: int = 40
    seconds: float = 10.0
    beside: tuple[Varied, ...] = ()
    examples: tuple[Example, ...] = ()


@dataclass(frozen=True, slots=True)
class Result:
    """What a function did with one input. `digest` is equal when result and changed arguments are.

    holds: of an example, whether the result is what the docstring says.
    """

    kind: ResultKind  # "refused": the variant cannot be compared; "lost": not reached
    text: str
    digest: str
    holds: bool = False

    @property
    def without_value(self) -> str:
        """How the call ended where it gave no value, as words; "" where it gave one or is not known to have ended."""
        words = {"raise": f"raises {self.text}", "timeout": "does not end", "crashed": "ends the process"}
        return words.get(self.kind, "")


@dataclass(frozen=True, slots=True)
class ComparedCall:
    """One call during a test, or one near it, done by every variant from the same state. results: in their order."""

    node_id: str
    arguments: str  # safe text
    nearby: bool
    results: tuple[Result, ...]
    example: int = -1  # place among the examples that were asked for, -1 for a call that a test made


@dataclass(frozen=True, slots=True)
class SuiteRun:
    """One cold run of a suite, or of some of its tests."""

    tests: tuple[TestRun, ...]  # collection errors are here too: outcome "error", phase "collect"
    complete: bool  # False when the run was stopped: timeout, crash
    reason: str = ""  # why it is not complete, for people
    tampered: str = ""  # non-empty when canary tests or the reply stream show that results were forged
    duration_s: float = 0.0
    output: str = ""  # tail of what the run printed, for diagnosis only
    python: str = ""
    pytest: str = ""
    compared: tuple[ComparedCall, ...] = ()
    examples: tuple[ComparedCall, ...] = ()
    uncompared: str = ""  # why calls could not be compared, when they could not
    asked: int = 0  # calls that a function apart has answered
    unasked: tuple[str, ...] = ()  # why calls of a function apart could not cross, each with "arguments" or "result"

    def by_id(self) -> dict[str, TestRun]:
        return {test.node_id: test for test in self.tests}


@dataclass(frozen=True, slots=True)
class Apart:
    """A function that runs in a sandbox of its own: where the tests run, its body only asks for it, by `ASK`.

    Arguments, results and exceptions cross as plain data. files: the repository's files as the function's sandbox has
    them, path -> bytes.
    """

    path: str
    qualname: str
    files: Mapping[str, bytes]


@dataclass(frozen=True, slots=True)
class SuiteRequest:
    """What to run cold. `node_ids` None means the whole suite; `files` replaces files of the copy (path -> bytes)."""

    node_ids: tuple[str, ...] | None = None
    files: Mapping[str, bytes] = field(default_factory=dict)
    coverage: bool = False
    canaries: bool = False
    pytest_args: tuple[str, ...] = ()
    collect_only: bool = False  # then every test is "missing": its id is all that is told
    progress: Callable[[int, int], None] | None = field(default=None, compare=False)  # (tests done, tests in all)
    comparing: Comparing | None = None
    apart: Apart | None = None

    def with_args(self, pytest_args: Sequence[str]) -> SuiteRequest:
        """Return the request with `pytest_args` before its own."""
        return replace(self, pytest_args=(*pytest_args, *self.pytest_args))


@dataclass(frozen=True, slots=True)
class Execution:
    """All guiding tests run once on one variant of the target's file."""

    runs: tuple[TestRun, ...]
    duration_s: float = 0.0

    @property
    def passed(self) -> bool:
        """True when every test passed; a test that is skipped or missing did not."""
        return bool(self.runs) and all(run.outcome == "passed" for run in self.runs)


class Session(Protocol):
    """A warm sandbox for one target and its guiding tests. Use as a context manager."""

    @property
    def level(self) -> str:
        """Say how: "swap" (code swapped in a forked child), "import" (patched file imported afresh) or "cold"."""
        ...

    @property
    def executions(self) -> int:
        """Return how many variants were run so far."""
        ...

    def execute(self, sources: Sequence[bytes], *, trace: bool = False, brief: bool = False) -> list[Execution]:
        """Run the guiding tests on each variant, in order; `sources` are whole files in place of the target's.

        brief: of a variant that fails no more is asked than shows that it does: tests that pass with the function as it
        is, then those that hang with it, come last, and only while all before them pass. What is not run is "missing".
        """
        ...

    def __enter__(self) -> Session: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None: ...


class Runner(Protocol):
    """Runs tests of one repository in a sandbox."""

    kind: str  # "docker", "bubblewrap" or "unsafe-local"
    isolated: bool  # False for "unsafe-local": its verdicts are never called verified
    notes: list[str]  # what the sandbox does or cannot do, for the report

    def run_suite(self, request: SuiteRequest) -> SuiteRun:
        """Run tests in a fresh process on a fresh copy of the repository."""
        ...

    def open_session(
        self, target: Target, node_ids: Sequence[str], guarding: Sequence[str] = (), known: Sequence[TestRun] = ()
    ) -> Session:
        """Start a warm sandbox in which variants of `target` meet the tests `node_ids`.

        guarding: tests that pass on the code as it is, in the same files; a variant with which all of `node_ids` pass
        meets them too, unless it is traced, and those that fail then are among its runs. known: how tests came out in
        earlier cold runs of the same files; if these tell of all `node_ids`, they are not run cold once more.
        """
        ...

    def close(self) -> None:
        """Remove everything the runner made: containers, copies, processes."""
        ...
