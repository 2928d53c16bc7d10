"""A comparison of bodies on the wire: how it is asked for, and the checked parsing of what comes back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, get_args

from runners.fields import NODE_CHARS, count, text
from runners.runner import ComparedCall, Comparing, Result, ResultKind, Target
from runners.wire import encode

ARGUMENT_CHARS = 300
_RESULTS = frozenset(get_args(ResultKind))


def comparing_frame(comparing: Comparing | None) -> dict[str, Any] | None:
    """Return how a comparison is asked for."""
    if comparing is None:
        return None
    return {
        **_varied(comparing.target, comparing.sources),
        "nearby": comparing.nearby,
        "calls": comparing.calls,
        "seconds": comparing.seconds,
        "beside": [_varied(one.target, one.sources) for one in comparing.beside],
        "examples": [[example.arguments, example.expected] for example in comparing.examples],
    }


def _varied(target: Target, sources: Sequence[bytes]) -> dict[str, Any]:
    return {
        "path": target.path,
        "qualname": target.qualname,
        "first_line": target.first_line,
        "sources": [encode(source) for source in sources],
    }


def parse_compared(frame: Mapping[str, Any], variants: int, examples: int = 0) -> ComparedCall | None:
    """Return one compared call, None if it is malformed or does not speak of each of the variants.

    examples: how many were asked for, when the frame tells of one of them.
    """
    raw = frame.get("r")
    results = []
    for item in raw[:variants] if isinstance(raw, list) else ():
        if not (isinstance(item, list) and len(item) in (3, 4) and item[0] in _RESULTS):
            return None
        holds = item[0] == "value" and item[3:] == [True]
        results.append(Result(item[0], text(item[1], ARGUMENT_CHARS), text(item[2], 200), holds))
    place = count(frame.get("e")) - 1 if "e" in frame else -1
    if len(results) != variants or not -1 <= place < examples:
        return None
    node, arguments = text(frame.get("n"), NODE_CHARS), text(frame.get("a"), ARGUMENT_CHARS)
    return ComparedCall(node, arguments, frame.get("near") is True, tuple(results), place)
