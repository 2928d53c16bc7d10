"""Decides which of several passing bodies is judged first.

Tests are few and bodies that pass them many; what passes need not be right. Pure functions of candidates: nothing runs
and no model is asked here. Measured by `benchmarks/ranking.py`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from difflib import SequenceMatcher

from bot.records import Candidate

SIZE_NATS = 0.5  # what one changed token speaks against a body
_TOKEN = re.compile(r"\w+|[-+*/%&|^@<>=!~:]+|[^\w\s]|\n[ ]*")


def ranked(candidates: Sequence[Candidate], faulty_body: str) -> list[Candidate]:
    """Return the candidates, best first: likely under the model with and without the trace, and a small change.

    Candidates without a likelihood (found without a model) keep their order behind the smaller change.
    """
    return sorted(candidates, key=lambda candidate: -score(candidate, faulty_body))


def score(candidate: Candidate, faulty_body: str) -> float:
    """Return log p of the body, averaged over what is known of it, less a price for each changed token; in nats."""
    known = [value for value in (candidate.logprob, candidate.guided) if not math.isnan(value)]
    likely = sum(known) / len(known) if known else 0.0
    return likely - SIZE_NATS * changed_tokens(faulty_body, candidate.body)


def changed_tokens(before: str, after: str) -> int:
    """Return how many tokens are taken out or put in; names, numbers, signs and line beginnings are tokens."""
    old, new = _TOKEN.findall(before), _TOKEN.findall(after)
    blocks = SequenceMatcher(None, old, new, autojunk=False).get_matching_blocks()
    same = sum(block.size for block in blocks)
    return len(old) + len(new) - 2 * same
