"""Probes in a function's syntax tree: at its start, at each statement, where it returns, yields and raises."""

from __future__ import annotations

import ast
from typing import Union

Function = Union[ast.FunctionDef, ast.AsyncFunctionDef]
Definition = Union[Function, ast.ClassDef]


def instrument(source: str | bytes, qualname: str, first_line: int) -> ast.Module:
    """Return the module of `source` with probes in the function `qualname` whose code starts at `first_line`.

    Raises SyntaxError, or LookupError when there is no such function.
    """
    tree = ast.parse(source)
    instrument_tree(tree, qualname, first_line)
    return tree


def instrument_tree(tree: ast.Module, qualname: str, first_line: int) -> None:
    """Insert the probes into a parsed module, in place."""
    instrument_function(find_function(tree, qualname, first_line))
    ast.fix_missing_locations(tree)


def find_function(tree: ast.AST, qualname: str, first_line: int) -> Function:
    """Return the function `qualname` whose code starts at `first_line`; raise LookupError."""
    found = find_chain(tree, qualname, first_line)[-1]
    assert not isinstance(found, ast.ClassDef)
    return found


def find_chain(tree: ast.AST, qualname: str, first_line: int) -> list[Definition]:
    """Return the chain of classes and functions that leads to a function, itself last; raise LookupError."""

    def search(node: ast.AST, prefix: str, chain: list[Definition]) -> list[Definition] | None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                name = prefix + child.name
                here = [*chain, child]
                if isinstance(child, ast.ClassDef):
                    found = search(child, name + ".", here)
                elif name == qualname and starting_line(child) == first_line:
                    return here
                else:
                    found = search(child, name + ".<locals>.", here)
            else:
                found = None if isinstance(child, ast.expr) else search(child, prefix, chain)
            if found:
                return found
        return None

    found = search(tree, "", [])
    if not found:
        raise LookupError(f"no function {qualname} at line {first_line}")
    return found


def starting_line(node: Definition) -> int:
    """Return the line where the code of a definition starts, as in `co_firstlineno`: that of its first decorator."""
    return min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])


def _probe(name: str, line: int, *arguments: ast.expr) -> ast.Call:
    call = ast.Call(ast.Name(f"__egcfg_{name}__", ast.Load()), [*arguments], [])
    call.lineno = call.end_lineno = line
    call.col_offset = call.end_col_offset = 0
    return call


def _statement(call: ast.Call) -> ast.stmt:
    return ast.copy_location(ast.Expr(call), call)


def is_docstring(node: ast.stmt) -> bool:
    """Say whether a statement is nothing but a string."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def instrument_function(node: Function) -> None:
    """Insert the probes into one function, in place; those inside it get theirs too."""
    head = node.body[:1] if is_docstring(node.body[0]) else []
    rest = node.body[len(head) :]
    if not rest:
        return
    end = rest[-1].lineno
    body = [_statement(_probe("c", rest[0].lineno)), *_instrument_block(rest)]
    if not isinstance(rest[-1], (ast.Return, ast.Raise)):
        body.append(_statement(_probe("e", end, ast.Constant(end))))
    again = ast.copy_location(ast.Raise(None, None), rest[-1])
    handler = ast.ExceptHandler(ast.Name("BaseException", ast.Load()), None, [_statement(_probe("x", end)), again])
    node.body = [*head, ast.copy_location(ast.Try(body, [ast.copy_location(handler, rest[-1])], [], []), rest[0])]


def _instrument_block(statements: list[ast.stmt]) -> list[ast.stmt]:
    result = []
    for node in statements:
        line = node.lineno
        if not isinstance(node, (ast.Global, ast.Nonlocal)):
            result.append(_statement(_probe("t", line, ast.Constant(line))))
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            instrument_function(node)
        elif isinstance(node, ast.ClassDef):
            for child in node.body:
                if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef)):
                    instrument_function(child)
        else:
            _Yields().visit(node)
            if isinstance(node, ast.Return) and node.value is None:
                result.append(_statement(_probe("e", line, ast.Constant(line))))
            elif isinstance(node, ast.Return) and node.value is not None:
                node.value = _probe("r", line, ast.Constant(line), node.value)
            for field in ("body", "orelse", "finalbody"):
                if getattr(node, field, None):
                    setattr(node, field, _instrument_block(getattr(node, field)))
            for part in [*getattr(node, "handlers", ()), *getattr(node, "cases", ())]:
                part.body = _instrument_block(part.body)
        result.append(node)
    return result


class _Yields(ast.NodeTransformer):
    """Wraps what one statement yields; its inner statements are visited on their own."""

    def generic_visit(self, node: ast.AST) -> ast.AST:
        for field, value in ast.iter_fields(node):
            if isinstance(value, list):
                if not any(isinstance(item, (ast.stmt, ast.ExceptHandler)) for item in value):
                    value[:] = [self.visit(item) if isinstance(item, ast.AST) else item for item in value]
            elif isinstance(value, ast.AST):
                setattr(node, field, self.visit(value))
        return node

    def visit_Lambda(self, node: ast.Lambda) -> ast.AST:
        return node

    def visit_match_case(self, node: ast.AST) -> ast.AST:
        return node

    def visit_Yield(self, node: ast.Yield) -> ast.AST:
        value = ast.Constant(None) if node.value is None else self.visit(node.value)
        node.value = _probe("y", node.lineno, ast.Constant(node.lineno), value)
        return node
