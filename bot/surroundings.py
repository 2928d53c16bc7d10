"""Finds what a function needs of its repository: its class, what it calls and names, who calls it, the tests' fixtures.

Pure: files come through a callable. Everything found is a `Part`; `bot.decoding.selection` decides what is used. What
failing tests execute tells which of several functions of one name is meant; imports are followed for what they do not
reach. Nothing is taken from tests but the fixtures that the given tests name, without their decorators: parameters in
them belong to other tests.
"""

from __future__ import annotations

import ast
import posixpath
import textwrap
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from bot.decoding.prompt import Part
from bot.functions import FunctionNode, FunctionText, find_function, functions_in
from bot.syntax import last_name, parsed
from runners.runner import FunctionKey

Read = Callable[[str], bytes]  # path -> the file's bytes; any exception means that it cannot be read

ENCLOSING_LINES = 40  # an enclosing function is shown if it is at most so long, else its signature
CALLEE_LINES = 12  # a callee's body is shown if it is at most so long, else its signature
CALLERS = 3
BASES = 4


@dataclass(slots=True)
class _File:
    """A file of the repository that was read."""

    path: str
    source: bytes
    tree: ast.Module
    text: str
    functions: list[FunctionText] = field(default_factory=list)


@dataclass(slots=True)
class Repository:
    """The repository's files, each read and parsed at most once; what cannot be read is not there."""

    read: Read
    known: dict[str, _File | None] = field(default_factory=dict)

    def file(self, path: str) -> _File | None:
        if path not in self.known:
            self.known[path] = _file(path, self.read)
        return self.known[path]


def _file(path: str, read: Read) -> _File | None:
    try:
        source = read(path)
        tree = parsed(source)
        text = source.decode("utf-8-sig").replace("\r\n", "\n")
    except Exception:  # unreadable, not UTF-8, not Python: told nothing of
        return None
    return _File(path, source, tree, text, functions_in(source))


def surroundings(
    function: FunctionText, path: str, repository: Repository, executed: Iterable[FunctionKey] = ()
) -> list[Part]:
    """Return what there is to tell about a function of the file `path`. executed: by the tests that fail."""
    own = repository.file(path)
    if own is None:
        return []
    executed = sorted(set(executed), key=lambda key: (key.path != path, key.path, key.first_line))
    mentioned = mentioned_in(function)
    imported = dict(_imports(own.tree))
    parts = [*_statements(own, mentioned), *_around(function, own), *_bases(function, own, repository, imported)]
    parts += _callees(function, own, repository, mentioned, executed, imported)
    parts += _callers(function, own, repository, executed)
    return parts


def mentioned_in(function: FunctionText) -> set[str]:
    """Return the names and attributes in a function."""
    nodes = list(ast.walk(parsed(function.text)))
    names = {node.id for node in nodes if isinstance(node, ast.Name)}
    return names | {node.attr for node in nodes if isinstance(node, ast.Attribute)}


def signature(function: FunctionText) -> str:
    """Return decorators, signature and docstring with "..." for a body."""
    return f"{function.header.rstrip()}\n    ...\n"


def _shown(function: FunctionText) -> tuple[str, str]:
    """Return a callee's text and its short form."""
    short = signature(function)
    return (function.text if function.text.count("\n") <= CALLEE_LINES else short), short


# ------------------------------------------------------------------------------------------------------ its own file


def _statements(own: _File, mentioned: set[str]) -> Iterator[Part]:
    """Yield the imports and constants of the module that the function mentions."""
    for node in own.tree.body:
        names: set[str] = set()
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = {(alias.asname or alias.name).partition(".")[0] for alias in node.names} & mentioned
        elif isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign):
            stored = {n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
            names = stored & mentioned
        if names:
            kind = "import" if isinstance(node, ast.Import | ast.ImportFrom) else "constant"
            text = _segment(own, node)
            yield Part(kind, ", ".join(sorted(names)), text, _first_line(text))  # type: ignore[arg-type]


def _segment(file: _File, node: ast.stmt) -> str:
    return "\n".join(file.text.split("\n")[node.lineno - 1 : node.end_lineno]) + "\n"


def _first_line(text: str) -> str:
    """Return the first line of a long statement, cut; "" for one that has no other."""
    first, _, rest = text.partition("\n")
    return f"{first}  # ...\n" if rest.strip() else ""


def _around(function: FunctionText, own: _File) -> Iterator[Part]:
    """Yield the class of a method and the function around a nested one."""
    owner = function.qualname.rpartition(".")[0]
    node = _class(own.tree, owner)
    if node is not None:
        methods = [f for f in own.functions if f.qualname.rpartition(".")[0] == owner and f != function]
        yield Part("class", owner, _class_text(node, own, methods, mentioned_in(function)), _class_text(node, own, []))
    outermost, nested, _ = function.qualname.partition(".<locals>.")
    for other in own.functions if nested else ():
        if other.qualname == outermost and other.first_line <= function.first_line <= other.end_line:
            short = other.text.count("\n") <= ENCLOSING_LINES
            yield Part("enclosing", outermost, other.text if short else signature(other), signature(other))


def _class(tree: ast.Module, qualname: str) -> ast.ClassDef | None:
    body: list[ast.stmt] = tree.body
    found: ast.ClassDef | None = None
    for name in qualname.split(".") if qualname else []:
        found = next((node for node in body if isinstance(node, ast.ClassDef) and node.name == name), None)
        if found is None:
            return None
        body = found.body
    return found


def _class_text(node: ast.ClassDef, file: _File, methods: Sequence[FunctionText], mentioned: Iterable[str] = ()) -> str:
    """Return the class's first line, its plain attributes, `__init__` and what is mentioned, of the rest signatures."""
    first = file.text.split("\n")[node.lineno - 1].strip()
    lines = [(first if first.endswith(":") else f"class {node.name}:") + "\n"]
    for child in node.body:
        if isinstance(child, ast.Assign | ast.AnnAssign):
            lines.append(textwrap.indent(textwrap.dedent(_segment(file, child)), "    "))
    for method in methods:
        whole = method.name == "__init__" or (method.name in mentioned and method.text.count("\n") <= CALLEE_LINES)
        lines.append(textwrap.indent(method.text if whole else signature(method), "    "))
    return "".join(lines) if len(lines) > 1 else f"{lines[0]}    ...\n"


# ------------------------------------------------------------------------------------------------------- other files


def _imports(tree: ast.Module) -> Iterator[tuple[str, tuple[str, str, int]]]:
    """Yield name -> (module, name in it or "", level of a relative import)."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.asname or alias.name, (alias.name, "", 0)
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                yield alias.asname or alias.name, (node.module or "", alias.name, node.level)


def _resolved(
    name: str, own: _File, repository: Repository, imported: dict[str, tuple[str, str, int]]
) -> tuple[_File, str] | None:
    """Return the file that defines an imported name, and the name there; one re-export is followed."""
    if name not in imported:
        return None
    module, member, level = imported[name]
    for path in _candidates(module, member, level, own.path):
        file = repository.file(path)
        if file is None:
            continue
        if not member or any(getattr(node, "name", "") == member for node in file.tree.body):
            return file, member
        further = dict(_imports(file.tree))
        if member in further and further[member][2]:
            again_module, again, again_level = further[member]
            for other in _candidates(again_module, again, again_level, path):
                found = repository.file(other)
                if found is not None and any(getattr(node, "name", "") == again for node in found.tree.body):
                    return found, again
    return None


def _candidates(module: str, member: str, level: int, path: str) -> list[str]:
    """Return the paths at which a module may lie, seen from the file `path`."""
    folder = posixpath.dirname(path)
    stem = module.replace(".", "/")
    if level:
        for _ in range(level - 1):
            folder = posixpath.dirname(folder)
        roots = [folder]
    else:
        roots = ["", "src", folder]
        while folder:
            folder = posixpath.dirname(folder)
            roots.append(folder)
    names = [stem, f"{stem}/{member}".strip("/")] if member else [stem]
    paths = [posixpath.join(root, name + end) for root in roots for name in names for end in (".py", "/__init__.py")]
    return list(dict.fromkeys(posixpath.normpath(p) for p in paths if not p.startswith(("/", "."))))


def _bases(
    function: FunctionText, own: _File, repository: Repository, imported: dict[str, tuple[str, str, int]]
) -> Iterator[Part]:
    """Yield the repository's base classes of the function's class, nearest first."""
    node = _class(own.tree, function.qualname.rpartition(".")[0])
    waiting = [(own, base) for base in node.bases] if node is not None else []
    seen: set[str] = set()
    while waiting and len(seen) < BASES:
        file, expression = waiting.pop(0)
        name = expression.id if isinstance(expression, ast.Name) else getattr(expression, "attr", "")
        where = (file, name) if _class(file.tree, name) else None
        table = imported if file is own else dict(_imports(file.tree))
        where = where or _resolved(name, file, repository, table)
        base = _class(where[0].tree, where[1]) if where is not None else None
        if where is None or base is None or f"{where[0].path}:{where[1]}" in seen:
            continue
        seen.add(f"{where[0].path}:{where[1]}")
        methods = [f for f in where[0].functions if f.qualname.rpartition(".")[0] == where[1]]
        same = [f for f in methods if f.name in (function.name, "__init__")]
        elsewhere = "" if where[0] is own else where[0].path
        text = _class_text(base, where[0], methods, {function.name})
        yield Part("base", where[1], text, _class_text(base, where[0], same), elsewhere)
        waiting += [(where[0], further) for further in base.bases]


def _callees(
    function: FunctionText,
    own: _File,
    repository: Repository,
    mentioned: set[str],
    executed: Sequence[FunctionKey],
    imported: dict[str, tuple[str, str, int]],
) -> Iterator[Part]:
    """Yield the functions and classes of the repository that the function calls; its own methods are in its class."""
    owner = function.qualname.rpartition(".")[0]
    done: set[str] = {function.name}
    if owner and _class(own.tree, owner) is not None:
        done |= {f.name for f in own.functions if f.qualname.rpartition(".")[0] == owner}
    for other in own.functions:
        if other.qualname in mentioned - done:
            done.add(other.name)
            yield Part("callee", other.qualname, *_shown(other))
    for name in sorted(mentioned - done):
        where = _resolved(name, own, repository, imported)
        where = (own, name) if where is None and _class(own.tree, name) else where
        if where is None:
            continue
        file, member = where
        elsewhere = "" if file is own else file.path
        named = [f for f in file.functions if f.qualname == member]
        node = _class(file.tree, member)
        if named:
            done.add(name)
            yield Part("callee", member, *_shown(named[-1]), elsewhere)
        elif node is not None:
            done.add(name)
            methods = [f for f in file.functions if f.qualname.rpartition(".")[0] == member]
            text = _class_text(node, file, methods, mentioned)
            yield Part("callee", member, text, _class_text(node, file, []), elsewhere)
    for key in executed:  # methods of objects, and what `import` alone does not tell
        name = key.qualname.rpartition(".")[2]
        other_file = repository.file(key.path) if name in mentioned - done else None
        found = find_function(other_file.source, key.qualname, key.first_line) if other_file is not None else None
        if found is not None and found != function:
            done.add(name)
            yield Part("callee", key.qualname, *_shown(found), "" if key.path == own.path else key.path)


def _callers(
    function: FunctionText, own: _File, repository: Repository, executed: Sequence[FunctionKey]
) -> Iterator[Part]:
    """Yield how functions that the failing tests execute call this one: their signature and the statement."""
    wanted = function.qualname.rpartition(".")[0].rpartition(".")[2] if function.name == "__init__" else function.name
    count = 0
    for key in executed:
        file = repository.file(key.path)
        caller = (
            find_function(file.source, key.qualname, key.first_line) if file is not None and count < CALLERS else None
        )
        if caller is None or (key.path == own.path and key.qualname == function.qualname):
            continue
        calls = [node for node in ast.walk(parsed(caller.text)) if isinstance(node, ast.Call)]
        node = next((call for call in calls if _called(call) == wanted), None)
        if node is not None:
            count += 1
            line = caller.text.split("\n")[node.lineno - 1].strip()
            text = f"# in {key.qualname}:\n{line}\n"
            yield Part("caller", key.qualname, text, "", "" if key.path == own.path else key.path)


def _called(call: ast.Call) -> str:
    """Return the last part of the name that a call names, or ""."""
    return call.func.id if isinstance(call.func, ast.Name) else getattr(call.func, "attr", "")


# ---------------------------------------------------------------------------------------------------------- fixtures


def fixtures(test_path: str, names: Iterable[str], repository: Repository) -> Iterator[Part]:
    """Yield the fixtures of these names that a test of the file sees: from the file, then from conftest.py upwards."""
    folder = posixpath.dirname(test_path)
    paths = [test_path, posixpath.join(folder, "conftest.py")]
    while folder:
        folder = posixpath.dirname(folder)
        paths.append(posixpath.join(folder, "conftest.py"))
    for name in names:
        for path in dict.fromkeys(paths):
            file = repository.file(path)
            node = next((n for n in file.tree.body if _is_fixture(n, name)), None) if file is not None else None
            if file is not None and node is not None:
                lines = file.text.split("\n")[node.lineno - 1 : node.end_lineno]
                yield Part("fixture", name, "# a fixture\n" + "\n".join(lines) + "\n", "", path)
                break


def _is_fixture(node: ast.stmt, name: str) -> bool:
    if not isinstance(node, FunctionNode):
        return False
    for decorator in node.decorator_list:
        call = decorator.func if isinstance(decorator, ast.Call) else decorator
        if last_name(call) in ("fixture", "yield_fixture"):
            given = [k.value for k in decorator.keywords if k.arg == "name"] if isinstance(decorator, ast.Call) else []
            called = given[0].value if given and isinstance(given[0], ast.Constant) else node.name
            return bool(called == name)
    return False
