"""Decides when a patch that passes everything is proposed with a doubt, or not at all, since another may be right.

Where a second change, about as small, passes all tests too and does something else on the calls that they make or on
calls near them, only a person can tell which is meant: both are shown. Tests none of which was held out say so little
that neither is proposed then; where held-out tests have judged the patch it is, but it is not called strong.
A number that stands nowhere in the code or the tests makes no rival: some such number passes beside every boundary that
no test pins down, and nobody can have meant it.
Also here: a patch under which calls of passing tests lose their result. Measured in docs/benchmarks.md.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace

from bot.behaviour import Behaviour, observe
from bot.examples import Kept
from bot.functions import BodyError, FunctionText
from bot.patches import make_patch
from bot.ranking import changed_tokens
from bot.records import Candidate, Discovery, Patch, Rival, TestFailure, Verdict, VerdictWord
from runners.runner import Runner

RIVALS = 12  # bodies that are compared with the one judged,
JUDGED_RIVALS = 4  # and those that do something else of which a fresh run is asked
MARGIN = 0  # changed tokens by which a rival may be larger
PLAIN = frozenset({"0", "1", "2"})  # numbers that anybody may have meant
SHOWN_RIVALS = 2
SHOWN_EXAMPLES = 2  # that fail
SHOWN_CALLS = 8  # of each rival
SHOWN_CHANGES = 20


def reconsidered(
    candidate: Candidate,
    patch: Patch,
    verdict: Verdict,
    passing: Sequence[Candidate],
    function: FunctionText,
    *,
    failures: Sequence[TestFailure],
    discovery: Discovery,
    runner: Runner,
    held_out: bool,
    judge: Callable[[Patch], Verdict],
    tests: Sequence[str] = (),
) -> Verdict:
    """Return the verdict with what the patch changes, "suspect" where that, or a rival, makes it doubtful.

    candidate: the body of `patch`, the last one where it has several. passing: all bodies found to pass so far in its
    place. function: as it was. held_out: whether failing tests that steered nothing have judged the patch: where none
    have, a patch of several functions is suspect already; rivals are only looked for beside a single body.
    judge: the cold verdict of another patch. tests: sources of the failing tests.
    """
    if not verdict.publishable:
        return verdict
    rivals = [] if patch.further else _rivals(candidate, patch, passing, function, tests)
    behaviour = observe(patch, rivals, failures, discovery, runner)
    verdict = _told(verdict, behaviour)
    losses = behaviour.losses()
    if losses:
        first = losses[0]
        reason = f"a call of {first.node_id} had a result and now {first.after}: {first.arguments}"
        return replace(verdict, word="suspect", reasons=(*verdict.reasons, reason))
    different = _different(behaviour, rivals, judge)
    if different:
        reason = "another change of the same size passes as well and does something else; a person has to choose"
        word: VerdictWord = "plausible" if held_out else "suspect"
        return replace(verdict, word=word, reasons=(*verdict.reasons, reason), rivals=tuple(different))
    return verdict


def illustrated(verdict: Verdict, kept: Kept) -> Verdict:
    """Return a publishable verdict with what the patch makes of the examples in the function's docstring.

    It is "suspect" where one that held before fails, or no more of them hold than fail: then the docstring is rather
    right than stale.
    """
    if not kept.held and not kept.failed:
        return verdict
    reasons = [f"{kept.held} of {kept.held + len(kept.failed)} examples in the docstring hold, which steered nothing"]
    told = dict.fromkeys([*kept.broken, *kept.failed])
    reasons += [f"not as its docstring says: {failed}" for failed in list(told)[:SHOWN_EXAMPLES]]
    word = "suspect" if kept.doubtful else verdict.word
    return replace(verdict, word=word, reasons=(*verdict.reasons, *reasons))


def told(
    patch: Patch, verdict: Verdict, failures: Sequence[TestFailure], discovery: Discovery, runner: Runner
) -> Verdict:
    """Return the verdict with what the patch changes, for a person who has to decide about it; its word stays."""
    return _told(verdict, observe(patch, (), failures, discovery, runner))


def _told(verdict: Verdict, behaviour: Behaviour) -> Verdict:
    return replace(verdict, compared=behaviour.compared, differences=behaviour.changes()[:SHOWN_CHANGES])


def _rivals(
    candidate: Candidate, patch: Patch, passing: Sequence[Candidate], function: FunctionText, tests: Sequence[str]
) -> list[Patch]:
    """Return the patches of other passing bodies that are about as small as this one, best first."""
    limit = changed_tokens(function.body, candidate.body) + MARGIN
    known = PLAIN.union(*map(_numbers, (patch.before.decode("utf-8", "replace"), candidate.body, *tests)))
    found: list[Patch] = []
    for rival in passing:
        small = changed_tokens(function.body, rival.body) <= limit
        if rival.body == candidate.body or not small or len(found) >= RIVALS or not _numbers(rival.body) <= known:
            continue
        try:
            found.append(make_patch(patch.path, patch.before, function, rival.body))
        except BodyError:
            continue
    return found


def _numbers(text: str) -> frozenset[str]:
    return frozenset(re.findall(r"(?<![\w.])\d[\w.]*", text))


def _different(behaviour: Behaviour, rivals: Sequence[Patch], judge: Callable[[Patch], Verdict]) -> list[Rival]:
    """Return the rivals that do something else and stand a fresh run of the whole suite.

    Those first that differ on no call of a test: what a test sees it mostly refutes.
    """
    differing = [(rival, behaviour.between(1, number)) for number, rival in enumerate(rivals, 2)]
    hopeful = sorted((item for item in differing if item[1]), key=lambda item: any(not one.nearby for one in item[1]))
    found: list[Rival] = []
    for rival, differences in hopeful[:JUDGED_RIVALS]:
        if judge(rival).publishable:
            found.append(Rival(rival.diff, differences[:SHOWN_CALLS]))
            if len(found) >= SHOWN_RIVALS:
                break
    return found
