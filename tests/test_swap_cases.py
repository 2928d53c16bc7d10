"""Each way of holding on to a function, at each level of a warm session: none may silently see the old body."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from runners import wire
from runners.cold import run_suite
from runners.runner import Limits, SuiteRequest, Target, TestRun
from runners.streams import ProcessStream
from runners.wire import Channel, Hello
from runners.worker import Job, Worker, calibrate
from runners.workspace import Workspace
from tests.swap_cases import CASES, Case

LIMITS = Limits(suite_timeout_s=120, test_timeout_s=20, execution_timeout_s=20)


class Bare:
    """The harness without a sandbox around it: these bodies are ours."""

    def __init__(self, root: Path, tmp: Path) -> None:
        arguments = [sys.executable, *wire.INTERPRETER_FLAGS]
        pipe = subprocess.PIPE
        process = subprocess.Popen(arguments, stdin=pipe, stdout=pipe, stderr=pipe, start_new_session=True)
        self.root = str(root)
        self.channel = Channel(ProcessStream(process))
        self.hello: Hello = self.channel.boot(root=self.root, tmp=str(tmp), was="")

    def close(self) -> None:
        self.channel.close()


def module(case: Case) -> str:
    return f"m{CASES.index(case)}"


def node(case: Case) -> str:
    name = f"test_{module(case)}.py::test_it"
    return name + "[a]" if "parametrize" in case.test else name


def target(case: Case) -> Target:
    """Find the function; `@` says which of several of its name: the setter, or the second."""
    qualname, _, which = case.qualname.partition("@")
    lines = case.module.splitlines()
    name = qualname.rpartition(".")[2]
    places = [n for n, text in enumerate(lines, 1) if text.lstrip().startswith((f"def {name}(", f"async def {name}("))]
    line = places[1 if which else 0]
    while line > 1 and lines[line - 2].lstrip().startswith("@"):
        line -= 1
    return Target(f"{module(case)}.py", qualname, line)


class Bench:
    """One repository with every case, and what its tests say cold."""

    def __init__(self, folder: Path) -> None:
        root = folder / "cases"
        root.mkdir()
        for case in CASES:
            (root / f"{module(case)}.py").write_text(case.source("1"))
            (root / f"test_{module(case)}.py").write_text(self.renamed(case, case.test))
        self.workspace = Workspace(root)
        nodes = tuple(map(node, CASES))
        self.truth = run_suite(self, self.workspace, LIMITS, SuiteRequest(nodes)).by_id()
        fixed = {f"{module(case)}.py": case.source("2").encode() for case in CASES}
        self.right = run_suite(self, self.workspace, LIMITS, SuiteRequest(nodes, fixed)).by_id()

    def renamed(self, case: Case, text: str) -> str:
        return re.sub(r"\bM\b", module(case), text)

    def __call__(self, overlay: Path | None, *, warm: bool = False) -> Bare:
        return Bare(overlay or self.workspace.temporary() / "repo", self.workspace.temporary())


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    bench = Bench(tmp_path_factory.mktemp("bench"))
    yield bench
    bench.workspace.close()


def test_the_cases_fail_cold_as_they_are_and_pass_cold_when_right(bench: Bench) -> None:
    assert len(CASES) >= 47
    assert {case.name: bench.truth[node(case)].outcome for case in CASES if bench.truth[node(case)].passed} == {}
    assert {case.name: bench.right[node(case)].message for case in CASES if not bench.right[node(case)].passed} == {}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_no_level_of_a_session_silently_sees_the_old_body(bench: Bench, case: Case) -> None:
    job = Job(bench, bench.workspace, LIMITS, target(case), (node(case),))
    worker = Worker(job, swap=True)
    try:
        worker.open()
        truth: list[TestRun] = [bench.truth[node(case)]]
        levels = calibrate(worker, truth).levels
        assert levels == (["import"] if case.level == "import" else ["import", "swap"]), worker.why
        for level in levels:
            for value in ("2", "1"):
                reply = worker.ask(level, case.source(value).encode(), trace=value == "1", again=True)
                if level == "swap" and case.level == "variant" and value == "2":
                    assert reply.refused
                else:
                    assert not reply.refused
                    assert reply.runs[0].passed == (value == "2"), reply.runs[0].message
    finally:
        worker.close()
