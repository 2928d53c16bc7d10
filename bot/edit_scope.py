"""What a function's module tells of it beside names: what is called there, what stands idle, what is bound nowhere.

Pure syntax. Each piece is a text among the names in scope, and the form of these texts has its only home here:
"parse(url)" is called with one argument, "Lock()" with none, "floor(...)" is imported or private and named nowhere,
"total =" is read by the function and bound nowhere, "x = f(y)" binds such a name elsewhere, "if not x: return None"
opens other functions.
"""

from __future__ import annotations

import ast
import builtins
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

CALLED = 8  # functions of the module that are told of
BARE = 4  # of those that are called without arguments
IDLE = 4  # if more stand idle, the module is there to pass names on
LINES = 8  # bindings of what is bound nowhere, by how often they occur
OPENINGS = 4  # checks that begin other functions, by how often
LONGEST = 100  # characters of such a line
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_BUILTINS = frozenset(dir(builtins))
_Function = ast.FunctionDef | ast.AsyncFunctionDef


def words_of(name: str) -> set[str]:
    """Return the words of an identifier, of three letters at least: `__getItem_no__` has "get" and "item"."""
    return {word.lower() for word in re.findall(r"[A-Z]?[a-z]{2,}|[A-Z]{3,}", name) if len(word) > 2}


def related(name: str, other: str) -> bool:
    """Return whether a word of one name is in the other: `__len__` and `_length`."""
    lower = name.lower(), other.lower()
    return any(word in lower[1] for word in words_of(name)) or any(word in lower[0] for word in words_of(other))


def called_with_one(names: Iterable[str]) -> list[tuple[str, str]]:
    """Return the module's functions that are called with one argument, each with its parameter's name or "x"."""
    found = [re.fullmatch(r"([\w.]+)\((\w+)\)", name) for name in names if not name.startswith("self.")]
    return [(match[1], match[2]) for match in found if match]


def own_methods(names: Iterable[str]) -> list[tuple[str, str]]:
    """Return the methods of the object, as "self.save", each with its parameter or ""."""
    found = [re.fullmatch(r"(self\..*?)\((.*)\)", name, re.DOTALL) for name in names]
    return [(match[1], match[2]) for match in found if match]


def called_with_none(names: Iterable[str]) -> list[str]:
    return [name for name in names if re.fullmatch(r"(?!self\.|super\()[\w.]+\(\)", name)]


def idle(names: Iterable[str]) -> list[str]:
    return [name.removesuffix("(...)") for name in names if name.endswith("(...)")]


def unbound(names: Iterable[str]) -> list[str]:
    return [name.removesuffix(" =") for name in names if name.endswith(" =")]


def bindings(names: Iterable[str]) -> list[str]:
    return [name for name in names if re.match(r"\w[\w, ]* = .", name)]


def openings(names: Iterable[str]) -> list[str]:
    return [name for name in names if name.startswith("if ")]


def enclosing(tree: ast.Module, qualname: str, first_line: int) -> list[_Function]:
    """Return the function of this name that is nearest to `first_line`, behind the functions around it."""
    chains = [chain for chain, name in _chains(tree, [], "") if name == qualname]
    return min(chains, key=lambda chain: abs(chain[-1].lineno - first_line), default=[])


def _chains(node: ast.AST, around: list[_Function], prefix: str) -> Iterator[tuple[list[_Function], str]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, _FUNCTIONS):
            yield [*around, child], prefix + child.name
            yield from _chains(child, [*around, child], f"{prefix}{child.name}.<locals>.")
        elif isinstance(child, ast.ClassDef):
            yield from _chains(child, around, f"{prefix}{child.name}.")
        else:
            yield from _chains(child, around, prefix)


def locals_around(chain: Sequence[_Function]) -> list[str]:
    """Return the names of the functions around the last, the nearest first: what a nested function may use."""
    found = [name for function in reversed(chain[:-1]) for name in _bound_in(function)]
    return [name for name in dict.fromkeys(found) if name not in ("self", "cls", chain[-1].name)]


def told(tree: ast.Module, chain: Sequence[_Function]) -> list[str]:
    """Return what the module tells of the last function of `chain`; see this module for the forms."""
    if not chain:
        return []
    function = chain[-1]
    module = set(_bound_by(tree.body))
    known = {*module, *_BUILTINS, *_bound_in(function), *(name for outer in chain for name in _bound_in(outer))}
    missing = [] if "*" in module else _missing(function, known)
    others = [node for node in ast.walk(tree) if isinstance(node, _FUNCTIONS) and node not in chain]
    lines = _bindings(others, missing, {*known, *missing})
    return [
        *_called(tree, function, module),
        *(f"{name}(...)" for name in _idle(tree)),
        *(f"{name} =" for name in missing),
        *lines,
        *_openings(others, function, known),
    ]


def _bound_by(statements: Iterable[ast.AST]) -> Iterator[str]:
    """Yield what these statements bind, but for what is local to functions and classes in them."""
    for node in statements:
        if isinstance(node, (*_FUNCTIONS, ast.ClassDef)):
            yield node.name
            continue
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            yield from ((alias.asname or alias.name).partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            yield node.id
        elif isinstance(node, (ast.ExceptHandler, ast.MatchAs, ast.MatchStar)) and node.name:
            yield node.name
        elif isinstance(node, ast.MatchMapping) and node.rest:
            yield node.rest
        elif isinstance(node, (ast.Global, ast.Nonlocal)):
            yield from node.names
        yield from _bound_by(ast.iter_child_nodes(node))


def _bound_in(function: _Function) -> list[str]:
    spec = function.args
    listed = [*spec.posonlyargs, *spec.args, spec.vararg, *spec.kwonlyargs, spec.kwarg]
    return list(dict.fromkeys([*(item.arg for item in listed if item is not None), *_bound_by(function.body)]))


def _reads(node: ast.AST) -> list[str]:
    return [name.id for name in ast.walk(node) if isinstance(name, ast.Name) and isinstance(name.ctx, ast.Load)]


def _missing(function: _Function, known: set[str]) -> list[str]:
    """Return what the body reads and nothing binds."""
    inner = {name for node in ast.walk(function) for name in _inner(node)}
    read = [name for statement in function.body for name in _reads(statement)]
    return [name for name in dict.fromkeys(read) if name not in known and name not in inner and name[:2] != "__"]


def _inner(node: ast.AST) -> Iterator[str]:
    """Yield what a function or a class within binds."""
    if isinstance(node, _FUNCTIONS):
        yield from _bound_in(node)
    elif isinstance(node, ast.ClassDef):
        yield from _bound_by(node.body)
    elif isinstance(node, ast.arg):
        yield node.arg


def _called(tree: ast.Module, function: _Function, module: set[str]) -> list[str]:
    """Return what the module calls with one argument or none: what is akin to this function first, then by use."""
    uses: Counter[str] = Counter()
    bare: Counter[str] = Counter()
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and len(node.args) < 2 and not node.keywords:
            name = ast.unparse(node.func) if isinstance(node.func, (ast.Name, ast.Attribute)) else ""
            owner = name.partition(".")[0]
            if name.count(".") < 2 and owner in module and owner not in _BUILTINS:
                (uses if node.args else bare)[name] += 1
    parameters = {node.name: _only_parameter(node) for node in tree.body if isinstance(node, _FUNCTIONS)}
    uses.update({name: 1 for name, parameter in parameters.items() if parameter})
    plain = [name for name in uses if name != function.name and not name.endswith(("Error", "Exception", "Warning"))]
    ordered = sorted(plain, key=lambda name: (not related(name, function.name), -uses[name]))
    unlike = [f"{name}()" for name, _ in bare.most_common() if name not in uses and name != function.name]
    return [*(f"{name}({parameters.get(name) or 'x'})" for name in ordered[:CALLED]), *unlike[:BARE]]


def _only_parameter(function: _Function) -> str:
    """Return the parameter of a function that takes one argument, "" for others."""
    spec = function.args
    names = [argument.arg for argument in [*spec.posonlyargs, *spec.args]]
    required = names[: len(names) - len(spec.defaults)]
    return names[0] if names and len(required) <= 1 and not any(value is None for value in spec.kw_defaults) else ""


def _idle(tree: ast.Module) -> list[str]:
    """Return what the module imports from elsewhere, or defines as its own, and names nowhere."""
    private = [
        node.name
        for node in tree.body
        if isinstance(node, (*_FUNCTIONS, ast.ClassDef)) and node.name[:1] == "_" and node.name[:2] != "__"
    ]
    imported = [
        alias.asname or alias.name
        for node in tree.body
        if isinstance(node, ast.ImportFrom) and node.module != "__future__"
        for alias in node.names
        if alias.asname is None or alias.asname != alias.name
    ]
    named: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, (ast.Name, ast.Attribute)):
            named.add(node.id if isinstance(node, ast.Name) else node.attr)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and "\n" not in node.value:
            named.update(re.findall(r"\w+", node.value))  # `__all__`, annotations in quotes
    found = [name for name in dict.fromkeys([*imported, *private]) if name not in named and name != "*"]
    return found if len(found) <= IDLE else []


def _bindings(others: Iterable[_Function], missing: Sequence[str], known: set[str]) -> list[str]:
    """Return how other functions bind the names that are missing here, with what is known here."""
    found: Counter[str] = Counter()
    for node in [node for function in others for node in ast.walk(function)] if missing else ():
        if isinstance(node, ast.Assign) and len(node.targets) == 1:
            stored = {name.id for name in ast.walk(node.targets[0]) if isinstance(name, ast.Name)}
            if stored & set(missing) and isinstance(node.targets[0], (ast.Name, ast.Tuple)):
                found.update(_line(node) if known.issuperset(_reads(node.value)) else ())
    return [line for line, _ in found.most_common(LINES)]


def _openings(others: Iterable[_Function], function: _Function, known: set[str]) -> list[str]:
    """Return the checks with which two other functions begin, with what is known here; not the function's own."""
    found: Counter[str] = Counter()
    for other in others:
        for node in other.body[:3]:
            leaves = isinstance(node, ast.If) and not node.orelse and isinstance(node.body[0], (ast.Return, ast.Raise))
            if isinstance(node, ast.If) and leaves and known.issuperset(_reads(node)):
                found.update(_line(node))
    own = {line for node in function.body if isinstance(node, ast.If) for line in _line(node)}
    return [line for line, times in found.most_common(OPENINGS) if times > 1 and line not in own]


def _line(node: ast.stmt) -> Iterator[str]:
    """Yield the statement as one line, if it can be one."""
    text = re.sub(r":\n +", ": ", ast.unparse(node))
    if len(text) <= LONGEST and "\n" not in text:
        yield text
