"""The JSON documents of --json. Pure: records in, JSON out."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from bot import __version__
from bot.journal import masked_urls
from bot.records import Discovery, Patch, Repair, to_json

if TYPE_CHECKING:
    from bot.pipeline import Group, Outcome
    from bot.report import Run

SCHEMA = 1  # of the JSON document


def repair_document(outcome: Outcome, run: Run, *, exit_code: int) -> dict[str, Any]:
    """Return the document of `repair --json`."""
    return {
        **_document("repair", run, exit_code),
        "all_repaired": outcome.all_repaired,
        "still_failing": list(outcome.still_failing),
        "discovery": _discovery(outcome.discovery),
        "repairs": [_repair(repair) for repair in outcome.repairs],
        "spent": to_json(outcome.spent),
        "environment": {key: masked_urls(str(value)) for key, value in outcome.environment.items()},
    }


def find_document(discovery: Discovery, groups: Sequence[Group], run: Run, *, exit_code: int) -> dict[str, Any]:
    """Return the document of `find --json`."""
    groups_json = [
        {"failures": [failure.node_id for failure in failures], "suspects": to_json(list(suspects))}
        for failures, suspects in groups
    ]
    return {**_document("find", run, exit_code), "discovery": _discovery(discovery), "groups": groups_json}


def error_document(name: str, message: str, hint: str, *, exit_code: int, log: str = "") -> dict[str, Any]:
    """Return the document of --json when there is no result."""
    about = {"type": name, "message": message, "hint": hint, "exit_code": exit_code, "log": log}
    return {"schema": SCHEMA, "tool": _tool(), "error": about}


def dumps(document: Mapping[str, Any]) -> str:
    """Return `document` as JSON text in which a CI log finds no command ("##[" is one to GitHub's runner)."""
    return json.dumps(_finite(document), indent=2, allow_nan=False).replace("##[", "##\\u005b")


def _finite(value: Any) -> Any:
    """Return JSON-able data with null for what JSON has no number for."""
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _tool() -> dict[str, str]:
    return {"name": "egcfg-fix", "version": __version__}


def _document(command: str, run: Run, exit_code: int) -> dict[str, Any]:
    about = {"folder": run.folder, "command": masked_urls(run.command), "commit": run.commit, "dirty": list(run.dirty)}
    head = {"schema": SCHEMA, "tool": _tool(), "command": command, "exit_code": exit_code}
    return {**head, "run": {**about, "written": dict(run.written)}}


def _discovery(discovery: Discovery) -> dict[str, Any]:
    """Return the first runs without their coverage, which is large; passing tests are only counted."""
    return {
        "collected": discovery.collected,
        "passing": len(discovery.passing),
        "skipped": discovery.skipped,
        "duration_s": discovery.duration_s,
        "notes": list(discovery.notes),
        "failures": [_without(failure, "functions") for failure in discovery.failures],
    }


def _repair(repair: Repair) -> dict[str, Any]:
    candidate = None
    if repair.candidate is not None:
        candidate = {**_without(repair.candidate, "suspect"), "function": to_json(repair.candidate.suspect.key)}
    return {
        "published": repair.published,
        "reason": repair.reason,
        "failures": [failure.node_id for failure in repair.failures],
        "suspects": to_json(repair.suspects),
        "candidate": candidate,
        "patch": None if repair.patch is None else _patch(repair.patch),
        "verdict": to_json(repair.verdict),
        "spent": to_json(repair.spent),
    }


def _patch(patch: Patch) -> dict[str, Any]:
    """Return the patch without the files' contents; "functions" names every body that it replaces."""
    functions = [{"path": step.path, "qualname": step.qualname} for step in patch.steps]
    return {**_without(patch, "before", "after", "further"), "functions": functions}


def _without(record: Any, *names: str) -> dict[str, Any]:
    return {key: value for key, value in to_json(record).items() if key not in names}
