"""Variants of the target: a whole patched file becomes the code of one function, by a swap or by an import."""

from __future__ import annotations
import __future__

import ast
import functools
import gc
import importlib.machinery
import operator
import os
import types
import warnings
from types import CodeType
from typing import Any

from runners.harness.injected import FRONTIER, SENTINEL
from runners.harness.probes import (
    Function,
    find_chain,
    find_function,
    instrument_function,
    is_docstring,
    starting_line,
)

Functions = list[tuple[types.FunctionType, int]]  # each with its place in the chain


class Variants:
    """The target function, and how a whole patched file becomes the code of that one function."""

    def __init__(self, root: str, path: str, qualname: str, first_line: int, source: bytes) -> None:
        self.file = os.path.join(root, path)
        self.path, self.qualname, self.first_line, self.source = path, qualname, first_line, source
        tree = ast.parse(source)
        self.chain = find_chain(tree, qualname, first_line)
        self.generator = _yields(find_function(tree, qualname, first_line))
        self.original: list[CodeType] = []
        self.refusal = ""
        try:
            self._split(source, tree)
        except (LookupError, SyntaxError) as error:
            self.refusal = str(error)

    def _split(self, source: bytes, tree: ast.Module) -> None:
        """Find what lies around the outermost function; raise LookupError when it cannot be compiled alone."""
        self.flags = compile(tree, self.file, "exec", dont_inherit=True).co_flags & _FUTURE
        self.outer = next(n for n, node in enumerate(self.chain) if not isinstance(node, ast.ClassDef))
        lines = source.splitlines(keepends=True)
        unit = self.chain[self.outer]
        self.unit_line = starting_line(unit)
        self.prefix = b"".join(lines[: self.unit_line - 1])
        self.suffix = b"".join(lines[unit.end_lineno :])
        classes = self.chain[: self.outer]
        headers = [_indent(lines[node.lineno - 1]) + b"class %s:\n" % node.name.encode() for node in classes]
        inside = _indent([*headers, lines[self.unit_line - 1]][0])  # of an `if` or `try`
        self.headers = [b"if 1:\n", *headers] if inside else headers
        self.imported = _imported(tree)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = self.unit(source)
            self.original, self.skeleton = self.codes(tree), self._skeleton(tree)
        self.code = self.original[-1]

    def refuses(self) -> str:
        """Say why the code of this function cannot be swapped, judging by its text; "" if it can."""
        if self.refusal:
            return self.refusal
        for node in self.chain[self.outer :]:
            for decorator in getattr(node, "decorator_list", ()):
                name = decorator.func if isinstance(decorator, ast.Call) else decorator
                word = name.attr if isinstance(name, ast.Attribute) else getattr(name, "id", "?")
                if word not in _SWAPPABLE_DECORATORS:
                    return f"decorated with {word}"
        return ""

    def transform(
        self, tree: ast.AST, first_line: int | None = None, trace: bool = False, sentinel: bool = False
    ) -> None:
        """Change a parsed variant in place: sentinel first, a generator stays one, probes if asked."""
        try:
            node = find_function(tree, self.qualname, self.first_line if first_line is None else first_line)
        except LookupError:
            return
        place = 1 if is_docstring(node.body[0]) else 0
        if sentinel:
            line = node.body[place].lineno if place < len(node.body) else node.body[0].lineno
            call = ast.Call(ast.Name(SENTINEL, ast.Load()), [], [])
            raising = ast.Raise(call, None)
            raising.lineno, raising.col_offset = line, 0
            node.body.insert(place, raising)
        elif self.generator and not _yields(node) and _calls_frontier(node):
            node.body.append(_dead(ast.Expr(ast.Yield(None)), node.body[-1]))
        ast.fix_missing_locations(tree)
        if trace:
            instrument_function(node)
            ast.fix_missing_locations(tree)

    def unit(self, source: bytes) -> ast.Module:
        """Return the tree of the outermost function around the target, alone but under its own names."""
        if not (source.startswith(self.prefix) and source.endswith(self.suffix)):
            raise LookupError("the file differs outside of the function")
        text = source[len(self.prefix) : len(source) - len(self.suffix)]
        tree = ast.parse(b"".join(self.headers) + text)
        ast.increment_lineno(tree, self.unit_line - len(self.headers) - 1)
        node: Any = tree.body[0] if len(self.headers) > self.outer else tree
        for kind in self.chain[: self.outer + 1]:
            if len(node.body) != 1 or type(node.body[0]) is not type(kind) or node.body[0].name != kind.name:
                raise LookupError("the text does not stay inside the function")
            node = node.body[0]
        return tree

    def codes(self, tree: ast.Module) -> list[CodeType]:
        """Compile a tree; return the code objects from the outermost function to the target.

        The module's imports go with it: from 3.11 on a call of `module.name` is compiled in another way than one of an
        object's method, by what is imported at the top.
        """
        module = ast.Module([*self.imported, *tree.body], [])
        codes, code = [], compile(module, self.file, "exec", flags=self.flags, dont_inherit=True)
        for node in self.chain:
            line = starting_line(node)
            found = [c for c in code.co_consts if isinstance(c, types.CodeType) and c.co_name == node.name]
            exact = [c for c in found if c.co_firstlineno == line or isinstance(node, ast.ClassDef)]
            if len(exact) != 1:
                raise LookupError(f"{node.name} is not there exactly once")
            code = exact[0]
            codes.append(code)
        return codes[self.outer :]

    def swap(self, functions: Functions, source: bytes, trace: bool = False, sentinel: bool = False) -> None:
        """Give every function object the code of a variant; raise LookupError if that is not the same as importing."""
        with warnings.catch_warnings():  # importing would show them to the tests, and may be what they fail on
            warnings.simplefilter("error")
            tree = self.unit(source)
            if self._skeleton(tree) != self.skeleton:
                raise LookupError("the signature differs")
            self.transform(tree, trace=trace, sentinel=sentinel)
            codes = self._same_scope(tree, self.codes(tree))
        for old, new in zip(self.original, codes):
            if old.co_freevars != new.co_freevars or (old.co_flags ^ new.co_flags) & 0x2A0:
                raise LookupError("the variant closes over other variables or is of another kind")
        for function, place in functions:
            function.__code__ = codes[place]

    def _same_scope(self, tree: ast.Module, codes: list[CodeType]) -> list[CodeType]:
        """Return the codes with the free variables that the variant no longer names, named where nothing runs."""
        missing = set(self.code.co_freevars) - set(codes[-1].co_freevars)
        if not missing:
            return codes
        node = find_function(tree, self.qualname, self.first_line)
        names = ast.Tuple([ast.Name(name, ast.Load()) for name in sorted(missing)], ast.Load())
        node.body.append(_dead(ast.Expr(names), node.body[-1]))
        ast.fix_missing_locations(tree)
        return self.codes(tree)

    def _skeleton(self, tree: ast.Module) -> str:
        node = find_function(tree, self.qualname, self.first_line)
        body, node.body = node.body, []
        text = ast.dump(tree)
        node.body = body
        return text

    def functions(self) -> Functions:
        """Return (function object, place in the chain) for all that live in this process."""
        places = {code.co_firstlineno: place for place, code in enumerate(self.original)}
        real = os.path.realpath(self.file)
        found = []
        for candidate in gc.get_objects():
            if type(candidate) is types.FunctionType:
                code = candidate.__code__
                place = places.get(code.co_firstlineno)
                named = place is not None and code.co_name == self.original[place].co_name
                if named and place is not None and os.path.realpath(code.co_filename) == real:
                    found.append((candidate, place))
        return found

    def copied(self, functions: Functions) -> str:
        """Say how their code lives on elsewhere, where a swap would not reach it; "" if it does not."""
        if any(function.__code__.co_code != self.original[place].co_code for function, place in functions):
            return "its code was changed when it was imported"
        if _holders({id(function.__code__): function.__code__ for function, _ in functions}):
            return "something holds its code"
        lines = {code.co_firstlineno for code in self.original}
        known = {code.co_code: code.co_name for code in self.original}
        for candidate in gc.get_objects():
            if type(candidate) is types.FunctionType:
                code = candidate.__code__
                renamed = code.co_name != known.get(code.co_code, code.co_name)
                if renamed and code.co_filename.endswith(self.path) and code.co_firstlineno in lines:
                    return "its code was copied"
        return ""

    def hook_import(self, source: bytes, trace: bool, sentinel: bool) -> None:
        """Make the next import of the target's file compile `source`, with probes or sentinel as asked."""
        real = os.path.realpath(self.file)
        plain = importlib.machinery.SourceFileLoader.source_to_code

        def source_to_code(loader: Any, data: Any, path: Any, *args: Any, **options: Any) -> Any:
            if os.path.realpath(os.fspath(path)) != real:
                return plain(loader, data, path, *args, **options)
            tree = ast.parse(source, os.fspath(path))
            self.transform(tree, trace=trace, sentinel=sentinel)
            return compile(tree, path, "exec", dont_inherit=True)

        loader_class: Any = importlib.machinery.SourceFileLoader
        loader_class.source_to_code = source_to_code
        rewrite: Any = importlib.import_module("_pytest.assertion.rewrite")
        rewriting = rewrite.rewrite_asserts

        def rewrite_asserts(
            module: ast.Module, data: bytes, module_path: str | None = None, *args: Any, **options: Any
        ) -> Any:
            if module_path is not None and os.path.realpath(module_path) == real:
                self.transform(module, trace=trace, sentinel=sentinel)
            return rewriting(module, data, module_path, *args, **options)

        rewrite.rewrite_asserts = rewrite_asserts


def _holders(codes: dict[int, CodeType]) -> list[object]:
    """Return what holds one of the code objects (by id), other than functions and the constants of a code object."""
    ours = {id(codes)}
    inner = list(codes.values())
    while inner:
        constants = inner.pop().co_consts
        ours.add(id(constants))
        inner += [constant for constant in constants if isinstance(constant, types.CodeType)]
    found = [holder for code in codes.values() for holder in gc.get_referrers(code)]
    known = (types.FunctionType, types.FrameType)
    return [holder for holder in found if id(holder) not in ours and not isinstance(holder, known)]


_FEATURES = [getattr(__future__, name).compiler_flag for name in __future__.all_feature_names]
_FUTURE = functools.reduce(operator.or_, _FEATURES) & ~0x10  # but CO_NESTED, which every inner function has
_SWAPPABLE_DECORATORS = frozenset(
    {"staticmethod", "classmethod", "property", "setter", "deleter", "getter", "lru_cache", "cache", "cached_property"}
    | {"contextmanager", "asynccontextmanager", "abstractmethod", "override", "final", "wraps"}
)


def _imported(tree: ast.Module) -> list[ast.stmt]:
    """Return imports of the names that the module's own statements import, for the compiler's eyes alone."""
    names = []
    nodes: list[ast.AST] = [tree]
    while nodes:
        node = nodes.pop()
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            names += [alias.asname or alias.name.partition(".")[0] for alias in node.names if alias.name != "*"]
        elif not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.expr)):
            nodes.extend(ast.iter_child_nodes(node))
    module = ast.Module([ast.Import([ast.alias(name)]) for name in dict.fromkeys(names)], [])
    return ast.fix_missing_locations(module).body


def _indent(line: bytes) -> bytes:
    return line[: len(line) - len(line.lstrip())]


def _dead(statement: ast.stmt, where: ast.stmt) -> ast.stmt:
    """Return a statement that never runs but keeps the compiler's view of a function's scope."""
    return ast.copy_location(ast.If(ast.Constant(0), [ast.copy_location(statement, where)], []), where)


def _yields(function: Function) -> bool:
    """Say whether a function's own body yields."""
    nodes: list[ast.AST] = list(function.body)
    while nodes:
        node = nodes.pop()
        if isinstance(node, (ast.Yield, ast.YieldFrom)):
            return True
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)):
            nodes.extend(ast.iter_child_nodes(node))
    return False


def _calls_frontier(function: Function) -> bool:
    return any(isinstance(node, ast.Name) and node.id == FRONTIER for node in ast.walk(function))
