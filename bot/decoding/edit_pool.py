"""The edit neighbourhood of one faulty body, ranked by the model.

An edit's score is log p of its changed line after the faulty lines above it, plus log p of copying those lines, plus
the log of the operator's prior: the model's belief that the fault is there and that this is its repair. Without a model
the prior alone ranks.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from bot.decoding.prompt import Prompt
from bot.edits import Edit, single_edits
from bot.functions import FunctionText, logical_lines
from bot.models.language_model import LanguageModel

CHUNK = 400  # edits that the model ranks at a time, so that running them can start
NEARBY = 32  # edits of the next lines that the model ranks at a statement boundary


@dataclass(frozen=True, slots=True)
class Scored:
    """An edit and its score in nats, comparable over the edits of one function."""

    edit: Edit
    score: float


@dataclass(slots=True)
class EditPool:
    """All single edits of a function's body, likeliest first; each is scored at most once."""

    function: FunctionText
    prompt: Prompt | None
    model: LanguageModel | None
    names: Sequence[str] = ()
    _edits: list[Edit] | None = None
    _scores: dict[str, float] = field(default_factory=dict)
    _copying: list[float] = field(default_factory=list)

    @property
    def edits(self) -> list[Edit]:
        if self._edits is None:
            self._edits = single_edits(self.function, names=self.names)
        return self._edits

    def chunks(self, executed: frozenset[int]) -> Iterator[list[Scored]]:
        """Yield all edits in chunks, best first in each; edits of lines that no failing test executes come last.

        executed: lines of the body, 1-based; empty when nothing is known.
        """
        reached = self._reached(executed)
        order = [edit for edit in self.edits if not executed or edit.line in reached]
        order += [edit for edit in self.edits if executed and edit.line not in reached]
        for start in range(0, len(order), CHUNK):
            yield self.score(order[start : start + CHUNK])

    def near(self, written: str, lines: int) -> list[Scored]:
        """Return the likeliest edits of the `lines` logical lines after `written`, a beginning of the faulty body."""
        first = written.count("\n") + 1
        ahead = "".join(logical_lines(self.function.body[len(written) :])[:lines])
        last = first + max(1, ahead.count("\n")) - 1
        nearby = [edit for edit in self.edits if first <= edit.line <= last and edit.body.startswith(written)]
        return self.score(nearby[:NEARBY])

    def score(self, edits: Sequence[Edit]) -> list[Scored]:
        """Return the edits with their scores, best first."""
        by_line: dict[int, list[Edit]] = {}
        for edit in edits:
            if edit.body not in self._scores:
                by_line.setdefault(edit.line, []).append(edit)
        for line in sorted(by_line):
            for edit, score in zip(by_line[line], self._score(line, by_line[line]), strict=True):
                self._scores[edit.body] = score
        return sorted((Scored(edit, self._scores[edit.body]) for edit in edits), key=lambda item: -item.score)

    def _score(self, line: int, edits: list[Edit]) -> list[float]:
        """Return the scores of edits whose first changed line is `line`."""
        priors = [math.log(max(edit.weight, 1e-12)) for edit in edits]
        if self.model is None or self.prompt is None:
            return priors
        before = "".join(self.function.body.splitlines(keepends=True)[: line - 1])
        drafts = [self.model.encode(_first_statement(edit.body[len(before) :])) for edit in edits]
        branch = self.model.branch([*self.model.encode(self.prompt.plain), *self.model.encode(before)])
        copying = self._copied(self.model, self.prompt, line)
        scores = self.model.score_many(branch, drafts)
        return [prior + copying + score for prior, score in zip(priors, scores, strict=True)]

    def _copied(self, model: LanguageModel, prompt: Prompt, line: int) -> float:
        """Return log p of the faulty lines above `line`, from one pass over the faulty body."""
        if not self._copying:
            ids: list[int] = []
            ends = [0]
            for text in self.function.body.splitlines(keepends=True):
                ids += model.encode(text)
                ends.append(len(ids))
            logprobs = model.score(model.branch(model.encode(prompt.plain)), ids)
            self._copying = [float(logprobs[:end].sum()) for end in ends]
        return self._copying[min(line - 1, len(self._copying) - 1)]

    def _reached(self, executed: frozenset[int]) -> set[int]:
        """Return the lines of statements that are executed, or that follow one: a new statement may belong there."""
        reached: set[int] = set()
        line, follows = 1, True
        for part in logical_lines(self.function.body):
            own = range(line, line + part.count("\n"))
            runs = any(number in executed for number in own)
            if runs or follows:
                reached.update(own)
            line, follows = own.stop, runs
        return reached | {line} if follows else reached


def _first_statement(text: str) -> str:
    """Return the first logical line of what follows the unchanged lines: the changed one."""
    parts = logical_lines(text)
    return parts[0] if parts else text
