"""The search in the code: single bodies, then bodies of two functions, judged with what else passes in mind."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain

from bot.attempt import Attempt
from bot.context import source_of_test
from bot.doubt import illustrated, reconsidered, told
from bot.examples import Kept, examples, kept
from bot.functions import BodyError, splice
from bot.localise import rank
from bot.patches import joined, make_patch, moved_onto, original_frame, original_key
from bot.records import Budget, Candidate, Patch, Suspect, TestFailure, Verdict
from bot.search import SUSPECT_PATCHES, Aim, Judged, Look, Search
from bot.spectrum import Spectrum
from bot.verify import verify
from runners.runner import SuiteRequest

SHOWN = 16  # passing bodies of one lot that are asked for the docstring's examples
PAIR_BASES = 4  # bodies that do better than the faulty ones, on which another function is regenerated


@dataclass(slots=True)
class CodeSearch(Search):
    """The search for a change of the code with which the failing tests pass."""

    def _further(self, failures: tuple[TestFailure, ...]) -> Iterator[Aim]:
        """Yield which function is regenerated on which changed body of another, the most promising first.

        What other groups of tests have proven comes first; then bodies with which more of the guiding tests pass, or
        fail further on, than with the faulty one. Who is to blame then is told by what the failing tests do with them.
        """
        found = chain.from_iterable(self.better.values())
        best = sorted(found, key=lambda item: (-item[0].passed, -item[0].further))  # stable: then as blamed
        for base in [*self.proven, *(patch for _, patch in best)][:PAIR_BASES]:
            changed = {(step.path, step.qualname) for step in base.steps}
            suspects = self._blamed(failures, base)
            self.emit("ranking", failures=[failure.node_id for failure in failures], suspects=suspects)
            for suspect in suspects:
                if (suspect.key.path, suspect.key.qualname) not in changed:
                    yield suspect, base

    def _blamed(self, failures: tuple[TestFailure, ...], base: Patch) -> list[Suspect]:
        """Return who is to blame for what still fails with `base` applied, in the lines of the original files."""
        request = SuiteRequest(tuple(failure.node_id for failure in failures), base.files, coverage=True)
        runs = self.runner.run_suite(request).by_id()
        still = [
            replace(
                failure,
                frames=tuple(original_frame(base, frame) for frame in run.frames),
                functions=frozenset(original_key(base, key) for key in run.functions),
            )
            for failure in failures
            if (run := runs.get(failure.node_id)) is not None and run.failing
        ]
        spectrum = Spectrum(still, self.discovery.passing, self.checkout.read, self.checkout.untouchable)
        return rank(still, spectrum)[: self.config.suspects]

    def _lots(self, attempt: Attempt, budget: Budget, look: Look | None) -> Generator[list[Candidate], None, None]:
        return self._generated(attempt, budget, look)

    def _preferred(self, attempt: Attempt, best: list[Candidate]) -> list[Candidate]:
        """Return those first that keep more of the examples in the function's docstring; else the order stays."""
        written = examples(attempt.function) if attempt.base is None else ()
        asked = [one for one in best if one.body not in attempt.kept][:SHOWN] if written else []
        sources, bodies = [attempt.source], []
        for candidate in asked:
            try:
                sources.append(splice(attempt.source, attempt.function, candidate.body))
            except BodyError:
                continue
            bodies.append(candidate.body)
        if bodies:
            answers = kept(written, attempt.suspect.key, sources, attempt.guides, self.runner)
            found = answers[1:] if answers else [Kept()] * len(bodies)  # what cannot be told is not asked again
            attempt.kept.update(zip(bodies, found, strict=True))
        return sorted(best, key=lambda candidate: -attempt.kept.get(candidate.body, Kept()).held)

    def _hopeful(self, attempt: Attempt) -> bool:
        """True while all doubtful patches fail an example of the docstring: one that keeps more is better."""
        doubted = self._doubted(attempt)
        return bool(doubted) and all(one.failed for one in doubted)

    def _promising(self, attempt: Attempt, best: list[Candidate]) -> list[Candidate]:
        """Return, after a few doubtful patches, those bodies alone that keep more examples than any of these."""
        doubted = self._doubted(attempt)
        if len(doubted) < SUSPECT_PATCHES:
            return best
        most = max(one.held for one in doubted)
        return [candidate for candidate in best if attempt.kept.get(candidate.body, Kept()).held > most]

    def _doubted(self, attempt: Attempt) -> list[Kept]:
        """Return what the doubtful bodies of this function make of its examples."""
        key = attempt.suspect.key
        bodies = [one.body for one, *_ in self.doubtful if one.suspect.key == key]
        return [attempt.kept.get(body, Kept()) for body in bodies]

    def _judge(
        self, attempt: Attempt, candidate: Candidate, rivals: Sequence[Candidate]
    ) -> tuple[Patch, Verdict] | None:
        """Return the patch and its verdict, with what the patch changes and what else passes."""
        try:
            patch = make_patch(attempt.suspect.key.path, attempt.source, attempt.function, candidate.body)
        except BodyError:
            return None
        patch = patch if attempt.base is None else self._needed(joined([attempt.base, patch]), attempt.failures)
        self.emit("stage", name="verify", text="Judging the patch in a fresh process on a fresh copy")
        verdict = self._verified(patch, attempt, attempt.held_out)
        own = attempt.kept.get(candidate.body, Kept())
        if verdict.publishable:
            verdict = illustrated(verdict, own)
        return patch, reconsidered(
            candidate,
            patch,
            verdict,
            [rival for rival in rivals if attempt.kept.get(rival.body, Kept()).held >= own.held],
            attempt.function,
            failures=attempt.failures,
            discovery=self.discovery,
            runner=self.runner,
            held_out=bool(attempt.held_out),
            judge=lambda rival: self._verified(rival, attempt),
            tests=[text for one in attempt.failures for text in self._said_by(one)],
        )

    def _explained(self, failures: tuple[TestFailure, ...], found: Judged) -> Judged:
        """Return a doubtful patch with what it changes on the calls of passing tests, where that is not told yet."""
        candidate, patch, verdict = found
        if verdict.compared:
            return found
        self.emit("stage", name="verify", text="Comparing the doubtful patch with the code as it was, call by call")
        return candidate, patch, told(patch, verdict, failures, self.discovery, self.runner)

    def _said_by(self, failure: TestFailure) -> tuple[str, str]:
        """Return the source of a failing test and what it said."""
        return source_of_test(failure.node_id, self.checkout.read), failure.message

    def _verified(self, patch: Patch, attempt: Attempt, held_out: Sequence[str] = ()) -> Verdict:
        return verify(patch, attempt.failures, self.discovery, self.runner, held_out=held_out, read=self.checkout.read)

    def _needed(self, patch: Patch, failures: Sequence[TestFailure]) -> Patch:
        """Return the last step alone if the failing tests pass with nothing else, else the whole patch."""
        last = patch.steps[-1]
        alone = moved_onto(patch.originals, last)
        if alone is None:
            return patch
        ids = tuple(failure.node_id for failure in failures)
        runs = self.runner.run_suite(SuiteRequest(ids, alone.files)).by_id()
        return alone if all(i in runs and runs[i].outcome == "passed" for i in ids) else patch
