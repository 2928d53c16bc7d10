"""The search for one group of failures: suspects in order, candidates in order, until a patch is published.

What the search in the code and the one in stale tests have in common: the split of the budget over the attempts, the
sandbox of one function, the lots of passing bodies and when one of them is good enough. Each says itself where further
bodies come from and how one is judged. Knows the stages from `generate` to `verify`, like `bot.pipeline` the others.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence, Sized
from contextlib import closing
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import TYPE_CHECKING

from bot.attempt import REFUTED, Attempt
from bot.blame import without_suspects
from bot.checkout import Checkout
from bot.config import Config
from bot.context import build_task
from bot.decoding.edit_pool import names_in_scope
from bot.decoding.trials import Progress
from bot.functions import FunctionText, find_function
from bot.generate import Arm, generate
from bot.guides import guarding, guards, split_guides
from bot.patches import make_patch, moved_function
from bot.ranking import ranked, score
from bot.recorded import Memory, RecordedSession, failed, session_key
from bot.records import Budget, Candidate, Discovery, Emit, Patch, Repair, Spent, Suspect, TestFailure, Verdict
from bot.sessions import Sessions
from runners.runner import Execution, FunctionKey, Runner, SandboxLost, Session, Target

if TYPE_CHECKING:
    from bot.models.language_model import LanguageModel

FIRST_SHARE = 0.5  # of the budget that is left, for each suspect but the last
LOOK = Budget(seconds=None, executions=64)  # for a look at each suspect, where there are several,
LOOK_SHARE = 0.05  # before any is searched in depth; of the budget's seconds
PAIR_SHARE = 0.3  # of the budget, kept for bodies of two functions where several are to blame
BETTER = 3  # bodies of one function that do better than the faulty one, on which another is regenerated
SUSPECT_PATCHES = 3  # so many patches judged "suspect" end the search in one function
SPENT = "the budget is spent"
JUDGED = 5  # passing bodies of one lot that are judged, best first

Aim = tuple[Suspect, Patch | None]  # the function to regenerate, and what stands changed meanwhile
Look = tuple[Sequence[Arm], Budget]  # what is tried in place of the portfolio, until so much is spent without success
Judged = tuple[Candidate, Patch, Verdict]


@dataclass(slots=True)
class Search(ABC):
    """One search. `spent` is what it used, at any time and after the last attempt."""

    checkout: Checkout
    config: Config
    discovery: Discovery
    runner: Runner
    model: LanguageModel | None
    emit: Emit
    arms: Sequence[Arm]
    clock: Callable[[], float]
    memory: Memory
    proven: Sequence[Patch] = ()  # published for other groups
    spent: Spent = field(default_factory=Spent)
    limit: Budget = field(default_factory=Budget)  # of the whole search
    opening: float = 0.0  # seconds of `spent` in which sandboxes were opened: no part of any attempt's share
    sessions: Sessions = field(default_factory=Sessions)
    doubtful: list[Judged] = field(default_factory=list)
    better: dict[FunctionKey, list[tuple[Progress, Patch]]] = field(default_factory=dict)  # to regenerate another on
    attempts: dict[FunctionKey, Attempt] = field(default_factory=dict)  # at single functions
    ran: dict[str, dict[str, Execution]] = field(default_factory=dict)  # session key -> digest of a file -> its run

    def run(self, failures: tuple[TestFailure, ...], suspects: list[Suspect], budget: Budget) -> Repair:
        """Return what came of the search within `budget`."""
        self.limit = budget
        try:
            return self._searched(failures, suspects, budget)
        finally:
            self.sessions.close()

    def _searched(self, failures: tuple[TestFailure, ...], suspects: list[Suspect], budget: Budget) -> Repair:
        if not suspects:
            reason = without_suspects(failures, self.checkout.read, self.checkout.untouchable)
            return Repair(failures, (), None, None, None, self.spent, reason)
        reasons: list[str] = []
        ones: list[Aim] = [(suspect, None) for suspect in suspects]
        several = len(suspects) > 1
        single = budget.left(Spent(), 1.0 - PAIR_SHARE) if several or self.proven else budget
        first, rest = self._looks(budget)
        found = self._looked(failures, suspects, single, reasons, first) if several and first[0] else None
        if found is None:
            found = self._first(failures, ones, single, reasons)
        if found is None and not self.doubtful:
            found = self._first(failures, self._further(failures), budget, reasons)
        if found is None and not self.doubtful and single is not budget and rest[0]:
            found = self._looked(failures, suspects, budget, reasons, rest)
        if found is not None:
            reason = "" if found[2].publishable else "Several patches pass; a person has to choose."
            return Repair(failures, tuple(suspects), *found, self.spent, reason)
        if self.doubtful:
            best = self._explained(failures, min(self.doubtful, key=lambda item: len(item[1].diff)))
            return Repair(failures, tuple(suspects), *best, self.spent, "Only patches of doubtful worth were found.")
        reason = "No body was found that passes the failing tests and breaks no other" + (
            f" ({'; '.join(dict.fromkeys(reasons))})." if reasons else "."
        )
        return Repair(failures, tuple(suspects), None, None, None, self.spent, reason)

    @abstractmethod
    def _further(self, failures: tuple[TestFailure, ...]) -> Iterator[Aim]:
        """Yield what is tried when no single body repairs the group."""

    @abstractmethod
    def _lots(self, attempt: Attempt, budget: Budget, look: Look | None) -> Generator[list[Candidate], None, None]:
        """Yield bodies that pass the guiding tests, lot after lot."""

    @abstractmethod
    def _judge(
        self, attempt: Attempt, candidate: Candidate, rivals: Sequence[Candidate]
    ) -> tuple[Patch, Verdict] | None:
        """Return the patch and the final verdict on it; None where the body cannot stand in the file.

        rivals: all bodies of the attempt that pass, best first.
        """

    def _preferred(self, attempt: Attempt, best: list[Candidate]) -> list[Candidate]:  # noqa: ARG002
        """Return passing bodies in the order in which they are judged; `best` is the order of `bot.ranking`."""
        return best

    def _hopeful(self, attempt: Attempt) -> bool:  # noqa: ARG002
        """Say whether it can be told of a body that it is better than the doubtful ones."""
        return False

    def _promising(self, attempt: Attempt, best: list[Candidate]) -> list[Candidate]:  # noqa: ARG002
        """Return those of `best` that are judged at all."""
        return best

    def _explained(self, failures: tuple[TestFailure, ...], found: Judged) -> Judged:  # noqa: ARG002
        """Return a doubtful patch with what helps a person to decide about it."""
        return found

    def _looked(
        self,
        failures: tuple[TestFailure, ...],
        suspects: Sequence[Suspect],
        budget: Budget,
        reasons: list[str],
        look: Look,
    ) -> Judged | None:
        """Return what a look at each suspect found."""
        for suspect in suspects:
            share = budget.left(self.spent, FIRST_SHARE)
            if share.exceeded(Spent()):
                return None
            found = self._tried(failures, suspect, share, None, reasons, look)
            if found is not None:
                return found
        return None

    def _looks(self, budget: Budget) -> tuple[Look, Look]:
        """Return the first look at each suspect and the last one; both without arms where no single edits are tried.

        First comes the portfolio up to them, since the right body is more often among the likeliest of the second or
        third suspect than among the unlikely ones of the first: who is to blame is not known that well. At last the
        edits that were not reached have what bodies of two functions did not need.
        """
        kinds = [arm.kind for arm in self.arms]
        arms = self.arms[: kinds.index("edits") + 1] if "edits" in kinds else ()
        limit = replace(LOOK, seconds=None if budget.seconds is None else LOOK_SHARE * budget.seconds)
        return (arms, limit), ([replace(arm, share=1.0) for arm in arms[-1:]], Budget())

    def _first(
        self, failures: tuple[TestFailure, ...], aims: Iterable[Aim], budget: Budget, reasons: list[str]
    ) -> Judged | None:
        """Return what the first successful attempt found; each but the last may use half of what is left."""
        count = len(aims) if isinstance(aims, Sized) else math.inf
        for position, (suspect, base) in enumerate(aims, 1):
            began, opening = self.spent, self.opening
            share = budget.left(began, 1.0 if position == count else FIRST_SHARE)
            if share.exceeded(Spent()):
                reasons.append(SPENT)
                return None
            found = self._tried(failures, suspect, share, base, reasons)
            if found is not None:
                return found
            if share.exceeded(self.spent - began - Spent(self.opening - opening)):
                reasons.append(SPENT)
        return None

    def _tried(
        self,
        failures: tuple[TestFailure, ...],
        suspect: Suspect,
        budget: Budget,
        base: Patch | None,
        reasons: list[str],
        look: Look | None = None,
    ) -> Judged | None:
        """Return what one attempt found; a lost sandbox ends it and is told."""
        try:
            return self._try(failures, suspect, budget, base, look)
        except SandboxLost as error:
            reasons.append(f"{suspect.key.qualname}: {error.message}")
            self.emit("note", text=reasons[-1])
            return None

    def _try(
        self,
        failures: tuple[TestFailure, ...],
        suspect: Suspect,
        budget: Budget,
        base: Patch | None,
        look: Look | None,
    ) -> Judged | None:
        """Return the best candidate in `suspect` whose cold verdict is publishable: lot after lot, each ranked."""
        attempt = self._attempt(failures, suspect, base)
        began, opening, doubtful = self.spent, self.opening, len(self.doubtful)
        while attempt is not None:
            left = budget.left(self.spent - began - Spent(self.opening - opening))
            if left.exceeded(Spent()):
                return None
            found = self._search(attempt, left, look)
            if found is not None or self._enough(attempt, doubtful):
                return found
            attempt = self._stricter(attempt) if attempt.outwitted else None
        return None

    def _search(self, attempt: Attempt, budget: Budget, look: Look | None) -> Judged | None:
        """Return what one search in one function found; it ends early where other tests have to steer it."""
        key, base = attempt.suspect.key, attempt.base
        beside = f", with another body of {base.title}" if base is not None else ""
        first = look is not None and look[1] != Budget()
        doing = "Regenerating" if look is None else "Having a first look at" if first else "Trying more edits of"
        self.emit("stage", name="generate", text=f"{doing} {key.qualname} in {key.path}{beside}", guides=attempt.guides)
        doubtful = len(self.doubtful)
        known, late = self.memory.lots(attempt.suspect, self._key(attempt)) if base is None else ([], [])
        with closing(self._lots(attempt, budget, look)) as lots:
            for lot in chain([known], lots, [late] if look is None else []):
                found = self._best(attempt, lot)
                if found is not None:
                    return found
                if attempt.outwitted or self._enough(attempt, doubtful):
                    return None
        return None

    def _enough(self, attempt: Attempt, doubtful: int) -> bool:
        """Say whether as many doubtful patches were found since there were `doubtful` as end a search."""
        return len(self.doubtful) - doubtful >= SUSPECT_PATCHES and not self._hopeful(attempt)

    def _stricter(self, attempt: Attempt) -> Attempt:
        """Return the attempt with one more test that is run on every body; what failed before is not run again."""
        test, before = attempt.outwitted, self._key(attempt)
        self.emit(
            "note", text=f"{REFUTED} bodies pass what steers the search but not {test}, which is run on every body now."
        )
        stricter = attempt.stricter()
        self.ran[self._key(stricter)] = failed(self.ran.get(before, {}), len(attempt.tests))
        self.sessions.end(before)
        if attempt.base is None:
            self.attempts[attempt.suspect.key] = stricter
        return stricter

    def _attempt(self, failures: tuple[TestFailure, ...], suspect: Suspect, base: Patch | None) -> Attempt | None:
        """Return the attempt at a function, the same one each time where nothing else stands changed."""
        key = suspect.key
        if base is None and key in self.attempts:
            return self.attempts[key]
        standing = self._stands(suspect, base)
        if standing is None:
            return None
        guides, held_out = split_guides(failures, self.config.holdout)
        target = Target(key.path, key.qualname, standing[0].first_line, base.files if base is not None else {})
        tests = [*guides, *guards(self.discovery.passing, key)]
        attempt = Attempt(failures, suspect, *standing, guides, held_out, base, target, tests)
        if base is None:
            self.attempts[key] = attempt
        return attempt

    def _stands(self, suspect: Suspect, base: Patch | None) -> tuple[FunctionText, bytes] | None:
        """Return the suspect's function and its file, as they are with `base` applied."""
        key = suspect.key
        source = self.checkout.read(key.path)
        function = find_function(source, key.qualname, key.first_line)
        if function is None or base is None or key.path not in base.files:
            return None if function is None else (function, source)
        changed = base.files[key.path]
        moved = moved_function(changed, function)
        return None if moved is None else (moved, changed)

    def _best(self, attempt: Attempt, lot: Sequence[Candidate]) -> Judged | None:
        """Return the first body of a lot, best first, that ends the search; keeps the doubtful ones."""
        faulty = attempt.function.body
        best = ranked([candidate for candidate in lot if candidate.body not in attempt.judged], faulty)
        if not best:
            return None
        best = self._preferred(attempt, best)
        self.emit(
            "ranked",
            passing=len(best),
            origins=[one.origin for one in best],
            scores=[score(one, faulty) for one in best],
        )
        known = {one.body for one in attempt.passing}
        attempt.passing.extend(one for one in best if one.body not in known)
        rivals = self._preferred(attempt, ranked(attempt.passing, faulty))
        for candidate in self._promising(attempt, best)[:JUDGED]:
            attempt.judged.add(candidate.body)
            judged = self._judge(attempt, candidate, rivals)
            if judged is None:
                continue
            patch, verdict = judged[0], attempt.told(judged[1])
            attempt.learn(verdict)
            self.emit("verdict", verdict=verdict, patch=patch)
            if verdict.publishable or verdict.rivals:  # which of them is right is not told by other functions
                return candidate, patch, verdict
            if verdict.word == "suspect":
                self.doubtful.append((candidate, patch, verdict))
            if attempt.outwitted:
                break
        return None

    def _generated(self, attempt: Attempt, budget: Budget, look: Look | None) -> Generator[list[Candidate], None, None]:
        """Yield the lots that the portfolio, or a look, finds in a sandbox of its own."""
        arms, limit = (self.arms, None) if look is None else look
        key, function, source = attempt.suspect.key, attempt.function, attempt.source
        files, tests = attempt.target.base, attempt.tests
        guiding = [failure for failure in attempt.failures if failure.node_id in set(attempt.guides)]
        task = build_task(
            guiding, function, source, lambda path: files.get(path) or self.checkout.read(path), path=key.path
        )
        session_id, began = self._key(attempt), self.spent
        known = self.memory.earlier.failed.get(session_id, {})

        def opened() -> Session:
            return self._session(attempt.target, tests, guarding(self.discovery.passing, key, tests))

        with self.sessions.kept(session_id, opened) as kept:
            before = self.spent
            session = RecordedSession(kept, tests, known, self.emit, self.ran.setdefault(session_id, {}))
            self.emit("session", level=session.level, tests=tests, key=session_id)
            search = generate(
                task,
                function,
                source,
                attempt.suspect,
                self.model,
                session,
                settings=arms,
                budget=budget.of_seconds(self.limit.left(before)),
                seed=self.config.seed,
                emit=self.emit,
                clock=self.clock,
                names=names_in_scope(source, function),
            )
            try:
                for lot in search.lots(_as_long_as(limit, before.seconds - began.seconds)):
                    self.spent = before + search.spent
                    yield lot
                if attempt.base is None and search.spent.executions:
                    better = search.progress(BETTER)
                    self.better[key] = [(item, make_patch(key.path, source, function, item.body)) for item in better]
            finally:  # also where a lot was good enough, or the sandbox was lost
                self.spent = before + search.spent
                if session.spared:
                    self.emit("note", text=f"{session.spared} executions were taken from the earlier run.")

    def _session(self, target: Target, tests: Sequence[str], guarding: Sequence[str] = ()) -> Session:
        """Open a sandbox, which runs the tests a few times: that is part of the budget, also where it fails."""
        began = self.clock()
        failing = [failure.as_run for failure in self.discovery.failures]
        try:
            known = () if target.base else (*failing, *self.discovery.passing)
            return self.runner.open_session(target, tests, guarding, known)
        finally:
            seconds = self.clock() - began
            self.spent += Spent(seconds)
            self.opening += seconds

    def _key(self, attempt: Attempt) -> str:
        return session_key(self.memory.checkout, attempt.target, attempt.tests)


def _as_long_as(limit: Budget | None, seconds: float) -> Budget | None:
    """Return the limit of a look, which may last as long as the opening of its sandbox."""
    if limit is None or limit.seconds is None:
        return limit
    return replace(limit, seconds=max(limit.seconds, seconds))
