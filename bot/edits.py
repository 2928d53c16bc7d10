"""The edit neighbourhood: every body that is one small edit away from the faulty one, likeliest repairs first.

Pure text and syntax: no model, no execution. Each edit replaces the source of the syntax nodes it touches and nothing
else, so formatting and comments around it survive. The operators are the inverse of how faults arise: what the
literature and the counts in CTSSB-1M (arXiv:2201.12046), PyPIBugs (arXiv:2105.12787) and HumanEvalFix say people get
wrong, weighted by how often. An edit's name says what the edit does: EXPR_ADD repairs a dropped expression.
"""

from __future__ import annotations

import ast
import itertools
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from types import CodeType
from typing import Any

from bot.edit_calls import edit_calls
from bot.edit_expressions import edit_expressions
from bot.edit_guards import edit_guards
from bot.edit_omissions import edit_omissions
from bot.edit_parameters import edit_parameters
from bot.edit_results import edit_results
from bot.edit_statements import edit_statements
from bot.edit_terms import edit_terms
from bot.edit_unbound import edit_unbound
from bot.edit_view import FunctionView, Span, apply, in_order
from bot.functions import FunctionText
from bot.syntax import compiled, parsed, quiet

LIMIT = 6000
FORGOTTEN = 6.0  # how much likelier an edit is that names a parameter or a variable of which the body makes no use

# Prior mass of what each operator repairs, in per cent; shared among the operator's edits of one function.
WEIGHTS = {
    "VAR": 11.0, "CMP": 8.0, "NUM": 8.0, "EXPR_ADD": 8.0, "EXPR_DROP": 6.0, "BIN": 5.0, "BOOLOP": 2.5, "NOT": 2.5,
    "COND_ADD": 4.5, "COND_DROP": 2.0, "CALL_ADD": 4.0, "CALL_DROP": 2.0, "FUNC": 4.0, "ATTR": 2.5, "ARG": 5.0,
    "SUBSCRIPT": 3.5, "OPERAND_SWAP": 2.5, "RETURN": 4.0, "STMT_ADD": 4.0, "STMT_DEL": 2.0, "STMT_MOVE": 2.5,
    "CONTROL": 2.5, "LIT": 3.0, "EXPR_REPLACE": 3.5, "INIT": 1.0, "EXC": 0.5, "EXCHANGE": 1.5,
    "AWAIT": 4.0, "GUARD": 3.0, "LEFT_OUT": 3.0,
    "CALLED": 2.5, "RESULT": 2.5, "TERM": 1.5, "NAMED": 2.0, "STORE": 15.0, "BIND": 25.0,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Edit:
    """A whole body that differs from the faulty one by one edit.

    body: normalised like the faulty body. line: first changed line of the body, 1-based.
    operator: a key of WEIGHTS. weight: prior probability among the edits it was returned with.
    """

    body: str
    line: int
    operator: str
    weight: float


@dataclass(frozen=True, slots=True)
class Proposal:
    """An edit that has not been looked at yet: whether it compiles and is new shows when it is made.

    line: first changed line of the body, 1-based. grows: it adds lines. weight: prior probability among all proposals.
    """

    weight: float
    operator: str
    line: int
    grows: bool
    spans: tuple[Span, ...]


class Neighbourhood:
    """The single edits of a function's body, made one by one, since compiling thousands of a long one takes long.

    names: what is in scope beside the function's own names: functions, constants, attributes ("self.size"), and what
    the module tells of the function in the forms of `bot.edit_scope`.
    Every body compiles, and no two, nor one and the faulty body, compile to the same code. A function whose body
    stands on the `def` line, or that does not compile, has none.
    """

    def __init__(self, function: FunctionText, names: Sequence[str] = ()) -> None:
        self.proposals: list[Proposal] = []  # likeliest first; the same every time
        self._made: dict[int, Edit | None] = {}
        try:
            self._view = FunctionView(function.text, function.header_lines, tuple(names))
            self._compiler = _Compiler(function.text)
        except (SyntaxError, ValueError):
            return
        self._first = {self._compiler.key(function.text): -1}  # code -> the proposal that came first with it
        self.proposals = _ranked(self._view)

    @property
    def made(self) -> list[Edit]:
        """The edits that were made so far, likeliest first."""
        return [edit for _, edit in sorted(self._made.items()) if edit is not None]

    def edits(self, wanted: Iterable[int] | None = None) -> Iterator[Edit]:
        """Yield the edits of these places in `proposals`, of all by default, but for those that are none."""
        for place in range(len(self.proposals)) if wanted is None else wanted:
            if place not in self._made:
                self._made[place] = self._make(place)
            edit = self._made[place]
            if edit is not None:
                yield edit

    def _make(self, place: int) -> Edit | None:
        proposal = self.proposals[place]
        text = apply(self._view.text, proposal.spans)
        with quiet():  # candidates may well compare with `is`, or escape oddly
            key = self._compiler.key(text)
        if key is None or self._first.setdefault(key, place) != place:
            return None
        return Edit(text[self._view.body_start :], proposal.line, proposal.operator, proposal.weight)


def single_edits(function: FunctionText, *, names: Sequence[str] = (), limit: int = LIMIT) -> list[Edit]:
    """Return the single edits of the function's body, likeliest first, at most `limit`; the same every time.

    names: see `Neighbourhood`.
    """
    found = list(itertools.islice(Neighbourhood(function, names).edits(), limit))
    total = sum(edit.weight for edit in found)
    return [replace(edit, weight=edit.weight / total) for edit in found]


def same_code(one: str, other: str) -> bool:
    """Return whether two sources of a function compile to the same code: line numbers and formatting aside."""
    try:
        compiler = _Compiler(one)
    except (SyntaxError, ValueError):
        return False
    return bool(compiler.key(one) == compiler.key(other))


_KINDS = (
    edit_expressions, edit_statements, edit_parameters, edit_guards, edit_omissions, edit_calls, edit_results,
    edit_terms, edit_unbound,
)  # fmt: skip


def _ranked(view: FunctionView) -> list[Proposal]:
    """Return a proposal for every distinct text, heaviest first; not yet compiled."""
    offered = itertools.chain.from_iterable(kind(view) for kind in _KINDS)
    forgotten = "|".join([*view.forgotten, *view.unread])
    remembers = re.compile(rf"\b(?:{forgotten})\b") if forgotten else None
    proposals = [(operator, share, in_order(spans)) for operator, share, spans in offered]
    totals: dict[str, float] = {}
    for operator, share, _ in proposals:
        totals[operator] = totals.get(operator, 0.0) + share
    merged: dict[_Written, tuple[float, str, tuple[Span, ...]]] = {}
    for operator, share, spans in proposals:
        if not spans or spans[0][0] < view.body_start:
            continue
        weight = WEIGHTS[operator] * share / totals[operator]
        if remembers is not None and any(remembers.search(replacement) for *_, replacement in spans):
            weight *= FORGOTTEN
        written = _written(view.text, spans)
        before = merged.get(written)
        if before is None:
            merged[written] = (weight, operator, spans)
        else:
            merged[written] = (before[0] + weight, operator if weight > before[0] else before[1], before[2])
    total = sum(weight for weight, *_ in merged.values())
    ranked = [
        Proposal(
            weight / total, operator, view.text.count("\n", view.body_start, spans[0][0]) + 1, _grow(view, spans), spans
        )
        for weight, operator, spans in merged.values()
    ]
    return sorted(ranked, key=lambda proposal: -proposal.weight)  # stable: ties stay in source order


_Written = tuple[int, int, str]


def _written(text: str, spans: tuple[Span, ...]) -> _Written:
    """Return what tells the text that these spans make from others: the lines they touch, as they are then."""
    start = text.rfind("\n", 0, spans[0][0]) + 1
    end = text.find("\n", spans[-1][1])
    end = len(text) if end < 0 else end
    moved = [(first - start, last - start, replacement) for first, last, replacement in spans]
    return start, end, apply(text[start:end], moved)


def _grow(view: FunctionView, spans: tuple[Span, ...]) -> bool:
    """Say whether the spans make more lines than they replace."""
    return sum(replacement.count("\n") - view.text.count("\n", first, last) for first, last, replacement in spans) > 0


class _Compiler:
    """Turns a function's source into a key that is equal for equal code."""

    def __init__(self, text: str) -> None:
        """Raises SyntaxError or ValueError if the function itself does not compile."""
        self.nonlocals: list[str] = []
        tree = parsed(text)
        names = {name for node in ast.walk(tree) if isinstance(node, ast.Nonlocal) for name in node.names}
        try:
            self._compile(text)
        except SyntaxError:
            if not names:
                raise
            self.nonlocals = sorted(names)
            self._compile(text)

    def key(self, text: str) -> Any:
        try:
            return _code_key(self._compile(text))
        except (SyntaxError, ValueError, OverflowError, MemoryError, RecursionError):
            return None

    def _compile(self, text: str) -> CodeType:
        if not self.nonlocals:
            return compiled(text, "<edit>")
        outer = parsed(f"def _outer():\n    {' = '.join(self.nonlocals)} = None")
        outer.body[0].body += parsed(text).body  # type: ignore[attr-defined]
        return compiled(outer, "<edit>")


def _code_key(code: CodeType) -> Any:
    constants = tuple(_constant_key(constant) for constant in code.co_consts)
    variables = (code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars)
    counts = (code.co_argcount, code.co_kwonlyargcount, code.co_posonlyargcount, code.co_flags)
    return code.co_code, constants, variables, counts, code.co_name, code.co_exceptiontable


def _constant_key(constant: object) -> Any:
    if isinstance(constant, CodeType):
        return _code_key(constant)
    if isinstance(constant, tuple):
        return tuple(_constant_key(item) for item in constant)
    if isinstance(constant, frozenset):
        return tuple(sorted(repr(item) for item in constant))
    return type(constant).__name__, repr(constant)
