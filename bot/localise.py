"""Decides which functions are to blame: Ochiai suspiciousness over coverage, averaged with the traceback.

Pure arithmetic over a `Spectrum`. Functions that the last change touched come first, where that change is known.
Sources: Ochiai after Abreu et al. 2006; the mean with the traceback after FauxPy's combinations (arXiv:2305.19834).
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence

from bot.records import Suspect, TestFailure
from bot.spectrum import FAR, IsTestPath, Sources, Spectrum
from bot.spectrum import is_test_path as is_test_path  # belongs to what this module offers
from runners.runner import FunctionKey, TestRun


def localise(
    failures: Sequence[TestFailure],
    passing: Sequence[TestRun],
    sources: Sources,
    is_test_path: IsTestPath = is_test_path,
) -> list[Suspect]:
    """Return the functions that may hold the fault these failures share, most suspicious first."""
    return rank(failures, Spectrum(failures, passing, sources, is_test_path))


def rank(failures: Sequence[TestFailure], spectrum: Spectrum) -> list[Suspect]:
    """Return the functions that may hold the fault these failures share, most suspicious first.

    failures: some of those that the spectrum was made of. Changed functions come before others. Equal scores are
    ordered by fewer executions by passing tests, then functions that a test calls in the statement that fails, by an
    operator also, constructors of classes named there, functions that a test is named after, those with something in
    them to get wrong, deeper calls, fewer lines, path and line.
    """
    ids = [failure.node_id for failure in failures]
    by_failing = Counter(key for node_id in ids for key in spectrum.executed[node_id])
    names, depths = _words(ids), spectrum.depths(by_failing.keys())
    found: list[tuple[tuple[object, ...], Suspect]] = []
    for key, count in by_failing.items():
        suspect = _suspect(key, count, ids, spectrum)
        text = spectrum.functions[key]
        order = (
            key not in spectrum.changed,
            -suspect.score,
            spectrum.by_passing[key],
            min(spectrum.distance[node_id].get(key, FAR) for node_id in ids),
            not _named_after(text.name, names),
            key in spectrum.trivial,
            -depths[key],
            text.text.count("\n"),
            key.path,
            key.first_line,
        )
        found.append((order, suspect))
    return [suspect for _, suspect in sorted(found, key=lambda item: item[0])]


def _suspect(key: FunctionKey, by_failing: int, ids: Sequence[str], spectrum: Spectrum) -> Suspect:
    by_passing = spectrum.by_passing[key]
    places = [spectrum.frames[node_id].get(key, 0.0) for node_id in ids] if key in spectrum.in_frames else [0.0]
    ochiai = by_failing / math.sqrt(len(ids) * (by_failing + by_passing))
    traceback = sum(places) / len(ids)
    verb = "named" if key in spectrum.guesses else "executed"
    reason = (
        f"{verb} by {by_failing} of {len(ids)} failing and {by_passing} of {spectrum.measured} passing tests"
        f"{_place_in_traceback(places)}{'; changed' if key in spectrum.changed else ''}"
    )
    return Suspect(key, round((ochiai + traceback) / 2, 6), round(ochiai, 6), round(traceback, 6), reason)


def _place_in_traceback(scores: Iterable[float]) -> str:
    best = max(scores, default=0.0)
    return "; innermost frame of the traceback" if best == 1 else "; in the traceback" if best else ""


def _words(node_ids: Iterable[str]) -> str:
    """Return the test functions' and classes' names as one string of words between underscores."""
    names = (node_id.partition("::")[2].partition("[")[0] for node_id in node_ids)
    return "".join(f"_{re.sub(r'(?<=[a-z0-9])(?=[A-Z])|::', '_', name).lower()}_" for name in names)


def _named_after(name: str, words: str) -> bool:
    """True if a test's name holds the function's."""
    plain = name.strip("_").lower()
    return len(plain) > 2 and f"_{plain}_" in words
