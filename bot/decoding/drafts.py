"""Drafts: tokens that the next line may equal, checked by one pass of the model where guessing right saves several.

Decides what is guessed and how much of it at once. Nothing here decides what is written: a draft token is kept only
where the decoder would have chosen it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from bot.decoding.prompt import Prompt
from bot.functions import FunctionText
from bot.logical_lines import logical_lines
from bot.models.language_model import LanguageModel

TOKENS = 8, 32  # of the first draft, and at most; drafts grow while they are accepted
SHORTEST = 4  # a draft after one that was wrong at once
PATIENCE = 2  # guesses in a row of which no token was right, before it waits for a source that agrees


class Drafts:
    """The drafts of one body: those of a line at a time."""

    def __init__(self, model: LanguageModel, prompt: Prompt, function: FunctionText, *, guided: bool) -> None:
        """guided: a draft ends with its line, since the signal changes there."""
        self._model, self._prompt, self._function, self._guided = model, prompt, function, guided
        self._length = TOKENS[0]
        self._sources: list[list[int]] = []
        self._failures = 0

    def begin(self, written: str, continuations: Iterable[Sequence[int]]) -> None:
        """Start on the line behind `written`: guess what the faulty body goes on with, or one of the continuations."""
        lines = logical_lines(self._function.body)
        done = logical_lines(written[: written.rfind("\n") + 1])
        place = len(done)
        if done:
            alike = [index + 1 for index, line in enumerate(lines) if line.strip() == done[-1].strip()]
            place = min(alike, key=lambda index: abs(index - len(done)), default=len(done))
        rest = "".join(lines[place:])
        lead = written[written.rfind("\n") + 1 :]
        faulty = [*self._model.encode(rest.removeprefix(lead)), *self._model.encode(self._prompt.end)]
        self._sources = [faulty, *(list(ids) for ids in continuations if ids)]
        self._failures = 0

    def next(self, line: Sequence[int], *, most: int) -> list[int]:
        """Return the tokens to check next: of a source that agrees so far, else of the faulty body one token on."""
        for source in self._sources:
            if len(source) > len(line) and source[: len(line)] == list(line):
                return self._clipped(source[len(line) :], most)
        if self._sources and self._failures < PATIENCE:
            return self._clipped(self._sources[0][len(line) :], most)
        return []

    def learn(self, draft: Sequence[int], accepted: int) -> None:
        """Take in how many tokens were right, the one behind the draft included."""
        self._failures = 0 if accepted else self._failures + 1
        if draft:
            self._length = min(TOKENS[1], 2 * len(draft)) if accepted > len(draft) else max(SHORTEST, accepted)

    def _clipped(self, ids: Sequence[int], most: int) -> list[int]:
        """Return the draft as far as it may be checked at once: under guidance, to its first newline."""
        draft = list(ids[: max(0, min(self._length, most))])
        if self._guided:
            for place, token in enumerate(draft):
                if "\n" in self._model.decode([token]):
                    return draft[: place + 1]
        return draft
