"""Which class a fault of the generator belongs to: the classes of HumanEvalFix, and one for moved statements.

An operator that can only remove, add or exchange has its class; those that can do several are told apart by the tokens:
what is gone without anything new is missing logic, what is new without anything gone is excess logic.
"""

from __future__ import annotations

import io
import tokenize
from collections.abc import Sequence

MISSING, EXCESS = "missing logic", "excess logic"
CLASSES = {
    "EXPR_DROP": MISSING,
    "COND_DROP": MISSING,
    "CALL_DROP": MISSING,
    "STMT_DEL": MISSING,
    "EXPR_ADD": EXCESS,
    "COND_ADD": EXCESS,
    "CALL_ADD": EXCESS,
    "CMP": "operator misuse",
    "BIN": "operator misuse",
    "BOOLOP": "operator misuse",
    "OPERAND_SWAP": "operator misuse",
    "VAR": "variable misuse",
    "STORE": "variable misuse",
    "ATTR": "variable misuse",
    "FUNC": "function misuse",
    "NUM": "value misuse",
    "INIT": "value misuse",
    "EXPR_REPLACE": "value misuse",
    "STMT_MOVE": "moved statement",
}
EITHER = {  # removes, adds or exchanges; the class of an exchange
    "NOT": "operator misuse",
    "ARG": "variable misuse",
    "SUBSCRIPT": "value misuse",
    "RETURN": "value misuse",
    "LIT": "value misuse",
    "CONTROL": "moved statement",
}
SEVERAL = "two faults"
_LAYOUT = (tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.COMMENT, tokenize.ENDMARKER)


def fault_class(operators: Sequence[str], faulty: str, correct: str) -> str:
    """Return the class of a fault made by these operators; both texts are whole functions."""
    if len(operators) != 1:
        return SEVERAL
    if operators[0] in CLASSES:
        return CLASSES[operators[0]]
    before, after = _tokens(correct), _tokens(faulty)
    if _within(after, before):
        return MISSING
    return EXCESS if _within(before, after) else EITHER[operators[0]]


def _tokens(text: str) -> list[str]:
    return [token.string for token in tokenize.generate_tokens(io.StringIO(text).readline) if token.type not in _LAYOUT]


def _within(few: Sequence[str], many: Sequence[str]) -> bool:
    """True when `few` is what is left of `many` after some tokens are removed."""
    rest = iter(many)
    return len(few) < len(many) and all(any(token == other for other in rest) for token in few)
