"""Cases: small repositories with one faulty function, their failing tests dealt into a visible and a hidden half.

A case is ready to be repaired: `files` is all that a repair may see, `hidden` the tests that judge what it published.
Both halves fail on the fault and pass without it. Cases are made once, by running the tests in the sandbox, and kept in
a file, so that every arm and every later run meets the same halves. Source of the development cases: HumanEvalFix
(OctoPack, arXiv:2308.07124), one JSON object a line.
"""

from __future__ import annotations

import ast
import json
import re
import shutil
import tempfile
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bot.functions import find_function, splice
from runners import open_runner
from runners.choose import RunnerKind
from runners.runner import Limits, SuiteRequest, SuiteRun

TEST_TIMEOUT_S = 5.0
LIMITS = Limits(test_timeout_s=TEST_TIMEOUT_S)
MODULE = "solution.py"
TESTS = "tests/test_solution.py"
PYTEST_SETTINGS = '[tool.pytest.ini_options]\npythonpath = ["."]\n'

Files = Mapping[str, str]  # path -> text


@dataclass(frozen=True, slots=True)
class Case:
    """One fault to repair.

    kind: the class of fault. path, function: where it is, for scoring the ranking only. operators: that made it.
    told: True when every failing test of the hidden half also stands in the function's docstring.
    """

    name: str
    kind: str
    path: str
    function: str
    files: Files
    hidden: Files
    operators: tuple[str, ...] = ()
    told: bool = False


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A fault that makes no case, and why."""

    name: str
    kind: str
    reason: str


@dataclass(frozen=True, slots=True)
class Problem:
    """A faulty and a correct module with tests that are not dealt yet.

    header: of the test module. tests: sources of test functions called test_0, test_1, ... shown: those among them that
    the docstring of the function shows too, which therefore should not judge.
    """

    name: str
    kind: str
    function: str
    faulty: str
    reference: str
    header: str
    tests: tuple[str, ...]
    shown: frozenset[str] = frozenset()
    operators: tuple[str, ...] = ()


# ------------------------------------------------------------------------------------------------------ HumanEvalFix


def read_problems(path: Path) -> Iterator[Problem]:
    """Yield the problems of a HumanEvalFix file; each top-level assert or loop of `check` is a test of its own."""
    for line in path.read_text(encoding="utf-8").splitlines():
        record = json.loads(line)
        name = record["entry_point"]
        examples = {_statement(test) for test in _examples(record)}
        tests = split_check(record["test"], name)
        yield Problem(
            record["task_id"].replace("/", "-"),
            record["bug_type"],
            name,
            _module(record, record["buggy_solution"]),
            _module(record, record["canonical_solution"]),
            f"from solution import {name}\n",
            tests,
            frozenset(test for test in tests if _statement(test) in examples),
        )


def _examples(record: Mapping[str, Any]) -> tuple[str, ...]:
    try:
        return split_check(record["example_test"], record["entry_point"])
    except SyntaxError:  # of one record; its examples are then unknown
        return ()


def _module(record: Mapping[str, Any], body: str) -> str:
    text = record["docstring"].strip().replace("\\", "\\\\").replace('"""', "'''")
    lines = "\n".join(f"    {line}".rstrip() for line in text.splitlines())
    return f'{record["declaration"].rstrip()}\n    """{lines.strip()}\n    """\n{body.rstrip()}\n'


def split_check(source: str, name: str) -> tuple[str, ...]:
    """Return one test function for each top-level assert or loop of `check`, with the statements it may need."""
    tree = ast.parse(source)
    check = next((n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name == "check"), None)
    if check is None:
        return ()
    set_up: list[ast.stmt] = []
    tests: list[str] = []
    for statement in check.body:
        if not isinstance(statement, ast.Assert | ast.For):
            set_up.append(statement)
            continue
        text = "\n".join(ast.unparse(s) for s in (*set_up, statement)).replace("candidate(", f"{name}(")
        tests.append(as_test(text))
    rest = [ast.unparse(n) for n in tree.body if n is not check and not isinstance(n, ast.Expr)]
    return tuple(dict.fromkeys("\n".join(rest) + "\n\n\n" * bool(rest) + test for test in tests))


def as_test(body: str) -> str:
    """Return a test function of these lines, numbered when it is written into a module."""
    return "def test_0():\n" + textwrap.indent(f"{body}\n", "    ")


def _statement(test: str) -> str:
    """Return what a test asserts, without its message."""
    function = ast.parse(test).body[-1]
    assert isinstance(function, ast.FunctionDef)
    last = function.body[-1]
    return ast.unparse(last.test if isinstance(last, ast.Assert) else last)


# ----------------------------------------------------------------------------------------------------------- dealing


def deal(problem: Problem, runner: RunnerKind) -> Case | LeftOut:
    """Run the tests on both modules and deal them; a problem whose halves cannot both fail is left out."""
    failing: list[str] = []
    passing: list[str] = []
    on_faulty = _outcomes(_files(problem, problem.faulty, problem.tests), runner)
    on_reference = _outcomes(_files(problem, problem.reference, problem.tests), runner)
    for position, test in enumerate(problem.tests):
        if on_reference.get(position):
            (passing if on_faulty.get(position) else failing).append(test)
    if len(failing) < 2:
        return LeftOut(problem.name, problem.kind, f"{len(failing)} of its tests fail, so two halves cannot")
    visible, hidden = dealt(failing, problem.shown)
    return Case(
        problem.name,
        problem.kind,
        MODULE,
        problem.function,
        _files(problem, problem.faulty, [*visible, *passing[::2]]),
        {TESTS: as_module(problem.header, [*hidden, *passing[1::2]])},
        problem.operators,
        set(hidden) <= problem.shown,
    )


def dealt(failing: Sequence[str], shown: frozenset[str]) -> tuple[list[str], list[str]]:
    """Return (visible, hidden) failing tests: those shown in a docstring are visible, the rest evens the halves out.

    Only where nothing would be hidden then, shown tests are dealt in turns. Needs at least two.
    """
    visible = [test for test in failing if test in shown]
    hidden: list[str] = []
    if len(visible) == len(failing):
        return visible[::2], visible[1::2]
    for test in failing:
        if test not in shown:
            (visible if len(visible) <= len(hidden) else hidden).append(test)
    return visible, hidden


def as_module(header: str, tests: Sequence[str]) -> str:
    """Return a test module; its functions are numbered in order."""
    numbered = [re.sub(r"def test_\d+", f"def test_{n}", source, count=1) for n, source in enumerate(tests)]
    return f"{header}\n\n" + "\n\n".join(numbered)


def _files(problem: Problem, module: str, tests: Sequence[str]) -> dict[str, str]:
    return {MODULE: module, "pyproject.toml": PYTEST_SETTINGS, TESTS: as_module(problem.header, tests)}


def _outcomes(files: Files, runner: RunnerKind) -> dict[int, bool]:
    """Return number -> passed of the tests of one module."""
    suite = _run(files, runner)
    return {int(run.node_id.rpartition("_")[2]): run.passed for run in suite.tests if "::" in run.node_id}


def _run(files: Files, runner: RunnerKind) -> SuiteRun:
    """Run all tests of a repository of these files, in a fresh process."""
    with repository(files) as folder:
        opened = open_runner(runner, folder, LIMITS)
        try:
            return opened.run_suite(SuiteRequest())
        finally:
            opened.close()


@contextmanager
def repository(files: Files) -> Iterator[Path]:
    """Yield a folder that holds these files and nothing else; it goes away afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="egcfg-case-"))
    try:
        for path, text in files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text, encoding="utf-8")
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def judged_right(case: Case, patched: Files, runner: RunnerKind) -> bool:
    """Say whether every test of the hidden half passes in the repository with the files of a patch."""
    return all_pass({**case.files, **patched, **case.hidden}, runner)


def all_pass(files: Files, runner: RunnerKind) -> bool:
    """Say whether a repository has tests and all of them pass, in a fresh process."""
    suite = _run(files, runner)
    return suite.complete and bool(suite.tests) and all(run.passed for run in suite.tests)


# ------------------------------------------------------------------------------------------------------------- files


@dataclass(slots=True)
class CaseFile:
    """Cases in a file, a line of JSON each. Files that many cases share stand in a "base" line before them."""

    path: Path
    bases: dict[str, Files] = field(default_factory=dict)

    def share(self, name: str, files: Files) -> None:
        """Write the files that later cases have in common, once."""
        known = dict(_bases(self.path)).get(name) if self.path.exists() else None
        if known is not None and known != files:
            raise ValueError(f"{self.path} was made from other files of {name}")
        self.bases[name] = files
        if known is None:
            self._append({"base": name, "files": dict(files)})

    def add(self, case: Case | LeftOut, base: str = "", body: Mapping[str, Any] | None = None) -> None:
        """Write a case; of its files only what its base does not have. body: the faulty function, if that is all.

        A body is {"path", "qualname", "first_line", "body"}: the fault that is put into a file of the base.
        """
        if isinstance(case, LeftOut):
            self._append({"left_out": case.name, "kind": case.kind, "reason": case.reason})
            return
        shared = self.bases.get(base, {})
        own = {p: text for p, text in case.files.items() if shared.get(p) != text and (not body or p != body["path"])}
        about = {"kind": case.kind, "path": case.path, "function": case.function, "operators": list(case.operators)}
        rest = {"told": case.told, "base": base, "body": body, "files": own, "hidden": dict(case.hidden)}
        self._append({"case": case.name, **about, **rest})

    def _append(self, record: Mapping[str, Any]) -> None:
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")


def _bases(path: Path) -> Iterator[tuple[str, Files]]:
    for record in map(json.loads, path.read_text(encoding="utf-8").splitlines()):
        if "base" in record and "case" not in record:
            yield record["base"], record["files"]


def load(path: Path) -> Iterator[Case | LeftOut]:
    """Yield the cases of a file that `CaseFile` wrote."""
    bases = dict(_bases(path))
    for record in map(json.loads, path.read_text(encoding="utf-8").splitlines()):
        if "left_out" in record:
            yield LeftOut(record["left_out"], record["kind"], record["reason"])
        elif "case" in record:
            yield _case(record, {**bases.get(record["base"], {}), **record["files"]})


def _case(record: Mapping[str, Any], files: dict[str, str]) -> Case:
    body = record["body"]
    if body:
        source = files[body["path"]].encode()
        function = find_function(source, body["qualname"], body["first_line"])
        if function is None:
            raise ValueError(f"{record['case']}: there is no {body['qualname']} in {body['path']}")
        files[body["path"]] = splice(source, function, body["body"]).decode()
    about = {name: record[name] for name in ("kind", "path", "function", "hidden", "told")}
    return Case(record["case"], files=files, operators=tuple(record["operators"]), **about)


def is_case_file(path: Path) -> bool:
    """True for a file of cases, False for one of HumanEvalFix records."""
    with path.open(encoding="utf-8") as file:
        first = json.loads(file.readline() or "{}")
    return not {"task_id", "buggy_solution"} <= set(first)


def prepare(problems: Iterable[Problem], path: Path, runner: RunnerKind, known: Iterable[str] = ()) -> None:
    """Deal the problems that are not `known` by name, one after the other, and append them to the case file."""
    seen = set(known)
    file = CaseFile(path)
    for problem in problems:
        if problem.name not in seen:
            file.add(deal(problem, runner))
