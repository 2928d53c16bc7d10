"""The search in a stale test, on --repair tests: other sources of bodies than in the code, and a stricter judge."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain

from bot.assertions import weakened
from bot.attempt import Attempt
from bot.decoding.edit_pool import names_in_scope
from bot.functions import BodyError
from bot.localise import localise
from bot.patches import make_patch
from bot.records import Budget, Candidate, Patch, TestFailure, Verdict
from bot.repair_tests import corrections, judged
from bot.search import Aim, Look, Search
from bot.verify import verify
from runners.runner import Target


@dataclass(slots=True)
class TestSearch(Search):
    """The search for another body of the failing test itself."""

    __test__ = False  # a search, not a test class

    def _further(self, failures: tuple[TestFailure, ...]) -> Iterator[Aim]:  # noqa: ARG002
        """Yield nothing: a patch changes one test function at most."""
        return iter(())

    def _lots(self, attempt: Attempt, budget: Budget, look: Look | None) -> Generator[list[Candidate], None, None]:
        """Yield what follows from the values that the test met, then what the portfolio finds; nothing weaker."""
        key, function, source = attempt.suspect.key, attempt.function, attempt.source
        began = self.spent
        with self._session(Target(key.path, key.qualname, key.first_line), attempt.guides) as session:
            found = list(corrections(attempt.suspect, function, source, session, names_in_scope(source, function)))
        for lot in chain([found], self._generated(attempt, budget.left(self.spent - began), look)):
            kept = [candidate for candidate in lot if not weakened(function, candidate.body)]
            if kept:
                yield kept

    def _judge(
        self,
        attempt: Attempt,
        candidate: Candidate,
        rivals: Sequence[Candidate],  # noqa: ARG002
    ) -> tuple[Patch, Verdict] | None:
        """Return the patch and its verdict, with the faults that the changed test still notices."""
        failures, read = attempt.failures, self.checkout.read
        try:
            patch = make_patch(attempt.suspect.key.path, attempt.source, attempt.function, candidate.body)
        except BodyError:
            return None
        patch = replace(patch, subject="tests")
        self.emit("stage", name="verify", text="Judging the changed test in a fresh process and on faults in the code")
        verdict = verify(patch, failures, self.discovery, self.runner, held_out=attempt.held_out, of_code=False)
        under_test = localise(failures, self.discovery.passing, read, self.checkout.untouchable)
        ids = [failure.node_id for failure in failures]
        return patch, judged(patch, verdict, attempt.function, candidate.body, under_test, self.runner, ids, read)
