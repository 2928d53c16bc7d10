"""Runs the edit neighbourhood: single edits in ranked order, then second edits on top of those that made progress.

Decides the order only; what is run, counted and remembered is `Trials`'. A first edit makes progress when more guiding
tests pass with it than without, or fail further on: so execution, not chance, says where a second edit is worth trying.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from bot.decoding.body_text import Found
from bot.decoding.edit_pool import EditPool, Scored, unscored
from bot.decoding.trials import Trials
from bot.edits import Edit
from bot.functions import BodyError, find_function, splice
from runners.runner import Execution

BATCH = 32  # edits run between two looks at whether there are rivals enough
FIRST_EDITS = 12  # on top of which second edits are tried
SECOND_EDITS = 120  # tried on top of each, near it and further away
REACH = 3  # lines between a first edit and a second one that is near

Run = Callable[[Sequence[str]], list[Execution | None]]  # fewer than asked for when the budget is spent


@dataclass(frozen=True, slots=True)
class EditSearch:
    """The edits of one function.

    pool: of its single edits. run: executes bodies within the budget. worth: whether ranking edits by the model costs
    less than it spares.
    """

    pool: EditPool
    trials: Trials
    run: Run
    worth: Callable[[], bool]

    def singles(self) -> Iterator[Found | None]:
        """Yield the single edits that pass, in ranked order, and None after each batch."""
        for chunk in self.pool.chunks(self.trials.failing_lines(), self.trials.raising_lines(), self.worth):
            if (yield from self._passing([scored.edit for scored in chunk], "single edit {operator} in line {line}")):
                return

    def pairs(self) -> Iterator[Found | None]:
        """Yield pairs of edits that pass: those near each other, then others. Needs `singles` to have run before."""
        bases = [(first, pool) for first in self._first_edits() if (pool := self._upon(first)) is not None]
        for far in (False, True):
            for first, pool in bases:
                second = self._second_edits(first, pool, far)
                what = f"edits {first.operator} in line {first.line} and {{operator}} in line {{line}}"
                if (yield from self._passing([scored.edit for scored in second], what)):
                    return

    def _passing(self, edits: Sequence[Edit], what: str) -> Generator[Found | None, None, bool]:
        """Yield those that pass, and None after each batch; return whether the budget is spent."""
        for start in range(0, len(edits), BATCH):
            batch = edits[start : start + BATCH]
            executions = self.run([edit.body for edit in batch])
            for edit, execution in zip(batch, executions, strict=False):
                if execution is not None and execution.passed:
                    yield Found(edit.body, "edit", what.format(operator=edit.operator, line=edit.line))
            yield None
            if len(executions) < len(batch):
                return True
        return False

    def _first_edits(self) -> list[Edit]:
        """Return single edits that make progress, most tests passed or further on first, then the likeliest."""
        better = {item.body: (-item.passed, -item.further) for item in self.trials.progress()}
        moving = [edit for edit in self.pool.neighbourhood.made if edit.body in better]
        scored = self.pool.score(moving) if self.worth() else unscored(moving)
        ranked = sorted(scored, key=lambda item: better[item.edit.body])  # stable: then by score
        first = [item.edit for item in ranked[:FIRST_EDITS]]
        held = self.trials.held([edit.body for edit in first])
        return [edit for edit in first if edit.body in held]

    def _upon(self, first: Edit) -> EditPool | None:
        """Return the edits of the body that `first` made."""
        function, source = self.trials.function, self.trials.source
        try:
            changed = find_function(splice(source, function, first.body), function.qualname, function.first_line)
        except BodyError:
            return None
        return EditPool(changed, self.pool.prompt, self.pool.model, self.pool.names) if changed is not None else None

    def _second_edits(self, first: Edit, pool: EditPool, far: bool) -> list[Scored]:
        """Return the likeliest of the edits near `first`, or of the others."""
        near = range(first.line - REACH, first.line + REACH + 1)
        edits = (edit for edit in pool.around(near, outside=far) if edit.body != self.trials.function.body)
        likeliest = list(islice(edits, SECOND_EDITS))
        return pool.score(likeliest) if self.worth() else unscored(likeliest)
