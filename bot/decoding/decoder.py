"""The EG-CFG loop: a new signal at each statement boundary, guidance at each token.

Decides what is sampled, drafted and executed while one body is written. It runs nothing itself: the model predicts,
`trials` executes, `signal_text` tells, `guide` combines. Drafts are lossless: a draft token is kept only where it is
the argmax, and under guidance never past the boundary at which the signal changes.
Source: EG-CFG, arXiv:2506.10948; harvesting, drafts, edits among the continuations and the frontier are ours.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from bot.decoding.body_text import Found, finished, statements, tidy
from bot.decoding.drafts import Drafts
from bot.decoding.dynamic_signal import Observation, ObservationOrigin, signal_text
from bot.decoding.edit_pool import EditPool
from bot.decoding.guidance import ALPHA, Array, guide
from bot.decoding.prompt import Prompt
from bot.decoding.trials import Meter, Trials
from bot.functions import complete
from bot.logical_lines import logical_lines
from bot.models.language_model import Branch, DraftBranch, JointModel, LanguageModel, text_after
from bot.records import Budget, Emit, Origin, Setting
from runners.runner import Execution

TOP_P = 0.95
LINE_TOKENS = 40  # of one line of a continuation, on average
EDITS = 6  # edits of the faulty body's next lines that stand beside the continuations
GROWTH = 2  # a body may have this many times the tokens of the faulty one ...
EXTRA_TOKENS = 96  # ... and this many more


@dataclass(slots=True)
class Continuation:
    """Text after the body so far: `ids` as sampled without their end token, or none for an edit."""

    text: str
    origin: ObservationOrigin
    ids: list[int] = field(default_factory=list)
    body: str | None = None  # the whole body, when the continuation ends it


class Decoder:
    """Writes one body under one setting. `run` yields every passing body met on the way, the written one last."""

    def __init__(
        self,
        prompt: Prompt,
        model: LanguageModel,
        trials: Trials,
        setting: Setting,
        meter: Meter,
        budget: Budget,
        *,
        emit: Emit,
        seed: int = 0,
        pool: EditPool | None = None,
        harvests: bool = True,
        drafts: bool = True,
    ) -> None:
        """pool: edits that stand beside the continuations, if any. harvests: yield what passes before the end."""
        self.prompt, self.model, self.trials, self.setting = prompt, model, trials, setting
        self.meter, self.budget, self.emit, self.seed, self.pool = meter, budget, emit, seed, pool
        self.function = trials.function
        self.head = model.encode(prompt.plain)
        self.faulty = [*model.encode(self.function.body), *model.encode(prompt.end)]
        room = model.context - len(self.head)
        self.limit = min(GROWTH * len(self.faulty) + EXTRA_TOKENS, room)
        self.signal_room = room - self.limit
        self.harvests = harvests
        self.drafts = Drafts(model, prompt, self.function, guided=setting.gamma > 0) if drafts else None
        self.drafted = self.accepted = 0  # draft tokens checked and kept
        self.answer: list[int] = []
        self.line_start = 0  # where in the answer the line written last begins
        self.ended = False
        self.signal = ""
        self.guided_head: list[int] = []  # the prompt with the signal
        self.plain = model.branch(self.head)
        self.guided: Branch | None = None
        self.continuations: list[Continuation] = []

    def run(self) -> Iterator[Found]:
        """Write the body; stop early when the budget is spent."""
        while not self.ended and len(self.answer) < self.limit and not self._exhausted():
            if self.setting.gamma > 0:
                yield from self._explore()
            self._write()
        body = self._body(self.text, self.ended)
        if body is None and len(self.answer) >= self.limit:
            body = tidy(self.text)
        if body:
            yield from self._harvest([body], "guided" if self.setting.gamma > 0 else "plain")

    @property
    def text(self) -> str:
        """The body so far."""
        ids = self.answer[:-1] if self.answer and self.answer[-1] in self.model.end_ids else self.answer
        return text_after(self.model, self.head, ids)

    def _exhausted(self) -> bool:
        return bool(self.budget.exceeded(self.meter.spent()))

    def _body(self, text: str, ended: bool) -> str | None:
        """Return the whole body if `text` holds one."""
        body = finished(self.prompt, text)
        return tidy(body) if body is not None else tidy(text) if ended else None

    def _harvest(self, bodies: Sequence[str], origin: Origin) -> Iterator[Found]:
        for body, execution in zip(bodies, self.trials.run(bodies), strict=True):
            if execution is not None and execution.passed:
                yield Found(body, origin, str(self.setting))

    # ------------------------------------------------------------------------------------------------ the next line

    def _write(self) -> None:
        """Extend the answer to the next statement boundary, or to the end; the plain model writes on to the end."""
        start, written = len(self.answer), self.text
        self.line_start = start
        guided = self.setting.gamma > 0 and bool(self.signal)
        until = statements(self.function, written) + 1 if self.setting.gamma > 0 else None
        changed = None if guided and self.setting.gamma == 1 else 0
        if self.drafts is not None:
            self.drafts.begin(written, [continuation.ids for continuation in self.continuations])
        while not self.ended and len(self.answer) < self.limit:
            draft = self._draft(start)
            rows, plain = self._distributions(draft, guided)
            self.drafted += len(draft)
            accepted = 0
            for place, row in enumerate(rows):
                token = int(np.argmax(row))
                if changed is not None and plain is not None:
                    changed += token != int(np.argmax(plain[place]))
                self.answer.append(token)
                self.meter.tokens += 1
                self.accepted += place < len(draft) and token == draft[place]
                stop = self._at_end(token) or len(self.answer) >= self.limit
                if stop or (until is not None and statements(self.function, self.text) >= until):
                    self._tell(written, changed)
                    return
                if place < len(draft) and token != draft[place]:
                    break
                accepted += 1
            if self.drafts is not None:
                self.drafts.learn(draft, accepted)
            if until is None and self._exhausted():
                break
        self._tell(written, changed)

    def _draft(self, start: int) -> list[int]:
        """Return the tokens to check next, behind the line that begins at `start` of the answer."""
        if self.drafts is None:
            return []
        return self.drafts.next(self.answer[start:], most=self.limit - len(self.answer) - 1)

    def _at_end(self, token: int) -> bool:
        self.ended = token in self.model.end_ids or finished(self.prompt, self.text) is not None
        return self.ended

    def _tell(self, written: str, changed: int | None) -> None:
        """Tell the lines just written; `changed` tokens are not the plain model's, None where it was not asked.

        Draft tokens are told with the first of several lines: the plain model's drafts go beyond one.
        """
        text = self.text.removeprefix(written)
        about = {} if changed is None else {"changed": changed}
        for line in logical_lines(text) if self.setting.gamma == 0 else [text]:
            self.emit("line", text=line, drafted=self.drafted, accepted=self.accepted, **about)
            self.drafted = self.accepted = 0

    def _distributions(self, draft: Sequence[int], guided: bool) -> tuple[Array, Array | None]:
        """Return what decides the next tokens along the draft, (len(draft) + 1, V), and what the plain model says.

        The second is None where only one branch is computed: without a signal, and with gamma 1.
        """
        gamma = self.setting.gamma
        if not guided:
            return self._along(self.plain, self.head, draft), None
        assert self.guided is not None
        if gamma == 1:
            return self._along(self.guided, self.guided_head, draft), None
        plain, conditioned = self._both(self.guided, draft)
        alpha = ALPHA if self.setting.alpha is None else self.setting.alpha
        return guide(plain, conditioned, gamma, alpha=alpha), plain

    def _both(self, guided: Branch, draft: Sequence[int]) -> tuple[Array, Array]:
        """Return what the plain and the guided branch say along the draft, from one pass where the model can."""
        if not isinstance(self.model, JointModel):
            return self._along(self.plain, self.head, draft), self._along(guided, self.guided_head, draft)
        self.plain.rebase(self.head, self.answer)
        guided.rebase(self.guided_head, self.answer)
        plain, conditioned = self.model.along([self.plain, guided], [draft, draft])
        return plain, conditioned

    def _along(self, branch: Branch, head: Sequence[int], draft: Sequence[int]) -> Array:
        branch.rebase(head, self.answer)
        if draft and isinstance(branch, DraftBranch):
            return branch.along(draft)
        return branch.logprobs()[None]

    # ------------------------------------------------------------------------------------------------ the signal

    def _explore(self) -> Iterator[Found]:
        """Sample, execute and harvest; leave in `signal` what happened."""
        written = self.text
        before = self.signal
        faulty = self._faulty_observation()
        if not self.answer:
            self._refresh(faulty)
        self.continuations = self._sampled(written)
        every = [*self._edits(written), *self.continuations]
        executions = self._executed(written, every)
        if self.harvests:
            for continuation, execution in zip(every, executions, strict=True):
                if continuation.body and execution is not None and execution.passed:
                    origin: Origin = "edit" if continuation.origin == "edit" else "guided"
                    yield Found(continuation.body, origin, str(self.setting))
            yield from self._harvest(self._rejoined(written), "guided")
        self._refresh(faulty + self._observations(written, every, executions))
        if self.signal != before:
            self.emit("signal", text=self.signal)

    def _executed(self, written: str, continuations: Sequence[Continuation]) -> list[Execution | None]:
        """Run each continuation as far as it is written, all at once; None for one that cannot run."""
        bodies = [c.body or complete(self.function, written + c.text) for c in continuations]
        found = iter(self.trials.run([body for body in bodies if body], trace=True))
        return [next(found) if body else None for body in bodies]

    def _refresh(self, observations: Sequence[Observation]) -> None:
        """Write the signal and bring the guided branch up to it."""
        text = signal_text(observations, self.prompt.style, self.model, self.signal_room) if observations else ""
        self.signal = text
        self.guided_head = self.model.encode(self.prompt.with_signal(text)) if text else []
        if text and self.guided is None:
            self.guided = self.model.branch(self.guided_head)
        if text and self.guided is not None:
            self.guided.rebase(self.guided_head, self.answer)

    def _sampled(self, written: str) -> list[Continuation]:
        """Return `candidates` continuations: those carried over, then new ones, a third of them from p_dyn."""
        carried = self._carried(written)
        missing = max(0, self.setting.candidates - len(carried))
        informed = missing // 2 if self.signal and self.guided is not None else 0
        self.plain.rebase(self.head, self.answer)
        rows = self._sample(self.plain, missing - informed, written, 0)
        if informed and self.guided is not None:
            self.guided.rebase(self.guided_head, self.answer)
            rows += self._sample(self.guided, informed, written, 1)
        fresh = [self._continuation(ids, written) for ids in rows]
        texts: dict[str, Continuation] = {}
        for continuation in [*carried, *fresh]:
            texts.setdefault(continuation.text, continuation)
        return list(texts.values())

    def _sample(self, branch: Branch, count: int, written: str, stream: int) -> list[list[int]]:
        if count <= 0:
            return []
        goal = statements(self.function, written) + self.setting.horizon

        def stop(text: str) -> bool:
            whole = written + text
            return finished(self.prompt, whole) is not None or statements(self.function, whole) >= goal

        seed = zlib.crc32(f"{self.seed} {self.setting} {len(self.answer)} {stream}".encode())
        limit = min(LINE_TOKENS * self.setting.horizon, self.limit - len(self.answer) + EXTRA_TOKENS)
        return self.model.sample(
            branch, count, temperature=self.setting.temperature, top_p=TOP_P, seed=seed, limit=limit, stop=stop
        )

    def _continuation(self, ids: list[int], written: str) -> Continuation:
        ended = bool(ids) and ids[-1] in self.model.end_ids
        ids = ids[:-1] if ended else ids
        text = text_after(self.model, [*self.head, *self.answer], ids)
        body = self._body(written + text, ended)
        return Continuation(text, "sampled", ids, body)

    def _carried(self, written: str) -> list[Continuation]:
        """Return what is left of continuations whose beginning is the line just written, while a line is left."""
        kept = []
        for continuation in self.continuations:
            taken = self._taken(continuation.ids)
            if taken:
                rest = self._continuation(continuation.ids[taken:], written)
                rest.body = continuation.body
                if statements(self.function, written + rest.text) > statements(self.function, written):
                    kept.append(rest)
        return kept

    def _taken(self, ids: Sequence[int]) -> int:
        """Return how many of a continuation's tokens are the end of the answer: all of the line just written, or 0."""
        length = len(self.answer) - self.line_start
        line = self.answer[self.line_start :]
        return length if length and list(ids[:length]) == line and len(ids) > length else 0

    def _edits(self, written: str) -> list[Continuation]:
        """Return the best single edits of the next lines, while the body so far is the faulty one's beginning."""
        whole = written[: written.rfind("\n") + 1]
        if self.pool is None or not (self.function.body.startswith(written) and self.function.body != written):
            return []
        found = []
        for scored in self.pool.near(whole, self.setting.horizon)[:EDITS]:
            rest = scored.edit.body[len(whole) :]
            shown = "".join(logical_lines(rest)[: self.setting.horizon])
            found.append(Continuation(shown, "edit", [], scored.edit.body))
        return found

    # --------------------------------------------------------------------------------------------- observations

    def _faulty_observation(self) -> list[Observation]:
        observed = self.trials.observe_faulty()
        return [observed] if observed else []

    def _rejoined(self, written: str) -> list[str]:
        """Return the bodies that follow a continuation and then go on as the faulty body does after as many lines."""
        if not self.function.body.startswith(written):
            return []
        faulty = logical_lines(self.function.body)
        place = statements(self.function, written)
        found = []
        for continuation in self.continuations:
            lines = logical_lines(continuation.text)[: statements(self.function, continuation.text)]
            alike = [k + 1 for k, line in enumerate(faulty) if k >= place and lines and line == lines[-1]]
            rest = faulty[min(alike, key=lambda k: abs(k - place - len(lines)), default=place + len(lines)) :]
            if lines and rest and not continuation.body:
                found.append(tidy(written + "".join(lines) + "".join(rest)))
        return found

    def _observations(
        self, written: str, continuations: Sequence[Continuation], executions: Sequence[Execution | None]
    ) -> list[Observation]:
        whole = written[: written.rfind("\n") + 1]
        lead = written[len(whole) :]
        line = self.function.header_lines + whole.count("\n") + 1
        found = []
        for continuation, execution in zip(continuations, executions, strict=True):
            if execution is not None and continuation.text.strip():
                text = continuation.text if continuation.origin == "edit" else lead + continuation.text
                observed = self.trials.observe(execution, text, line, continuation.origin)
                found += [observed] if observed else []
        return found
