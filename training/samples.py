"""Turns a correct function, a faulty version of it and what happened into token ids with loss weights.

Whole-body samples: prompt as `bot.decoding.prompt` builds it, then the correct body. Mid-body samples have the
beginning of the correct body as given, weight 0. Weights: correct body 1, tokens that differ from the faulty body
5, faulty code a little, everything else 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from difflib import SequenceMatcher

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from bot.decoding.prompt import Task, tagged_prompt
from training.functions import SourceFunction

CHANGED_WEIGHT = 5.0
LONG_SPAN = 14  # changed spans longer than this get half the extra weight
WEIGHT_UNIT = 0.05  # weights are stored as bytes in this unit


@dataclass(frozen=True, slots=True)
class Sample:
    """One training text. The loss covers `answer` from character `given` on.

    prompt: everything up to and including `<fix>`. answer: correct body and `<end>`. faulty_body: not to be copied.
    """

    prompt: str
    answer: str
    faulty_body: str
    given: int = 0
    prompt_weight: float = 0.0


@dataclass(frozen=True, slots=True)
class Encoded:
    """ids: uint16, shape (T,). weights: uint8, shape (T,), of predicting ids[t] from ids[:t], in units of 0.05."""

    ids: NDArray[np.uint16]
    weights: NDArray[np.uint8]


def whole_body(
    function: SourceFunction,
    faulty: str,
    tests: tuple[str, ...] = (),
    failure: str = "",
    *,
    signal: str = "",
    prompt_weight: float = 0.0,
) -> Sample:
    """Return the sample whose target is the whole correct body; `signal` is the rendered dynamic signal, if any."""
    header_lines = function.header_lines
    prompt = tagged_prompt(Task(faulty, header_lines, tests, failure))
    text = prompt.with_signal(signal)
    faulty_body = "".join(faulty.splitlines(keepends=True)[header_lines:])
    return Sample(text, function.body + prompt.end, faulty_body, 0, prompt_weight)


def changed_tokens(faulty: list[int], correct: list[int]) -> list[tuple[int, int]]:
    """Return the spans of `correct` that differ from `faulty`; a pure deletion marks the token after it."""
    spans = []
    for tag, _, _, start, end in SequenceMatcher(None, faulty, correct, autojunk=False).get_opcodes():
        if tag != "equal":
            spans.append((start, max(end, start + 1)))
    return spans


def encode(sample: Sample, tokenizer: Tokenizer) -> Encoded:
    """Return ids and weights; the given part of the answer ends at a line's end, so encoding it apart is exact."""
    head = tokenizer.encode(sample.prompt, add_special_tokens=False).ids
    given = tokenizer.encode(sample.answer[: sample.given], add_special_tokens=False).ids
    rest = tokenizer.encode(sample.answer[sample.given :], add_special_tokens=False).ids
    faulty = tokenizer.encode(sample.faulty_body + "<end>", add_special_tokens=False).ids
    answer = given + rest
    weights = np.zeros(len(head) + len(answer), dtype=np.float32)
    if sample.prompt_weight:
        start = head.index(tokenizer.token_to_id("<bug>") or 0)
        weights[start + 1 : len(head) - 2] = sample.prompt_weight
    weights[len(head) + len(given) :] = 1.0
    for start, end in changed_tokens(faulty, answer):
        heavy = CHANGED_WEIGHT if end - start <= LONG_SPAN else CHANGED_WEIGHT / 2
        first = max(start, len(given))
        weights[len(head) + first : len(head) + end] = heavy
    ids = np.array(head + answer, dtype=np.uint16)
    return Encoded(ids, np.round(weights / WEIGHT_UNIT).astype(np.uint8))
