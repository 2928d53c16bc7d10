"""Warm sessions: variants of one function, each in a forked child of a warm sandbox. The source of traces.

Opening a session calibrates it: the original body must come out as it does cold, and a body that only raises must be
seen by the tests, at the import level and, behind its guard, at the swap level. A level that disagrees is not used.
A session in which many variants are run opens further sandboxes behind the first and spreads each batch over them.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from types import TracebackType

from runners.cold import run_suite
from runners.deadlines import for_calibration, for_variants
from runners.replies import ExecutionReply
from runners.runner import Execution, RunnerError, SuiteRequest, SuiteRun, TestRun, Trace
from runners.worker import Calibration, Job, Level, Worker, calibrate, met_read_only

ENOUGH = 12  # variants after which a session is worth more than one sandbox
GUARDING_S = 2.0  # that guarding tests may take on one variant; if they take longer, there are none
MOST_WORKERS = 4  # when the caller leaves their number open


class WarmSession:
    """A session whose level is found at the start; what a level cannot run goes to the next slower one."""

    def __init__(self, job: Job, mounts: bool = True) -> None:
        """mounts: whether a sandbox can see a folder of this machine; else each gets the repository as a copy."""
        self.level = "cold"
        self.executions = 0
        self.why: dict[str, str] = {}  # why a faster level is not used, for reports
        self.writable = not mounts  # the tests have a tree they may write into
        self._never_writable = False  # it is too large to be put back
        nodes = tuple(dict.fromkeys(job.nodes))
        self._job = replace(job, nodes=nodes, guarding=tuple(n for n in dict.fromkeys(job.guarding) if n not in nodes))
        self._guarding: tuple[str, ...] = ()  # those that can be trusted
        self._wanted = job.limits.workers or min(MOST_WORKERS, len(os.sched_getaffinity(0)))
        self._threads = ThreadPoolExecutor(max(1, self._wanted - 1), "egcfg-worker")  # a sandbox ends with its thread
        self._main = Worker(self._job, swap=True, writable=self.writable)
        self._others: list[Future[Worker | None]] = []
        self._closed = False
        try:
            self._calibrate()
        except BaseException:
            self.close()
            raise

    @property
    def original(self) -> bytes:
        """The target's file as it is."""
        return self._job.original

    @property
    def workers(self) -> int:
        """How many sandboxes are ready."""
        return 1 + sum(1 for _ in self._helpers())

    def execute(self, sources: Sequence[bytes], *, trace: bool = False, brief: bool = False) -> list[Execution]:
        """Run the guiding tests on each variant; the results are in order, whatever sandbox they come from."""
        self.executions += len(sources)
        helpers = list(self._helpers()) if len(sources) > 1 and self.level != "cold" else []
        work = _Work(sources)
        running = [self._threads.submit(self._drain, helper, work, trace, brief) for helper in helpers]
        try:
            self._drain(self._main, work, trace, brief)
        finally:
            work.stop()
            for future in running:
                if not future.cancel():  # one that has not begun has nothing left to do
                    future.result()
        if self.executions >= ENOUGH and len(sources) > 1:
            self._open_others()
        return work.results()

    def close(self) -> None:
        """End the sandboxes."""
        self._closed = True
        self._main.close()
        self._threads.shutdown(wait=True, cancel_futures=True)
        for worker in self._helpers():
            worker.close()

    def __enter__(self) -> WarmSession:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.close()

    # ------------------------------------------------------------------------------------------------ one variant

    def _drain(self, worker: Worker, work: _Work, trace: bool, brief: bool) -> None:
        for place, source in work:
            work.put(place, self._execute_one(worker, source, trace, brief))

    def _execute_one(self, worker: Worker, source: bytes, trace: bool, brief: bool) -> Execution:
        reply = self._try_levels(worker, source, trace, brief)
        if reply is not None and met_read_only(reply.runs) and self._give_writable(worker):
            reply = self._try_levels(worker, source, trace, brief)
        if reply is None:
            return self._execute_cold(source, trace)
        execution = Execution(reply.runs, reply.duration_s)
        return self._guarded(worker, source, execution) if self._guarding and not trace else execution

    def _guarded(self, worker: Worker, source: bytes, execution: Execution) -> Execution:
        """Return an execution that passed with the guarding tests that fail on the variant."""
        reply = self._try_levels(worker, source, False, False, self._guarding) if execution.passed else None
        broken = [run for run in reply.runs if not run.passed] if reply is not None and not reply.refused else []
        return replace(execution, runs=(*execution.runs, *broken))

    def _give_writable(self, worker: Worker) -> bool:
        """Give the tests a tree they may write into: a body that comes further may be the first to write."""
        if worker.writable or self._never_writable:
            return False
        worker.close()
        worker.writable = True
        try:
            worker.open()
        except RunnerError:
            worker.writable, self._never_writable = False, True
            return False
        self.writable = True
        return True

    def _try_levels(
        self, worker: Worker, source: bytes, trace: bool, brief: bool, nodes: Sequence[str] | None = None
    ) -> ExecutionReply | None:
        """Return what the fastest level that takes this variant says, None if none does."""
        levels: tuple[Level, ...] = ("swap", "import")
        for level in levels[("swap", "import", "cold").index(self.level) :]:
            reply = worker.run(level, source, trace=trace, brief=brief, nodes=nodes)
            if reply is not None and not reply.refused:
                return reply
            if reply is not None and reply.refused.startswith("SyntaxError"):
                runs = tuple(_unparsable(node, reply.refused, trace) for node in self._job.nodes)
                return ExecutionReply(runs, 0.0, "", {}, False)
        return None

    def _execute_cold(self, source: bytes, trace: bool) -> Execution:
        started = time.monotonic()
        suite = self._run_cold(self._job.files(source))
        runs = suite.by_id()
        lost = Trace(lost="cold runs are not traced") if trace else None
        ordered = (runs.get(node, TestRun(node, "missing", message=suite.reason)) for node in self._job.nodes)
        return Execution(tuple(_with_trace(run, lost) for run in ordered), time.monotonic() - started)

    def _run_cold(self, files: dict[str, bytes]) -> SuiteRun:
        job = self._job
        request = SuiteRequest(tuple(job.nodes), files, pytest_args=tuple(job.pytest_args))
        return run_suite(job.start, job.workspace, job.limits, request)

    # ------------------------------------------------------------------------------------------------ the workers

    def _calibrate(self) -> None:
        """Find the fastest level that tells the truth, on a tree that can be written into if need be."""
        found = self._calibrated()
        self.why = found.why
        if not found.levels:
            self._main.close()
            return
        self.level = found.levels[-1]
        usual_s = found.usual_s
        if self._job.guarding:
            reply = self._main.run(found.levels[-1], self.original, trace=False, nodes=self._job.guarding)
            passing = [run.node_id for run in reply.runs if run.passed] if reply is not None else []
            if reply is not None and reply.duration_s <= GUARDING_S:
                self._guarding, usual_s = tuple(passing), usual_s + reply.duration_s
        self._main.timeout_s = for_variants(self._job.limits, usual_s, endless=bool(found.endless))
        self._main.late = [*found.passing, *found.endless]  # most variants fail before, and what hangs is dear

    def _calibrated(self) -> Calibration:
        """Compare with what is known of cold runs; where that is too little, or another outcome, with a new one."""
        known = {run.node_id: run for run in self._job.known}
        if known.keys() >= set(self._job.nodes):
            self._main.open()
            found = self._compared([known[node] for node in self._job.nodes])
            if self._main.ready <= set(found.levels):
                return found
            for level in self._main.ready:
                self._main.why.pop(level, None)
            return self._compared(self._run_cold(self._job.files()).tests)
        cold = self._threads.submit(self._run_cold, self._job.files())
        try:
            self._main.open()
        finally:
            truth = cold.result().tests
        return self._compared(truth)

    def _compared(self, truth: Sequence[TestRun]) -> Calibration:
        self._main.timeout_s = for_calibration(self._job.limits, truth)
        found = calibrate(self._main, truth)
        if found.read_only and "swap" not in found.levels:
            found = self._calibrate_writable(truth) or found
        return found

    def _calibrate_writable(self, truth: Sequence[TestRun]) -> Calibration | None:
        worker = Worker(self._job, swap=True, writable=True)
        worker.timeout_s = self._main.timeout_s
        try:
            worker.open()
            found = calibrate(worker, truth)
        except RunnerError:
            worker.close()
            return None
        self._main.close()
        self._main, self.writable = worker, True
        return found

    def _open_others(self) -> None:
        """Start the other sandboxes, without waiting for them."""
        if self.level != "cold" and not self._closed:
            missing = self._wanted - 1 - len(self._others)
            self._others += [self._threads.submit(self._open_one) for _ in range(missing)]

    def _open_one(self) -> Worker | None:
        worker = Worker(self._job, swap="swap" in self._main.ready, writable=self.writable)
        worker.timeout_s, worker.late = self._main.timeout_s, self._main.late
        try:
            ready = worker.open()
        except (RunnerError, OSError):
            return None
        if self._closed or ready != self._main.ready:
            worker.close()
            return None
        return worker

    def _helpers(self) -> Iterator[Worker]:
        for future in self._others:
            if future.done() and not future.cancelled() and (worker := future.result()) is not None:
                yield worker


class _Work:
    """Variants that several threads take one after the other, and what became of each."""

    def __init__(self, sources: Sequence[bytes]) -> None:
        self._left = iter(enumerate(sources))
        self._lock = threading.Lock()
        self._results: list[Execution | None] = [None] * len(sources)
        self._stopped = False

    def __iter__(self) -> Iterator[tuple[int, bytes]]:
        while True:
            with self._lock:
                taken = None if self._stopped else next(self._left, None)
            if taken is None:
                return
            yield taken

    def put(self, place: int, execution: Execution) -> None:
        self._results[place] = execution

    def stop(self) -> None:
        """Hand out nothing more."""
        self._stopped = True

    def results(self) -> list[Execution]:
        """Return them all; every variant has been run."""
        return [execution for execution in self._results if execution is not None]


def _with_trace(run: TestRun, trace: Trace | None) -> TestRun:
    return replace(run, trace=trace) if trace is not None else run


def _unparsable(node: str, why: str, trace: bool) -> TestRun:
    kind, _, message = why.partition(": ")
    lost = Trace(lost="the file does not compile") if trace else None
    return TestRun(node, "error", "collect", exception=kind, message=message, trace=lost)
