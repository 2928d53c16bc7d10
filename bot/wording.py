"""What came of a run in a few words: its verdicts, failures, functions, one line for the whole, a commit's message.

Pure. What comes from the repository is made printable here only where a line is made of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from bot import __version__
from bot.markup import printable
from bot.patch_file import STALE
from bot.records import Discovery, Patch, Suspect, TestFailure

if TYPE_CHECKING:
    from bot.pipeline import Group, Outcome

WORDS = {
    "strong": "every failing test passes, also those the search never saw, and nothing else broke",
    "plausible": "every failing test passes and nothing else broke, but another change might pass them as well",
    "suspect": "the tests pass, but there is reason to doubt that this is the change that is meant",
    "rejected": "the patch did not stand a fresh run",
}


def headline(outcome: Outcome) -> str:
    """Return the outcome in one line."""
    count = len(outcome.discovery.failures)
    if not count:
        return "Nothing fails."
    left = len(outcome.still_failing)
    tests = "1 failing test" if count == 1 else f"{count} failing tests"
    words = [repair.verdict.word for repair in outcome.repairs if repair.published and repair.verdict]
    kinds = ", ".join(f"{words.count(word)} {word}" for word in dict.fromkeys(words))
    patches = f" with {len(words)} patch{'es' if len(words) != 1 else ''} ({kinds})" if words else ""
    if not left:
        return f"Repaired {'the' if count == 1 else 'all'} {tests}{patches}."
    return f"Repaired {count - left} of {tests}{patches}; {left} still {'fails' if left == 1 else 'fail'}."


def find_headline(discovery: Discovery, groups: Sequence[Group]) -> str:
    """Return what `find` found in one line."""
    tests = len(discovery.failures)
    said = "Nothing fails." if not tests else f"{tests} failing test{'s' * (tests != 1)}"
    if tests:
        hopeful = sum(len(failures) for failures, suspects in groups if suspects)
        said += f", {hopeful} with functions to blame." if hopeful else ", none with a function to blame."
    return f"{said} {discovery.collected} collected, {len(discovery.passing)} passed."


def told(failure: TestFailure) -> str:
    """Return what a failure says in one line, with the exception's name once and without its module."""
    said = next(iter(printable(failure.message).strip().splitlines()), "")
    exception = printable(failure.exception).rpartition(".")[2]
    head, colon, rest = said.partition(": ")
    if colon and head.rpartition(".")[2] == exception:
        said = rest
    elif said.startswith(exception):
        return said
    return f"{exception}: {said}".strip(": ")


def message_of(failure: TestFailure) -> str:
    if failure.message.startswith(failure.exception):
        return failure.message
    return ": ".join(part for part in (failure.exception, failure.message) if part)


def where(suspect: Suspect) -> str:
    return f"{suspect.key.path}:{suspect.key.first_line} {suspect.key.qualname}"


def meaning(level: str) -> str:
    """Return what a verdict's level, such as "J4 + J5 in docker", stands for; "" for none that is known."""
    if not level.startswith("J4"):
        return ""
    apart = ", and the function was run apart from its tests as well" if "J5" in level else ""
    return f"a fresh copy, fresh processes, tests of known outcome mixed in{apart}"


def commit_message(outcome: Outcome, patches: Sequence[Patch]) -> str:
    """Return the message of the commit that holds the patches."""
    names = ", ".join(patch.qualname for patch in patches)
    what = "stale test" if all(patch.subject == "tests" for patch in patches) else ""
    title = (
        f"Repair {what} {names}".replace("  ", " ") if len(names) <= 60 else f"Repair functions in {len(patches)} files"
    )
    fixed = [node for repair in outcome.repairs if repair.published and repair.verdict for node in repair.verdict.fixed]
    tests = [f"- {' '.join(node.split())}" for node in fixed[:30]] + [f"- and {len(fixed) - 30} more"] * (
        len(fixed) > 30
    )
    stale = [STALE, ""] if any(patch.subject == "tests" for patch in patches) else []
    body = "\n".join([*stale, "Failed before, pass now:", *tests])
    return printable(
        f"{title}\n\n{body}\n\nA machine wrote this change (egcfg-fix {__version__}): review it before merging.\n"
    )
