"""Injects faults into correct functions: draws an operator by weight, then one of its sites.

The result always parses, keeps the signature, and differs in its syntax tree. Nothing here runs the function.
"""

from __future__ import annotations

import ast
import random
from collections.abc import Iterator
from dataclasses import dataclass

from training import operators as o
from training import statement_operators as s
from training.code import Code, Edit

OPERATORS: dict[str, tuple[float, o.Operator]] = {
    "VAR": (11, o.variables),
    "CMP": (8, o.comparisons),
    "NUM": (8, o.numbers),
    "EXPR_DROP": (8, o.dropped_expressions),
    "EXPR_ADD": (4, o.added_expressions),
    "BIN": (5, o.arithmetic),
    "BOOLOP": (2.5, o.booleans),
    "NOT": (2.5, o.negations),
    "COND_DROP": (4.5, o.dropped_conditions),
    "COND_ADD": (1.5, o.added_conditions),
    "CALL_DROP": (4, o.dropped_calls),
    "CALL_ADD": (1.5, o.added_calls),
    "FUNC": (4, o.other_functions),
    "ATTR": (2.5, o.attributes),
    "ARG": (5, o.arguments),
    "SUBSCRIPT": (3.5, o.subscripts),
    "OPERAND_SWAP": (2.5, o.swapped_operands),
    "RETURN": (4, s.returns),
    "STMT_DEL": (4, s.deleted_statements),
    "STMT_MOVE": (2.5, s.moved_statements),
    "CONTROL": (2.5, s.control),
    "LIT": (3, s.literals),
    "EXPR_REPLACE": (3.5, s.replaced_expressions),
    "INIT": (1.5, s.initial_values),
    "STORE": (1, s.stores),
}
TOKEN_OPERATORS = frozenset({"VAR", "CMP", "NUM", "BIN", "BOOLOP", "FUNC", "ATTR"})  # change one token or two
DOUBLE_FAULTS = 0.12


@dataclass(frozen=True, slots=True)
class Fault:
    """A faulty version of a function: its text and the operators that made it."""

    text: str
    operators: tuple[str, ...]


def edits(code: Code, name: str, rng: random.Random) -> list[Edit]:
    """Return every edit one operator can make; equal edits are kept, they carry weight."""
    return [edit for edit in OPERATORS[name][1](code, rng) if edit is not None]


def accepted(code: Code, edit: Edit) -> str | None:
    """Return the edited text when it parses to another syntax tree with the same signature, else None."""
    text = edit.apply(code.text)
    try:
        changed = Code(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError, IndexError):
        return None
    if ast.dump(changed.function.args) != ast.dump(code.function.args) or not changed.body:
        return None
    return text if ast.dump(changed.function) != ast.dump(code.function) else None


def inject_once(text: str, rng: random.Random, only: frozenset[str] = frozenset()) -> Fault | None:
    """Return one fault, None when no operator of `only` (all when empty) applies."""
    try:
        code = Code(text)
    except (SyntaxError, ValueError, RecursionError, IndexError):
        return None
    weights = {name: weight for name, (weight, _) in OPERATORS.items() if not only or name in only}
    while weights:
        name = rng.choices(list(weights), list(weights.values()))[0]
        sites = edits(code, name, rng)
        rng.shuffle(sites)
        for edit in sites[:6]:
            changed = accepted(code, edit)
            if changed is not None:
                return Fault(changed, (name,))
        del weights[name]
    return None


def inject(text: str, rng: random.Random, only: frozenset[str] = frozenset()) -> Fault | None:
    """Return a fault of one operator, or with probability 0.12 of two."""
    fault = inject_once(text, rng, only)
    if fault is None or rng.random() >= DOUBLE_FAULTS or only:
        return fault
    second = inject_once(fault.text, rng)
    if second is None or ast.dump(ast.parse(second.text)) == ast.dump(ast.parse(text)):
        return fault
    return Fault(second.text, fault.operators + second.operators)


def neighbourhood(text: str, seed: int = 0) -> Iterator[tuple[str, str]]:
    """Yield (operator, text) for every distinct accepted single edit: the mutants of a function, in a fixed order."""
    code = Code(text)
    seen = {text}
    for name in OPERATORS:
        for edit in edits(code, name, random.Random(seed)):
            changed = edit.apply(text)
            if changed not in seen:
                seen.add(changed)
                if accepted(code, edit) is not None:
                    yield name, changed
