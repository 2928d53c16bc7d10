"""Decides which functions are to blame: Ochiai suspiciousness over coverage, averaged with the traceback.

Pure: coverage and frames come in records, source text through a callable. Functions of test files, of installed
packages and functions that `bot.functions` cannot rewrite are never suspects; neither are functions executed only at
import, since coverage is taken while a test runs.
Sources: Ochiai after Abreu et al. 2006; the mean with the traceback after FauxPy's combinations (arXiv:2305.19834).
"""

from __future__ import annotations

import ast
import math
import posixpath
import re
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from bot.context import source_of_test
from bot.functions import FunctionText, find_function, function_at, functions_in
from bot.records import Suspect, TestFailure
from runners.runner import FunctionKey, TestRun

Sources = Callable[[str], bytes]  # path -> the file's bytes
IsTestPath = Callable[[str], bool]

TEST_FOLDERS = frozenset({"test", "tests"})
FOREIGN_FOLDERS = frozenset({"site-packages", "dist-packages", ".venv", "venv", ".tox", ".nox", "node_modules"})


def is_test_path(path: str) -> bool:
    """True for test modules, conftest files and everything in a folder of tests."""
    *folders, name = path.split("/")
    if name == "conftest.py" or name.startswith("test_") or name.endswith("_test.py"):
        return True
    return not TEST_FOLDERS.isdisjoint(folders)


def localise(
    failures: Sequence[TestFailure],
    passing: Sequence[TestRun],
    sources: Sources,
    is_test_path: IsTestPath = is_test_path,
) -> list[Suspect]:
    """Return the functions that may hold the fault these failures share, most suspicious first.

    Equal scores are ordered by fewer executions by passing tests, then functions that a failing test is named after,
    functions with something in them to get wrong, deeper calls, fewer lines, path and line.
    """
    return [ranked.suspect for ranked in _rank(failures, passing, _Files(sources, is_test_path))]


def group(
    failures: Sequence[TestFailure],
    passing: Sequence[TestRun] = (),
    sources: Sources | None = None,
    is_test_path: IsTestPath = is_test_path,
) -> list[list[TestFailure]]:
    """Return the failures in groups that one function may explain; cases of one parametrized test stay together.

    Each test's most suspicious functions are found alone; then the function that tops the most tests makes a group of
    them, again and again. Tests that execute few functions come first: a patch for them may repair the wider ones too.
    Without `sources` only the innermost frames outside tests are compared.
    """
    cases: dict[str, list[TestFailure]] = {}
    for failure in failures:
        cases.setdefault(failure.node_id.partition("[")[0], []).append(failure)
    width: dict[str, int] = {}  # functions that each test executes
    tops: dict[str, list[FunctionKey]] = {}
    files = _Files(sources, is_test_path) if sources is not None else None
    for name, members in cases.items():
        ranked = _rank(members, passing, files) if files is not None else []
        width[name] = len(ranked)
        tops[name] = _top(ranked) if files is not None else _innermost(members[0], is_test_path)
    groups: list[tuple[int, list[TestFailure]]] = []
    while tops:
        votes: dict[FunctionKey, list[str]] = {}
        for name, keys in tops.items():
            for key in keys:
                votes.setdefault(key, []).append(name)
        together = max(votes.values(), key=len) if votes else [next(iter(tops))]  # the first of equals
        groups.append((min(width[n] for n in together), [failure for name in together for failure in cases[name]]))
        for name in together:
            del tops[name]
    order = {failure.node_id: number for number, failure in enumerate(failures)}
    groups.sort(key=lambda item: (item[0], order[item[1][0].node_id]))
    return [members for _, members in groups]


@dataclass(frozen=True, slots=True)
class _Ranked:
    suspect: Suspect
    evidence: tuple[float, int, bool, bool]  # what makes one function clearly more suspicious than another
    order: tuple[object, ...]


@dataclass(slots=True)
class _Files:
    """The functions that may be rewritten, looked up once."""

    sources: Sources
    is_test_path: IsTestPath
    known: dict[FunctionKey, FunctionText | None] = field(default_factory=dict)
    contents: dict[str, bytes | None] = field(default_factory=dict)

    def rewritable(self, key: FunctionKey) -> FunctionText | None:
        if key not in self.known:
            source = self.read(key.path)
            found = find_function(source, key.qualname, key.first_line) if source is not None else None
            self.known[key] = found
        return self.known[key]

    def at(self, path: str, line: int) -> FunctionKey | None:
        """Return the function of a frame."""
        source = self.read(path)
        if source is None:
            return None
        function = function_at(source, line)
        return FunctionKey(path, function.qualname, function.first_line) if function else None

    def _excluded(self, path: str) -> bool:
        return self.is_test_path(path) or not FOREIGN_FOLDERS.isdisjoint(path.split("/"))

    def read(self, path: str) -> bytes | None:
        if path not in self.contents:
            self.contents[path] = None
            if not self._excluded(path):
                try:
                    self.contents[path] = self.sources(path)
                except Exception:  # unreadable, outside the repository: never a suspect
                    return None
        return self.contents[path]


def _rank(failures: Sequence[TestFailure], passing: Sequence[TestRun], files: _Files) -> list[_Ranked]:
    located = [_from_frames(failure, files) for failure in failures]
    executed = [failure.functions | set(frames) for failure, frames in zip(failures, located, strict=True)]
    guessed: set[FunctionKey] = set()
    for number, failure in enumerate(failures):
        if not any(files.rewritable(key) for key in executed[number]):  # a hang or crash leaves no coverage
            guessed |= _imported_by(failure, files)
            executed[number] |= guessed
    functions = {key: text for key in frozenset().union(*executed) if (text := files.rewritable(key)) is not None}
    by_passing = {key: sum(key in run.functions for run in passing if run.passed) for key in functions}
    names = _words(failure.node_id for failure in failures)
    depths = _depths(functions)
    ranked = []
    for key, text in functions.items():
        by_failing = sum(key in keys for keys in executed)
        ochiai = by_failing / math.sqrt(len(failures) * (by_failing + by_passing[key]))
        traceback = sum(frames.get(key, 0.0) for frames in located) / len(failures)
        score = round((ochiai + traceback) / 2, 6)
        verb = "named" if key in guessed else "executed"
        reason = (
            f"{verb} by {by_failing} of {len(failures)} failing and {by_passing[key]} of {len(passing)} passing tests"
        )
        reason += _place_in_traceback([frames.get(key, 0.0) for frames in located])
        evidence = (-score, by_passing[key], not _named_after(text.name, names), _is_trivial(text))
        order = (*evidence, -depths[key], text.text.count("\n"), key.path, key.first_line)
        ranked.append(_Ranked(Suspect(key, score, round(ochiai, 6), round(traceback, 6), reason), evidence, order))
    return sorted(ranked, key=lambda item: item.order)


def _top(ranked: Sequence[_Ranked]) -> list[FunctionKey]:
    """Return the functions that nothing but depth, size and name tells from the first."""
    return [item.suspect.key for item in ranked if item.evidence == ranked[0].evidence]


def _innermost(failure: TestFailure, is_test_path: IsTestPath) -> list[FunctionKey]:
    frames = [frame for frame in failure.frames if not is_test_path(frame.path)]
    return [FunctionKey(frames[-1].path, frames[-1].function, 0)] if frames else []


def _from_frames(failure: TestFailure, files: _Files) -> dict[FunctionKey, float]:
    """Return the score of each function in the traceback: 1 for the innermost that may be rewritten, then 1/2, 1/3."""
    scores: dict[FunctionKey, float] = {}
    for frame in reversed(failure.frames):
        key = files.at(frame.path, frame.line)
        if key is not None and key not in scores and files.rewritable(key) is not None:
            scores[key] = 1 / (1 + len(scores))
    return scores


def _imported_by(failure: TestFailure, files: _Files) -> set[FunctionKey]:
    """Return the functions that the test's module imports and its text mentions: all that is known without coverage."""
    path = failure.node_id.partition("::")[0]
    text = source_of_test(failure.node_id, files.sources)
    try:
        tree, test = ast.parse(files.sources(path)), ast.parse(text)
    except Exception:
        return set()
    mentioned = {n.id for n in ast.walk(test) if isinstance(n, ast.Name)}
    mentioned |= {n.attr for n in ast.walk(test) if isinstance(n, ast.Attribute)}
    modules: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            modules += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            modules += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    found: set[FunctionKey] = set()
    for candidate in _paths(modules, path, files):
        for function in functions_in(files.read(candidate) or b""):
            owner = function.qualname.split(".")[0]
            if function.name in mentioned or (owner in mentioned and function.name in ("__init__", "__call__")):
                found.add(FunctionKey(candidate, function.qualname, function.first_line))
    return found


def _paths(modules: Iterable[str], test_path: str, files: _Files) -> list[str]:
    """Return the files that may be these modules, and those that their packages' `__init__` import from."""
    roots = ["", "src/", f"{test_path.rpartition('/')[0]}/", f"{test_path.rpartition('/')[0]}/../"]
    found: dict[str, None] = {}
    for module in modules:
        stem = module.replace(".", "/")
        for path in (posixpath.normpath(root + stem + end) for root in roots for end in (".py", "/__init__.py")):
            source = files.read(path) if not path.startswith((".", "/")) else None
            if source is None or path in found:
                continue
            found[path] = None
            if path.endswith("__init__.py"):
                names = re.findall(rb"^\s*from \.(\w+) import", source, re.MULTILINE)
                found.update(dict.fromkeys(f"{path.removesuffix('__init__.py')}{name.decode()}.py" for name in names))
    return list(found)


def _place_in_traceback(scores: Iterable[float]) -> str:
    best = max(scores, default=0.0)
    return "; innermost frame of the traceback" if best == 1 else "; in the traceback" if best else ""


def _words(node_ids: Iterable[str]) -> str:
    """Return the test functions' and classes' names as one string of words between underscores."""
    names = (node_id.partition("::")[2].partition("[")[0] for node_id in node_ids)
    return "".join(f"_{re.sub(r'(?<=[a-z0-9])(?=[A-Z])|::', '_', name).lower()}_" for name in names)


def _named_after(name: str, words: str) -> bool:
    """True if a test's name holds the function's."""
    plain = name.strip("_").lower()
    return len(plain) > 2 and f"_{plain}_" in words


def _is_trivial(function: FunctionText) -> bool:
    """True for bodies that only store or hand on what they were given: little in them can be wrong."""
    tree = ast.parse(function.text).body[0]
    assert isinstance(tree, ast.FunctionDef | ast.AsyncFunctionDef)
    return all(_hands_on(statement) for statement in tree.body)


def _hands_on(statement: ast.stmt) -> bool:
    if isinstance(statement, ast.Assign | ast.AnnAssign | ast.Return | ast.Expr):
        value = statement.value
        while isinstance(value, ast.Attribute):
            value = value.value
        empty = isinstance(value, ast.List | ast.Tuple | ast.Dict) and ast.unparse(value) in ("[]", "()", "{}")
        return value is None or isinstance(value, ast.Name | ast.Constant) or empty
    return isinstance(statement, ast.Pass)


def _depths(functions: Mapping[FunctionKey, FunctionText]) -> dict[FunctionKey, int]:
    """Return how many calls lie between a test and each function, judged by the names that the bodies mention."""
    by_name: dict[str, list[FunctionKey]] = {}
    for key, text in functions.items():
        by_name.setdefault(text.name, []).append(key)
        if text.name in ("__init__", "__new__", "__call__"):
            by_name.setdefault(key.qualname.split(".")[-2] if "." in key.qualname else "", []).append(key)
    callees = {
        key: {k for name in _mentioned(text) for k in by_name.get(name, ()) if k != key}
        for key, text in functions.items()
    }
    called = frozenset().union(*callees.values()) if callees else frozenset()
    depths = {key: 0 for key in functions if key not in called}
    queue = deque(depths)
    while queue:
        key = queue.popleft()
        for callee in callees[key]:
            if callee not in depths:
                depths[callee] = depths[key] + 1
                queue.append(callee)
    return {key: depths.get(key, 0) for key in functions}


def _mentioned(function: FunctionText) -> set[str]:
    nodes = list(ast.walk(ast.parse(function.text)))
    names = {node.id for node in nodes if isinstance(node, ast.Name)}
    return names | {node.attr for node in nodes if isinstance(node, ast.Attribute)}
