"""Decides what of a bundle may be published: bodies of functions in files that may change, and nothing else.

Pure. The bundle may come from someone who wants something else published in our name, so everything that the repair
promised is looked at anew: which file, which bytes of it, which words in the new bodies. Where the file cannot be
parsed by the Python that runs us, nothing of it is published.
"""

from __future__ import annotations

import ast
import difflib
import io
import posixpath
import tokenize
import warnings
from collections.abc import Iterable, Iterator
from fnmatch import fnmatch

from bot.bundle import FileChange, Proposal
from bot.functions import FunctionText, functions_in
from bot.gate import forbidden
from bot.localise import is_test_path

PUBLISHED = ("strong", "plausible")
NEVER_FOLDERS = frozenset({".git", ".github", ".gitlab", ".circleci", "site-packages", "dist-packages", "node_modules"})
NEVER_FILES = frozenset({"conftest.py", "setup.py", "noxfile.py", "tasks.py", "sitecustomize.py", "usercustomize.py"})

Tree = ast.Module
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


def refusal(proposal: Proposal, *, exclude: Iterable[str] = (), allow_tests: bool = False) -> str:
    """Return why `proposal` may not be published, or "".

    exclude: globs of files that are never changed. allow_tests: a proposal labelled as the repair of a stale test may
    change the body of one test function; every other may not touch tests.
    """
    if proposal.word not in PUBLISHED:
        return f"its verdict is {proposal.word}"
    if proposal.kind == "tests" and not allow_tests:
        return "it changes a test, and --allow-tests was not given"
    if len({change.path for change in proposal.files}) < len(proposal.files):
        return "it changes one file twice"
    named = {(function.path, function.qualname) for function in proposal.functions}
    bodies = 0
    for change in proposal.files:
        try:
            changed = _admitted_functions(change, tests=proposal.kind == "tests", exclude=exclude)
        except ValueError as error:
            return f"{change.path}: {error}"
        bodies += len(changed)
        for function in changed:
            if not any(path == change.path and _within(name, function.qualname) for path, name in named):
                return f"{change.path}: it changes {function.qualname}, which it does not name"
            reason = forbidden(function, change.before, function.body)
            if reason:
                return f"{change.path}: {function.qualname}: {reason}"
    if proposal.kind == "tests" and bodies != 1:
        return "it changes more than one test function"
    return ""


def together_refusal(together: Iterable[FileChange], admitted: Iterable[Proposal]) -> str:
    """Return why the files of all proposals in one change may not be published although each proposal may, or ""."""
    known = {(change.path, change.before): change for one in admitted for change in one.files}
    tests = {change.path for one in admitted if one.kind == "tests" for change in one.files}
    bodies = {
        (change.path, function.qualname, function.body)
        for one in admitted
        for change in one.files
        for function in changed_functions(change)
    }
    for change in together:
        if (change.path, change.before) not in known:
            return f"{change.path}: no proposal changes it"
        try:
            changed = _admitted_functions(change, tests=change.path in tests)
        except ValueError as error:
            return f"{change.path}: {error}"
        for function in changed:
            if (change.path, function.qualname, function.body) not in bodies:
                return f"{change.path}: no proposal has this body of {function.qualname}"
    return ""


def refused_path(path: str, *, tests: bool = False, exclude: Iterable[str] = ()) -> str:
    """Return why no patch may touch the file `path`, or "". tests: it is labelled as the repair of a test."""
    *folders, name = path.split("/")
    odd = posixpath.isabs(path) or posixpath.normpath(path) != path or ".." in folders or "\\" in path
    if odd or any(ord(character) < 32 for character in path):
        return "it is no path inside a repository"
    if not name.endswith(".py"):
        return "only Python files are changed"
    if name in NEVER_FILES or not NEVER_FOLDERS.isdisjoint(folder.lower() for folder in folders):
        return "this file configures tests, builds or checks"
    if is_test_path(path) and not tests:
        return "a test is never changed to repair code"
    if tests and not is_test_path(path):
        return "it is labelled as the repair of a test, and this is none"
    if any(fnmatch(path, pattern) for pattern in exclude):
        return "--exclude names it"
    return ""


def _admitted_functions(change: FileChange, *, tests: bool, exclude: Iterable[str] = ()) -> list[FunctionText]:
    """Return the functions that a change of a file gives other bodies. Raises ValueError where it may not be made."""
    reason = refused_path(change.path, tests=tests, exclude=exclude)
    if reason:
        raise ValueError(reason)
    return changed_functions(change)


def changed_functions(change: FileChange) -> list[FunctionText]:
    """Return the outermost functions whose bodies differ, as they are in `change.after`.

    Raises ValueError, saying what, when anything but bodies of functions differs: a byte outside them, a signature, a
    decorator, a docstring, an encoding.
    """
    before, after = _parsed(change.before, "before"), _parsed(change.after, "after")
    if _encoding(change.before) != _encoding(change.after):
        raise ValueError("its encoding would change")
    skeletons = _skeleton(change.before), _skeleton(change.after)
    if skeletons[0] != skeletons[1]:
        raise ValueError(f"more than bodies of functions would change: {_first_difference(*skeletons)}")
    old = _spliceable(change.before, before)
    new = _spliceable(change.after, after)
    _bytes_outside(change, [one for one in old if one is not None])
    changed = []
    for one, other in zip(old, new, strict=True):
        if one is None or other is None:
            continue
        if one.header != other.header or one.body != other.body:
            changed.append(other)
    if not changed:
        raise ValueError("no body of a function differs")
    return changed


def _within(name: str, outermost: str) -> bool:
    """True when the function `name` is `outermost` or is defined inside it."""
    return name == outermost or name.startswith(f"{outermost}.<locals>.")


def _parsed(source: bytes, which: str) -> Tree:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(source)
            compile(source, "<file>", "exec", dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise ValueError(f"it is not Python that this machine can read ({which}: {error})") from None
    return tree


def _encoding(source: bytes) -> tuple[str, bool]:
    encoding, _ = tokenize.detect_encoding(io.BytesIO(source).readline)
    return encoding, source.startswith(b"\xef\xbb\xbf")


def _outermost(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Yield the functions that lie in no other, in order of the text."""
    for child in ast.iter_child_nodes(tree):
        if isinstance(child, FUNCTIONS):
            yield child
        else:
            yield from _outermost(child)


def _skeleton(source: bytes) -> str:
    """Return the file's syntax tree as text, with the bodies of the outermost functions but for their docstrings."""
    tree = ast.parse(source)
    for node in list(_outermost(tree)):
        documented = ast.get_docstring(node, clean=False) is not None
        node.body = node.body[:1] if documented else []
    return ast.dump(tree, indent=0)


def _first_difference(one: str, other: str) -> str:
    pairs = difflib.unified_diff(one.splitlines(), other.splitlines(), n=0, lineterm="")
    return next((line[1:81] for line in pairs if line[0] in "+-" and line[:3] not in ("+++", "---")), "their order")


def _spliceable(source: bytes, tree: Tree) -> list[FunctionText | None]:
    """Return for each outermost function what `bot.functions` makes of it; None where it could not splice."""
    known = {(one.first_line, one.qualname): one for one in functions_in(source)}
    found: list[FunctionText | None] = []
    for node in _outermost(tree):
        first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
        same = [one for (line, name), one in known.items() if line == first and name.rpartition(".")[2] == node.name]
        found.append(same[0] if len(same) == 1 else None)
    return found


def _bytes_outside(change: FileChange, functions: list[FunctionText]) -> None:
    """Raise ValueError unless every byte of `before` outside the bodies stands, in this order, in `after` too."""
    kept, at = [], 0
    for function in sorted(functions, key=lambda one: one.start):
        kept.append(change.before[at : function.start])
        at = function.end
    last = change.before[at:]
    if not kept or not change.after.startswith(kept[0]) or not change.after.endswith(last):
        raise ValueError("bytes outside the bodies of functions would change")
    position = 0
    for part in kept:
        position = change.after.find(part, position)
        if position < 0:
            raise ValueError("bytes outside the bodies of functions would change")
        position += len(part)
    if position > len(change.after) - len(last):
        raise ValueError("bytes outside the bodies of functions would change")
