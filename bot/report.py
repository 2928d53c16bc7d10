"""Records as text for people and programs: the patch file, Markdown, HTML and the JSON of --json.

Pure functions: records in, text out. Everything that comes from the repository, its tests or the model is untrusted:
control characters are made visible, and it is shown only where Markdown and HTML do not interpret it.
"""

from __future__ import annotations

import dataclasses
import difflib
import json
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bot import __version__
from bot.journal import masked_urls
from bot.records import Discovery, Patch, Repair, Suspect, TestFailure, to_json

if TYPE_CHECKING:
    from jinja2 import Environment

    from bot.pipeline import Group, Outcome

SCHEMA = 1  # of the JSON document
LOG_LIMIT = 30_000  # characters of the execution log in Markdown
DIFF_LIMIT = 60_000  # characters of one diff in Markdown; the patch file is never cut
STEP_LIMIT = 200  # lines and signals of one attempt in HTML
STALE = "A TEST is changed here, not the code: egcfg-fix was told to repair stale tests (--repair tests)."
MESSAGE_LIMIT = 2_000  # characters of one failure's message

WORDS = {
    "strong": "every failing test passes, also those the search never saw, and nothing else broke",
    "plausible": "every failing test passes and nothing else broke, but no test was held out to judge it",
    "suspect": "the tests pass, but there is reason to doubt that this is the change that is meant",
    "rejected": "the patch did not stand a fresh run",
}
UNPRINTABLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e007f]"
)


@dataclass(frozen=True, slots=True)
class Run:
    """What a report tells beside the outcome: where the run's files are, and how to do it again."""

    folder: str = ""
    command: str = ""  # as a shell would read it
    commit: str = ""
    dirty: tuple[str, ...] = ()
    written: Mapping[str, str] = field(default_factory=dict)  # "patch", "report", "branch", ... -> where
    records: Sequence[Mapping[str, Any]] = ()  # of the journal


def printable(text: str) -> str:
    """Return `text` with control, direction-changing and invisible characters as escapes; line ends become newlines."""
    text = text.replace("\r\n", "\n")
    return UNPRINTABLE.sub(lambda match: match[0].encode("unicode_escape").decode("ascii"), text)


# The patch file


def changes(repairs: Iterable[Repair], files: Mapping[str, bytes]) -> tuple[Patch, ...]:
    """Return one patch for each file of `files`, which holds the published patches of that file put together."""
    published = [
        step for repair in repairs if repair.published and repair.patch is not None for step in _steps(repair.patch)
    ]
    merged = []
    for path, after in sorted(files.items()):
        own = [patch for patch in published if patch.path == path]
        before = own[0].before
        names = ", ".join(dict.fromkeys(patch.qualname for patch in own))
        text = diff(path, before, after).decode("utf-8", "replace")
        merged.append(Patch(path, names, before, after, text, subject=own[0].subject))
    return tuple(merged)


def _steps(patch: Patch) -> list[Patch]:
    """Return one patch for each body, each from the file as it was before the first."""
    return [dataclasses.replace(step, before=patch.originals[step.path]) for step in patch.steps]


def patch_file(patches: Iterable[Patch]) -> bytes:
    """Return what `git apply` and `patch -p1` read; every byte of the files survives, line ends too."""
    parts = []
    for patch in patches:
        if patch.subject == "tests":  # text before a file's header is no part of the change to any of them
            parts.append(f"# {STALE}\n".encode())
        parts.append(diff(patch.path, patch.before, patch.after))
    return b"".join(parts)


def diff(path: str, before: bytes, after: bytes) -> bytes:
    """Return the unified diff of one file, b"" when nothing changed."""
    old, new = _lines(before), _lines(after)
    out = [f"--- {_header('a/' + path)}\n", f"+++ {_header('b/' + path)}\n"]
    body = list(difflib.unified_diff(old, new))[2:]
    for line in body:
        out.append(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n")
    return "".join(out).encode("latin-1") if body else b""


def _lines(content: bytes) -> list[str]:
    """Return the lines cut at b"\\n" only, one character a byte."""
    return re.findall(r"[^\n]*\n|[^\n]+", content.decode("latin-1"))


def _header(name: str) -> str:
    """Return a file name as git writes it in a patch."""
    data = name.encode("utf-8", "surrogateescape")
    if all(32 <= byte < 127 and byte not in b'"\\' for byte in data):
        return name + "\t" if " " in name else name
    special = {ord('"'): '\\"', ord("\\"): "\\\\", 10: "\\n", 9: "\\t"}
    return '"' + "".join(special.get(b) or (chr(b) if 32 <= b < 127 else f"\\{b:03o}") for b in data) + '"'


# JSON


def result(outcome: Outcome, run: Run, *, exit_code: int) -> dict[str, Any]:
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


def findings(discovery: Discovery, groups: Sequence[Group], run: Run, *, exit_code: int) -> dict[str, Any]:
    """Return the document of `find --json`."""
    groups_json = [
        {"failures": [failure.node_id for failure in failures], "suspects": to_json(list(suspects))}
        for failures, suspects in groups
    ]
    return {**_document("find", run, exit_code), "discovery": _discovery(discovery), "groups": groups_json}


def error(name: str, message: str, hint: str, *, exit_code: int, log: str = "") -> dict[str, Any]:
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


# Markdown and HTML


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


def found(discovery: Discovery, groups: Sequence[Group]) -> str:
    """Return what `find` found in one line."""
    tests = len(discovery.failures)
    said = "Nothing fails." if not tests else f"{tests} failing test{'s' * (tests != 1)}"
    if tests:
        hopeful = sum(len(failures) for failures, suspects in groups if suspects)
        said += f", {hopeful} with functions to blame." if hopeful else ", none with a function to blame."
    return f"{said} {discovery.collected} collected, {len(discovery.passing)} passed."


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


def markdown(outcome: Outcome, run: Run) -> str:
    """Return report.md."""
    text = _templates().get_template("report.md.jinja").render(**_values(outcome, run))
    return text.strip() + "\n"


def html(outcome: Outcome, run: Run) -> str:
    """Return report.html: self-contained, without scripts, with every attempt line by line."""
    values = {**_values(outcome, run), "attempts": attempts(run.records)}
    return _templates().get_template("report.html.jinja").render(**values).strip() + "\n"


def _values(outcome: Outcome, run: Run) -> dict[str, Any]:
    return {
        "outcome": outcome,
        "discovery": outcome.discovery,
        "run": run,
        "headline": headline(outcome),
        "words": WORDS,
        "stale": STALE,
        "tests_changed": any(repair.patch and repair.patch.subject == "tests" for repair in outcome.repairs),
        "published": [repair for repair in outcome.repairs if repair.published],
        "doubtful": [repair for repair in outcome.repairs if repair.patch and not repair.published],
        "unrepaired": [repair for repair in outcome.repairs if not repair.patch],
        "log": log(run.records),
        "version": __version__,
    }


@cache
def _templates() -> Environment:
    import jinja2

    loader = jinja2.FileSystemLoader(Path(__file__).parent / "templates")
    environment = jinja2.Environment(
        loader=loader,
        undefined=jinja2.StrictUndefined,
        autoescape=lambda name: name is not None and ".html" in name,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "code": code,
        "words": words,
        "fence": fence,
        "printable": lambda text: printable(str(text)),
        "masked": lambda text: masked_urls(str(text)),
        "where": where,
        "cut": cut,
        "limit_diff": lambda text: cut(text, DIFF_LIMIT),
        "message": lambda failure: cut(_message(failure), MESSAGE_LIMIT),
        "meaning": meaning,
        "short": lambda text: cut(" ".join(text.split()), 160),
    }
    return environment


def meaning(level: str) -> str:
    """Return what a verdict's level, such as "J4 + J5 in docker", stands for; "" for none that is known."""
    if not level.startswith("J4"):
        return ""
    apart = ", and the function was run apart from its tests as well" if "J5" in level else ""
    return f"a fresh copy, fresh processes, tests of known outcome mixed in{apart}"


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
            attempt["steps"].append({"kind": event, "text": cut(text.rstrip("\n"), MESSAGE_LIMIT), "changed": changed})
        else:
            attempt["dropped"] += 1


def where(suspect: Suspect) -> str:
    return f"{suspect.key.path}:{suspect.key.first_line} {suspect.key.qualname}"


def _message(failure: TestFailure) -> str:
    if failure.message.startswith(failure.exception):
        return failure.message
    return ": ".join(part for part in (failure.exception, failure.message) if part)


def code(text: object) -> str:
    """Return `text` as a Markdown code span, also inside a table; mentions and links in it do nothing."""
    shown = printable(str(text)).replace("\n", " ").replace("|", "\\|")
    fence_ = "`" * (max((len(run) for run in re.findall("`+", shown)), default=0) + 1)
    space = " " if shown.startswith("`") or shown.endswith("`") or not shown.strip() else ""
    return f"{fence_}{space}{shown}{space}{fence_}"


def words(text: object) -> str:
    """Return `text` as plain words: nothing in it is markup, a mention or a reference."""
    shown = re.sub(r"([\\`*_\[\]<>|~#!&])", r"\\\1", " ".join(printable(str(text)).split()))
    shown = re.sub(r"(?i)\b(www)\.", "\\1\N{ZERO WIDTH SPACE}.", shown)  # GitHub links it without a scheme
    return shown.replace("@", "@\N{ZERO WIDTH SPACE}").replace("://", ":\N{ZERO WIDTH SPACE}//")


def fence(text: str, language: str = "") -> str:
    """Return `text` as a fenced block that nothing in it can close."""
    shown = printable(text).rstrip("\n")
    marks = "`" * max(3, max((len(run) for run in re.findall("`+", shown)), default=0) + 1)
    return f"{marks}{language}\n{shown}\n{marks}"


def cut(text: str, limit: int) -> str:
    """Return at most `limit` characters of `text`, and a mark where it was cut."""
    return text if len(text) <= limit else f"{text[:limit]}... [cut, {len(text) - limit} more characters]"


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
