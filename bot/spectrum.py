"""Which tests execute which functions, and where failures stand in them: counted once, for ranking and grouping.

Pure: coverage and frames come in records, source text through a callable. Functions of test files, of installed
packages and functions that `bot.functions` cannot rewrite are left out; so are functions executed only at import, since
coverage is taken while a test runs.
"""

from __future__ import annotations

import ast
import posixpath
import re
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from bot.called_names import called, mentioned
from bot.context import source_of_test
from bot.functions import FunctionText, find_function, function_at, functions_in
from bot.records import TestFailure
from bot.syntax import parsed, smallest, statements_at
from runners.runner import FunctionKey, TestRun

Sources = Callable[[str], bytes]  # path -> the file's bytes
IsTestPath = Callable[[str], bool]
Changes = Mapping[str, Collection[range]]  # path -> ranges of 1-based lines

TEST_FOLDERS = frozenset({"test", "tests"})
FOREIGN_FOLDERS = frozenset({"site-packages", "dist-packages", ".venv", "venv", ".tox", ".nox", "node_modules"})

FAR = 2  # of functions that the statement at which a test fails does not name


def is_test_path(path: str) -> bool:
    """True for test modules, conftest files and everything in a folder of tests."""
    *folders, name = path.split("/")
    if name == "conftest.py" or name.startswith("test_") or name.endswith("_test.py"):
        return True
    return not TEST_FOLDERS.isdisjoint(folders)


class Spectrum:
    """What failing tests execute, how many passing tests execute it too, and what is known of those functions."""

    def __init__(
        self,
        failures: Sequence[TestFailure],
        passing: Iterable[TestRun],
        sources: Sources,
        is_test_path: IsTestPath = is_test_path,
        *,
        changes: Changes | None = None,
    ) -> None:
        """Count. changes: lines that the last change touched, which mark their functions as changed.

        Passing tests without coverage are not counted: nothing is known of them.
        """
        files = Files(sources, is_test_path)
        self.failures = tuple(failures)
        self.frames = {failure.node_id: _from_frames(failure, files) for failure in failures}
        self.in_frames = frozenset(key for places in self.frames.values() for key in places)
        self.executed: dict[str, frozenset[FunctionKey]] = {}
        self.distance: dict[str, dict[FunctionKey, int]] = {}  # from the statement at which a test fails
        self.guesses: set[FunctionKey] = set()  # named by a test that left no coverage
        for failure in failures:
            self._add(failure, files)
        keys = frozenset().union(*self.executed.values())
        self.functions = {key: text for key in keys if (text := files.rewritable(key)) is not None}
        for failure in failures:
            names = _called_where_it_fails(failure, sources, is_test_path)
            mine = (key for key in self.executed[failure.node_id] if key in self.functions)
            self.distance[failure.node_id] = {key: _distance(key, names) for key in mine}
        self.by_passing: Counter[FunctionKey] = Counter()
        self.measured = 0  # passing tests whose coverage is known
        for run in passing:
            if run.passed and run.functions:
                self.measured += 1
                self.by_passing.update(run.functions & keys)
        self.trivial = frozenset(key for key, text in self.functions.items() if _is_trivial(text))
        self.changed = frozenset(key for key, text in self.functions.items() if _touched(key, text, changes or {}))
        self._callees = _callees(self.functions)

    def _add(self, failure: TestFailure, files: Files) -> None:
        found = {*failure.functions, *self.frames[failure.node_id]}
        kept = frozenset(key for key in found if files.rewritable(key) is not None)
        if not kept:  # a hang or crash leaves no coverage
            kept = frozenset(key for key in _imported_by(failure, files) if files.rewritable(key) is not None)
            self.guesses |= kept
        self.executed[failure.node_id] = kept

    def depths(self, keys: Collection[FunctionKey]) -> dict[FunctionKey, int]:
        """Return how many calls lie between a test and each function, judged by the names that the bodies mention."""
        callees = {key: [callee for callee in self._callees[key] if callee in keys] for key in keys}
        called = {callee for found in callees.values() for callee in found}
        depths = {key: 0 for key in keys if key not in called}
        queue = deque(depths)
        while queue:
            key = queue.popleft()
            for callee in callees[key]:
                if callee not in depths:
                    depths[callee] = depths[key] + 1
                    queue.append(callee)
        return {key: depths.get(key, 0) for key in keys}


def _touched(key: FunctionKey, text: FunctionText, changes: Changes) -> bool:
    return any(lines.start <= text.end_line and text.first_line < lines.stop for lines in changes.get(key.path, ()))


@dataclass(slots=True)
class Files:
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


def _from_frames(failure: TestFailure, files: Files) -> dict[FunctionKey, float]:
    """Return the score of each function in the traceback: 1 for the innermost that may be rewritten, then 1/2, 1/3."""
    scores: dict[FunctionKey, float] = {}
    for frame in reversed(failure.frames):
        key = files.at(frame.path, frame.line)
        if key is not None and key not in scores and files.rewritable(key) is not None:
            scores[key] = 1 / (1 + len(scores))
    return scores


def _called_where_it_fails(failure: TestFailure, sources: Sources, is_test_path: IsTestPath) -> frozenset[str]:
    """Return the names that the statement calls at which the innermost test file fails."""
    place = next((frame for frame in reversed(failure.frames) if is_test_path(frame.path)), None)
    try:
        statement = smallest(statements_at(parsed(sources(place.path)), place.line)) if place is not None else None
    except Exception:  # unreadable, outside the repository, another Python's syntax
        return frozenset()
    return called(statement) if statement is not None else frozenset()


def _distance(key: FunctionKey, names: Collection[str]) -> int:
    """Return 0 for a function that one of `names` calls, 1 where they name the class that it makes, else `FAR`."""
    *_, owner, name = ["", *key.qualname.split(".")]
    return 0 if name in names else 1 if name in ("__init__", "__call__") and owner in names else FAR


def _imported_by(failure: TestFailure, files: Files) -> set[FunctionKey]:
    """Return the functions that the test's module imports and its text mentions: all that is known without coverage."""
    path = failure.node_id.partition("::")[0]
    text = source_of_test(failure.node_id, files.sources)
    try:
        tree, names = parsed(files.sources(path)), mentioned(parsed(text))
    except Exception:
        return set()
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
            if function.name in names or (owner in names and function.name in ("__init__", "__call__")):
                found.add(FunctionKey(candidate, function.qualname, function.first_line))
    return found


def _paths(modules: Iterable[str], test_path: str, files: Files) -> list[str]:
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


def _is_trivial(function: FunctionText) -> bool:
    """True for bodies that only store or hand on what they were given: little in them can be wrong."""
    tree = parsed(function.text).body[0]
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


def _callees(functions: Mapping[FunctionKey, FunctionText]) -> dict[FunctionKey, frozenset[FunctionKey]]:
    """Return the functions that each may call, by the names that its body mentions."""
    by_name: dict[str, list[FunctionKey]] = {}
    for key, text in functions.items():
        by_name.setdefault(text.name, []).append(key)
        if text.name in ("__init__", "__new__", "__call__"):
            by_name.setdefault(key.qualname.split(".")[-2] if "." in key.qualname else "", []).append(key)
    return {
        key: frozenset(k for name in mentioned(parsed(text.text)) for k in by_name.get(name, ()) if k != key)
        for key, text in functions.items()
    }
