"""Development cases as small repositories: one faulty function in a module, its asserts split into two halves.

Both halves fail on the faulty body and pass on the reference body. The visible half is what a repair may run; the
hidden half judges afterwards. Source of the cases: HumanEvalFix (OctoPack, arXiv:2308.07124), one JSON object a line.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runners import open_runner
from runners.choose import RunnerKind
from runners.runner import Limits, SuiteRequest

MODULE = "solution.py"
VISIBLE = "tests/test_visible.py"
HIDDEN = "tests/test_hidden.py"


@dataclass(frozen=True, slots=True)
class Case:
    """One faulty function with its tests, each test a whole module text of its own."""

    name: str
    kind: str  # the kind of fault
    entry_point: str
    faulty: str  # module text
    reference: str
    tests: tuple[str, ...]  # sources of test functions


def read_cases(path: Path) -> Iterator[Case]:
    """Yield the cases of a HumanEvalFix file whose `check` can be split into single asserts."""
    for line in path.read_text(encoding="utf-8").splitlines():
        record = json.loads(line)
        tests = _split(record)
        if len(tests) >= 2:
            yield Case(
                record["task_id"].replace("/", "-"),
                record["bug_type"],
                record["entry_point"],
                _module(record, record["buggy_solution"]),
                _module(record, record["canonical_solution"]),
                tests,
            )


def _module(record: dict[str, Any], body: str) -> str:
    text = record["docstring"].strip().replace("\\", "\\\\").replace('"""', "'''")
    lines = "\n".join(f"    {line}".rstrip() for line in text.splitlines())
    return f'{record["declaration"].rstrip()}\n    """{lines.strip()}\n    """\n{body.rstrip()}\n'


def _split(record: dict[str, Any]) -> tuple[str, ...]:
    """Return one test function for each top-level assert or loop of `check`, with the statements it may need."""
    tree = ast.parse(record["test"])
    check = next(n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name == "check")
    set_up: list[ast.stmt] = []
    tests = []
    for statement in check.body:
        if not isinstance(statement, (ast.Assert, ast.For)):
            set_up.append(statement)
            continue
        body = [ast.unparse(s) for s in (*set_up, statement)]
        text = "\n".join(body).replace("candidate(", f"{record['entry_point']}(")
        lines = "".join(f"    {line}\n" for line in text.splitlines())
        tests.append(f"def test_{len(tests)}():\n{lines}")
    rest = [ast.unparse(n) for n in tree.body if n is not check and not isinstance(n, ast.Expr)]
    return tuple(dict.fromkeys("\n".join(rest) + "\n\n\n" * bool(rest) + test for test in tests))


def halves(case: Case, folder: Path, runner: RunnerKind) -> tuple[list[str], list[str]] | None:
    """Return (visible, hidden) tests, failing ones dealt alternately; None when the halves cannot both fail."""
    failing, passing = [], []
    write(folder, case.faulty, {VISIBLE: case.tests}, case.entry_point)
    on_faulty = _outcomes(folder, runner)
    write(folder, case.reference, {VISIBLE: case.tests}, case.entry_point)
    on_reference = _outcomes(folder, runner)
    for position, test in enumerate(case.tests):
        if not on_reference.get(position):
            continue
        (passing if on_faulty.get(position) else failing).append(test)
    if len(failing) < 2:
        return None
    return failing[::2] + passing[::2], failing[1::2] + passing[1::2]


def _outcomes(folder: Path, runner: RunnerKind) -> dict[int, bool]:
    opened = open_runner(runner, folder, Limits(test_timeout_s=5.0))
    try:
        suite = opened.run_suite(SuiteRequest())
    finally:
        opened.close()
    return {int(run.node_id.rpartition("_")[2]): run.passed for run in suite.tests if "::" in run.node_id}


def write(folder: Path, module: str, tests: dict[str, Sequence[str]], entry_point: str) -> None:
    """Make `folder` a small repository holding `module` and the test files given, and nothing else."""
    for old in (VISIBLE, HIDDEN):
        (folder / old).unlink(missing_ok=True)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MODULE).write_text(module, encoding="utf-8")
    (folder / "pyproject.toml").write_text('[tool.pytest.ini_options]\npythonpath = ["."]\n', encoding="utf-8")
    for path, sources in tests.items():
        (folder / path).parent.mkdir(exist_ok=True)
        numbered = [re.sub(r"def test_\d+", f"def test_{n}", source, count=1) for n, source in enumerate(sources)]
        text = f"from solution import {entry_point}\n\n\n" + "\n\n".join(numbered)
        (folder / path).write_text(text, encoding="utf-8")
