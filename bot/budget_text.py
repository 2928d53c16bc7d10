"""A budget as people write it, in a flag, a variable or a file; and back. Pure."""

from __future__ import annotations

import dataclasses
import math
import re
from typing import Any

from bot.errors import nearest
from bot.records import Budget
from bot.value_kinds import commas

UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}
BUDGET_SAYS = 'a time such as "120s", or limits such as "seconds=300,executions=4000,tokens=none"'


def parse_budget(given: Any) -> Budget:
    """Return the budget written as "120s", "5m", "seconds=300,tokens=20000", a number of seconds or a TOML table.

    A limit that is not named keeps its default; "none" lifts it. Raises ValueError for anything else.
    """
    if isinstance(given, str):
        text = given.strip()
        given = dict(_pair(part) for part in commas(text)) if "=" in text else {"seconds": text}
    elif isinstance(given, (int, float)) and not isinstance(given, bool):
        given = {"seconds": given}
    if not isinstance(given, dict) or not given:
        raise ValueError(BUDGET_SAYS)
    names = {f.name for f in dataclasses.fields(Budget)}
    if unknown := [str(name) for name in given if name not in names]:
        raise ValueError(f"{BUDGET_SAYS}; it has no limit {unknown[0]!r}{nearest(unknown[0], names)}")
    return Budget(**{name: _limit(name, value) for name, value in given.items()})


def _pair(part: str) -> tuple[str, str]:
    name, found, value = part.partition("=")
    if not found:
        raise ValueError(BUDGET_SAYS)
    return name.strip(), value.strip()


def _limit(name: str, given: Any) -> Any:
    if given == "none":
        return None
    if isinstance(given, str):
        match = re.fullmatch(r"(\d{1,12}(?:\.\d{1,6})?)\s*([a-z]*)", given)
        if match is None or match[2] not in (UNITS if name == "seconds" else {""}):
            raise ValueError(f'{BUDGET_SAYS}; {given!r} is not a number of {name} and not "none"')
        given = float(match[1]) * UNITS[match[2]]
    if isinstance(given, bool) or not isinstance(given, (int, float)) or not math.isfinite(given) or given <= 0:
        raise ValueError(f"{BUDGET_SAYS}; {name} must be above 0")
    if name == "seconds":
        return float(given)
    if given != int(given):
        raise ValueError(f"{BUDGET_SAYS}; {name} must be a whole number")
    return int(given)


def budget_text(budget: Budget) -> str:
    """Return `budget` in the form `parse_budget` reads, without the limits that have their default."""
    limits = [(f.name, getattr(budget, f.name)) for f in dataclasses.fields(Budget)]
    default = Budget()
    limits = [(name, limit) for name, limit in limits if limit != getattr(default, name)] or limits[:1]
    return ",".join(f"{name}={'none' if limit is None else f'{limit:.15g}'}" for name, limit in limits)
