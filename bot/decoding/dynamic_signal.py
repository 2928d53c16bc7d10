"""The dynamic signal: tells as text what happened when continuations of a half-written body were run.

Pure functions from observations to text; sampling and execution happen in `decoder`. Equal behaviours are merged,
entries are ranked, the order is deterministic, every entry and the whole have a budget, a lost or cut trace is said.
Source: EG-CFG, arXiv:2506.10948 (traces of candidate continuations as a prompt segment); format and budgets are ours.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from bot.decoding.prompt import MAX_LINES, Style, cut, defuse, defuse_chat, one_line
from bot.models.language_model import LanguageModel
from runners.runner import Outcome, Trace, TraceEvent

ObservationOrigin = Literal["faulty", "sampled", "edit"]
Measure = Callable[[str], int]  # the length of a text in tokens

ENTRY_TOKENS = 150
SIGNAL_TOKENS = 800
TAGGED_ENTRY_TOKENS = 70  # the signals that the embedded model was trained on are this short
TAGGED_SIGNAL_TOKENS = 190
MIN_SIGNAL_TOKENS = 60  # with less room than this the signal stays empty
MESSAGE_CHARS = 80
VALUE_CHARS = 120
CONTINUATION_LINES = 8
_VERDICTS: dict[Outcome, str] = {"passed": "pass", "frontier": "reached the end of what is written"}
_SHORT_VERDICTS: dict[Outcome, str] = {"passed": "pass", "frontier": "open"}


@dataclass(frozen=True, slots=True)
class Observation:
    """One continuation, run on one failing test.

    continuation: the text after the body so far, whole lines; the whole body for the faulty function's own run.
    first_line: line of the function on which it starts, 1-based, decorators counted.
    trace: lines relative to the function's first line; None when the test did not reach the function.
    """

    continuation: str
    first_line: int
    outcome: Outcome
    message: str = ""
    trace: Trace | None = None
    origin: ObservationOrigin = "sampled"
    test: str = ""

    def behaviour(self) -> tuple[object, ...]:
        """What must be equal for two observations to be merged: verdict and events, not the text."""
        events = self.trace.events if self.trace else ()
        return self.test, self.outcome, self.message, tuple((e.kind, e.depth, e.values) for e in events)


def signal_text(observations: Sequence[Observation], style: Style, model: LanguageModel, room: int = 10**6) -> str:
    """Return the signal as `style` wants it, in at most `room` tokens; "" when that is too few."""
    entry, whole = (TAGGED_ENTRY_TOKENS, TAGGED_SIGNAL_TOKENS) if style == "tagged" else (ENTRY_TOKENS, SIGNAL_TOKENS)
    if min(whole, room) < MIN_SIGNAL_TOKENS:
        return ""

    def measure(part: str) -> int:
        return len(model.encode(part))

    return render(observations, style, measure, entry_tokens=entry, signal_tokens=min(whole, room))


def render(
    observations: Sequence[Observation],
    style: Style,
    measure: Measure = len,
    *,
    entry_tokens: int = ENTRY_TOKENS,
    signal_tokens: int = SIGNAL_TOKENS,
) -> str:
    """Return the signal, or "" when it could not tell one continuation from another.

    observations: of the faulty body first, if any; equal ones are merged, passing first, then the longer traces.
    measure: length in tokens; budgets are in its unit.
    """
    groups: dict[tuple[object, ...], Observation] = {}
    for observation in observations:
        groups.setdefault((observation.origin == "faulty", *observation.behaviour()), observation)
    entries = sorted(groups.values(), key=_rank)
    if not entries or (len(entries) == 1 and len(observations) > 1):
        return ""
    write = _tagged_entry if style == "tagged" else _instruct_entry
    head = "" if style == "tagged" else "\nWhat happened when attempts were run on the failing tests:\n"
    parts: list[str] = []
    left = signal_tokens - measure(head)
    for entry in entries:
        text = write(entry, min(entry_tokens, left), measure)
        if text and measure(text) <= left:
            parts.append(text)
            left -= measure(text)
    return head + "".join(parts) if parts else ""


def _rank(observation: Observation) -> tuple[int, int, int, str, str]:
    order = {"faulty": 0, "edit": 1, "sampled": 1}[observation.origin]
    merit = {"passed": 0, "frontier": 1}.get(observation.outcome, 2)
    length = len(observation.trace.events) if observation.trace else 0
    return order, merit, -length, observation.continuation, observation.test


def _tagged_entry(observation: Observation, budget: int, measure: Measure) -> str:
    """`<cand>` code, events as `<L7> name=value`, then `=>` and the verdict; `<trace>` for the faulty body itself."""
    code = "" if observation.origin == "faulty" else _shown_code(observation.continuation)
    mark = "<trace>" if observation.origin == "faulty" else "<cand>"
    verdict = _SHORT_VERDICTS.get(observation.outcome, "fail")
    message = one_line(cut(defuse(_cause(observation)), MESSAGE_CHARS)) if verdict == "fail" else ""
    end = f" => {verdict} {message}".rstrip() + "\n"

    def line(event: TraceEvent) -> str:
        place = f"<L{event.line}>" if 1 <= event.line <= MAX_LINES else ""
        return place + _event_text(event)

    return _within(mark + code, observation.trace, line, end, budget, measure)


def _cause(observation: Observation) -> str:
    """Return the failure's message; a time-out or crash that has none is named by its outcome."""
    return observation.message or (observation.outcome if observation.outcome != "failed" else "")


def _instruct_entry(observation: Observation, budget: int, measure: Measure) -> str:
    faulty = observation.origin == "faulty"
    title = "The faulty function" if faulty else f"Continuing with\n{_shown_code(observation.continuation)}"
    test = f" on {observation.test}" if observation.test else ""
    verdict = _VERDICTS.get(observation.outcome, f"{observation.outcome} {one_line(observation.message)}")
    end = f"\n  result: {cut(verdict.strip(), 4 * MESSAGE_CHARS)}\n"

    def line(event: TraceEvent) -> str:
        return f"\n  line {event.line}:{_event_text(event)}"

    return defuse_chat(_within(f"- {title.rstrip()}{test}:", observation.trace, line, end, budget, measure))


def _shown_code(continuation: str) -> str:
    lines = defuse(continuation).splitlines()[:CONTINUATION_LINES]
    return "\n".join(lines) + "\n"


def _event_text(event: TraceEvent) -> str:
    values = ", ".join(f"{name}={cut(one_line(defuse(value)), VALUE_CHARS)}" for name, value in event.values)
    if event.kind == "return":
        return f" ret {values.removeprefix('return=')}"
    return f" {event.kind} {values.removeprefix('raise=')}" if event.kind in ("raise", "yield") else f" {values}"


def _within(
    start: str,
    trace: Trace | None,
    line: Callable[[TraceEvent], str],
    end: str,
    budget: int,
    measure: Measure,
) -> str:
    """Return start + as many telling events as fit + end; the last events are kept in preference to the middle."""
    room = budget - measure(start + end)
    if room < 0:
        return ""
    if trace is None or trace.lost:
        return start + (" trace lost" if trace else " not called") + end
    texts = [line(event) for event in telling(trace.events)]
    kept = len(texts)
    while kept > 0:
        first = (kept + 1) // 2
        shown = texts if kept == len(texts) else [*texts[:first], " ..", *texts[len(texts) - (kept - first) :]]
        tail = " (cut)" if trace.cut else ""
        if measure("".join(shown) + tail) <= room:
            return start + "".join(shown) + tail + end
        kept -= max(1, kept // 8)
    return start + end


def telling(events: Sequence[TraceEvent]) -> list[TraceEvent]:
    """Return the events worth words: those with values or an ending; of a line run often, first two visits and last."""
    visits: dict[tuple[int, int], int] = {}
    for event in events:
        visits[event.line, event.depth] = visits.get((event.line, event.depth), 0) + 1
    seen: dict[tuple[int, int], int] = {}
    kept = []
    for event in events:
        place = event.line, event.depth
        seen[place] = seen.get(place, 0) + 1
        if event.kind == "line" and not event.values:
            continue
        if event.kind in ("return", "raise", "frontier") or seen[place] <= 2 or seen[place] == visits[place]:
            kept.append(event)
    return kept
