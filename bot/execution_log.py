"""The records of a journal as people read them: line by line, and each attempt step by step.

Pure. A journal may be of another version: what cannot be told is shown as "?".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from bot.markup import cut, printable

LOG_LIMIT = 30_000  # characters of the execution log in Markdown
STEP_CHARS = 2_000  # of one of them
STEP_LIMIT = 200  # lines and signals of one attempt in HTML


def log(records: Sequence[Mapping[str, Any]], limit: int = LOG_LIMIT) -> str:
    """Return the journal as lines for people: what was run, tried and judged; cut in the middle when it is long."""
    lines = [line for record in records if (line := _log_line(record))]
    if sum(len(line) + 1 for line in lines) <= limit:
        return "\n".join(lines)
    head, tail = _within(lines, limit // 2), _within(lines[::-1], limit // 2)[::-1]
    return "\n".join(
        [*head, f"... [{len(lines) - len(head) - len(tail)} lines cut; all of them are in journal.jsonl]", *tail]
    )


def _within(lines: Sequence[str], limit: int) -> list[str]:
    taken: list[str] = []
    for line in lines:
        limit -= len(line) + 1
        if limit < 0:
            break
        taken.append(line)
    return taken


def _log_line(record: Mapping[str, Any]) -> str:
    """Return one line for a journal record, "" for those of interest only in the journal itself."""
    get = record.get
    event = str(get("event", ""))
    tellers: dict[str, Callable[[], Any]] = {
        "start": lambda: f"runner {get('runner')}, model {get('model')}",
        "stage": lambda: get("text") or get("name"),
        "suite": lambda: f"{get('collected')} collected, {get('failed')} failed, {get('passed')} passed",
        "failure": lambda: _about_failure(record),
        "note": lambda: get("text"),
        "ranking": lambda: "; ".join(f"{s['key']['qualname']} {s['score']:.2f}" for s in get("suspects", ())),
        "attempt": lambda: get("setting"),
        "edits": lambda: f"{get('tried')} of {get('total')} single edits tried",
        "candidate": lambda: f"passes the guiding tests ({get('origin')}, {get('setting')})",
        "prompt": lambda: _about_prompt(record),
        "ranked": lambda: f"{get('passing')} passing, best first: {', '.join(get('origins', ()))}",
        "verdict": lambda: f"{get('verdict', {}).get('word')}: {'; '.join(get('verdict', {}).get('reasons', ()))}",
        "end": lambda: get("reason"),
    }
    if event not in tellers:
        return ""
    try:
        said = tellers[event]()
    except (AttributeError, KeyError, TypeError, ValueError):  # a record of another version
        said = "?"
    return cut(f"{str(get('time', ''))[11:19]} {event:<9} {' '.join(printable(str(said)).split())}", 300)


def _about_prompt(record: Mapping[str, Any]) -> str:
    taken, left_out = ", ".join(record["taken"]), ", ".join(record["left_out"])
    said = f"{record['tokens']} tokens"
    return said + (f" with {taken}" if taken else "") + (f"; no room for {left_out}" if left_out else "")


def _about_failure(record: Mapping[str, Any]) -> str:
    failure = record.get("failure") or record
    return f"{failure['node_id']} ({failure['kind']}) {failure['exception']}"


def attempts(records: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the attempts of a journal, by the function they regenerate, each with its steps in order."""
    groups: list[dict[str, Any]] = []
    current: dict[str, Any] = {}
    for record in records:
        event, text = record.get("event"), str(record.get("text", ""))
        if event == "stage":
            groups += [{"title": text, "attempts": []}] if record.get("name") == "generate" else []
            current = {}
        elif event == "attempt" and groups:
            about: dict[str, Any] = {"setting": record.get("setting"), "steps": [], "executions": 0}
            current = {**about, "changed": 0, "found": False, "dropped": 0}
            groups[-1]["attempts"].append(current)
        elif current:
            _step(current, str(event), text, record)
    return [group for group in groups if group["attempts"]]


def _step(attempt: dict[str, Any], event: str, text: str, record: Mapping[str, Any]) -> None:
    if event == "execution":
        attempt["executions"] += 1
    elif event == "candidate":
        attempt["found"] = True
    elif event in ("line", "signal"):
        count = record.get("changed", 0)
        changed = count if isinstance(count, int) else len(count or ())
        attempt["changed"] += changed
        if len(attempt["steps"]) < STEP_LIMIT:
            attempt["steps"].append({"kind": event, "text": cut(text.rstrip("\n"), STEP_CHARS), "changed": changed})
        else:
            attempt["dropped"] += 1
