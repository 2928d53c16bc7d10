"""Which failures are searched together, and which functions are to blame for them, from one count of the coverage."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from bot.checkout import Checkout
from bot.config import Config
from bot.errors import EgcfgError
from bot.functions import refusal
from bot.git import changed_lines
from bot.groups import FailureGroup
from bot.groups import groups as grouped
from bot.localise import rank
from bot.records import Discovery, Emit, Suspect, TestFailure
from bot.repair_tests import by_test_function
from bot.spectrum import Spectrum

REFUSED = 3  # functions that cannot be rewritten, told with their reasons


class Blame:
    """The groups of failures and the functions to blame."""

    def __init__(self, checkout: Checkout, config: Config, discovery: Discovery, emit: Emit) -> None:
        self._checkout, self._config, self._emit = checkout, config, emit
        self._failures = [failure for failure in discovery.failures if failure.repairable]
        if self._failures:
            emit("stage", name="localise", text="Ranking the functions to blame")
        changes = changed_lines(checkout.root, config.base) if config.base and self._failures else {}
        self._spectrum = Spectrum(
            self._failures, discovery.passing, checkout.read, checkout.untouchable, changes=changes
        )

    def groups(self) -> list[FailureGroup]:
        """Return the failures in the groups that one fault each may explain."""
        return grouped(self._failures, self._spectrum)

    def functions(self) -> list[tuple[FailureGroup, list[Suspect]]]:
        """Return the groups of failing tests, each with the functions to blame."""
        return [(group, self.suspects(group)) for group in self.groups()]

    def tests(self) -> list[tuple[FailureGroup, list[Suspect]]]:
        """Return the failing tests by the test function that holds them, which is then the only suspect."""
        found = []
        for failures, suspects in by_test_function(self._failures, self._checkout.read):
            allowed = [one for one in suspects if not self._checkout.kept_out(one.key.path)]
            self._emit("ranking", failures=[failure.node_id for failure in failures], suspects=allowed)
            found.append((FailureGroup(failures), allowed))
        return found

    def suspects(self, group: FailureGroup) -> list[Suspect]:
        """Return who is to blame for a group, most suspicious first, as many as are tried."""
        suspects = rank(group.failures, self._spectrum)[: self._config.suspects]
        self._emit("ranking", failures=[failure.node_id for failure in group.failures], suspects=suspects)
        return suspects


def without_suspects(
    failures: Iterable[TestFailure], read: Callable[[str], bytes], untouchable: Callable[[str], bool]
) -> str:
    """Return why there is no function to blame, with the first functions that are executed and cannot be rewritten."""
    reason = "No function of the repository that could be rewritten is executed by the failing tests."
    executed = {key for failure in failures for key in failure.functions if not untouchable(key.path)}
    refused = []
    for key in sorted(executed, key=lambda key: (key.path, key.first_line))[:REFUSED]:
        try:
            why = refusal(read(key.path), key.qualname, key.first_line)
        except (OSError, EgcfgError):
            continue
        refused += [f"{key.qualname} in {key.path}: {why}"] if why else []
    return f"{reason} {'; '.join(refused)}." if refused else reason
