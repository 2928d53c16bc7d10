"""A package's own test module, taken apart so that its failing tests can be dealt into two halves.

A test function that asserts several things is split into one function for each, with the statements before it that
assert nothing. What depended on an earlier assertion may fail then, and is left out by whoever runs it on correct code.
Pure: nothing is run here.
"""

from __future__ import annotations

import ast
import copy
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import TypeGuard

from bot.syntax import last_name

Function = ast.FunctionDef
Name = tuple[str, str]  # class or "", function


@dataclass(frozen=True, slots=True)
class Suite:
    """A test module whose test functions assert one thing each. names: of all of them, in order."""

    tree: ast.Module
    names: tuple[Name, ...]

    def text(self, kept: Collection[Name]) -> str:
        """Return the module with only these tests; what is no test stays as it is."""
        tree = copy.deepcopy(self.tree)
        tree.body = [s for s in tree.body if not _is_test(s) or ("", s.name) in kept]
        for node in tree.body:
            if isinstance(node, ast.ClassDef):
                kept_body = [s for s in node.body if not _is_test(s) or (node.name, s.name) in kept]
                node.body = kept_body or [ast.Pass()]
        return ast.unparse(tree) + "\n"


def take_apart(source: str) -> Suite:
    """Return the module's tests, each asserting one thing where that is possible. Raises SyntaxError."""
    tree = ast.parse(source)
    tree.body = list(_split_block(tree.body))
    names: list[Name] = []
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            node.body = list(_split_block(node.body))
            names += [(node.name, s.name) for s in node.body if _is_test(s)]
        elif _is_test(node):
            names.append(("", node.name))
    return Suite(tree, tuple(dict.fromkeys(names)))


def name_of(node_id: str) -> Name:
    """Return the test function that a pytest node id names; its parameters do not count."""
    parts = node_id.partition("[")[0].split("::")[1:]
    return (parts[-2] if len(parts) > 1 else "", parts[-1] if parts else "")


def _is_test(node: ast.stmt) -> TypeGuard[Function]:
    """True for a test function; a fixture may be named like one."""
    return (
        isinstance(node, ast.FunctionDef)
        and node.name.startswith("test")
        and not any(
            last_name(one.func if isinstance(one, ast.Call) else one) == "fixture" for one in node.decorator_list
        )
    )


def _split_block(block: list[ast.stmt]) -> Iterator[ast.stmt]:
    taken = {node.name for node in block if isinstance(node, ast.FunctionDef)}
    for node in block:
        if _is_test(node):
            yield from _split(node, taken)
        else:
            yield node


def _split(function: Function, taken: set[str]) -> Iterator[Function]:
    """Yield the function, or one for each of its assertions with the other statements before it."""
    asserting = [statement for statement in function.body if _asserts(statement)]
    if len(asserting) < 2 or any(f"{function.name}_{n}" in taken for n in range(len(asserting))):
        yield function
        return
    set_up: list[ast.stmt] = []
    number = 0
    for statement in function.body:
        if not _asserts(statement):
            set_up.append(statement)
            continue
        part = copy.copy(function)
        part.name, part.body = f"{function.name}_{number}", [*copy.deepcopy(set_up), copy.deepcopy(statement)]
        number += 1
        yield part


def _asserts(statement: ast.stmt) -> bool:
    """True for a statement with an assertion in it, in the manner of pytest or of unittest."""
    return any(isinstance(node, ast.Assert) or _is_assert_call(node) for node in ast.walk(statement))


def _is_assert_call(node: ast.AST) -> bool:
    if not isinstance(node, ast.Call):
        return False
    name = last_name(node.func)
    return name.lower().startswith("assert") or name in ("raises", "fail")
