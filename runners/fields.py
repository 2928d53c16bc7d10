"""Fields of what a sandbox answers: untrusted input, each checked for its type and cut to its size. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from runners.runner import Frame, FunctionKey

MESSAGE_CHARS = 2000
NODE_CHARS = 4000


def text(value: object, limit: int) -> str:
    """Return a string cut to `limit`, without surrogates; "" for anything that is no string."""
    if not isinstance(value, str):
        return ""
    return value[:limit].encode("utf-8", "replace").decode("utf-8")


def count(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 53 else 0


def seconds(value: object) -> float:
    """Return a duration, 0.0 for anything that is none."""
    if isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value) and value >= 0:
        return float(value)
    return 0.0


def relative_path(value: object) -> str:
    """Return a POSIX path that stays inside the repository, else ""."""
    path = text(value, 1000)
    return path if path and not path.startswith("/") and ".." not in path.split("/") else ""


def parse_frames(value: object) -> tuple[Frame, ...]:
    """Return the well-formed frames of a traceback."""
    found = []
    for item in value[:40] if isinstance(value, list) else ():
        if isinstance(item, list) and len(item) == 3 and relative_path(item[0]):
            found.append(Frame(relative_path(item[0]), count(item[1]), text(item[2], 300)))
    return tuple(found)


def parse_function(frame: Mapping[str, Any]) -> FunctionKey | None:
    """Return the function a frame names, None if it is malformed."""
    path, name, line = relative_path(frame.get("p")), text(frame.get("q"), 300), count(frame.get("l"))
    return FunctionKey(path, name, line) if path and name and line else None
