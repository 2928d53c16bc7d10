"""What a pull request says: its title, its body with the evidence first, the commit message and the comments.

Pure. Test names, messages, reasons and the log come from a repository, a model and a bundle, and are untrusted: they
are shown only where Markdown interprets nothing, so that no text of theirs mentions people, closes issues or forges our
marker. The body is cut from its least important end until GitHub takes it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from bot import __version__
from bot.bundle import SHOWN_DIFF, Bundle, Changed, FileChange, Proposal
from bot.identity import Marker, trailers
from bot.markup import code, cut, fence, printable, words
from bot.patch_file import diff
from bot.wording import WORDS

BODY_LIMIT = 65_536  # characters that GitHub takes
ROOM = 1_000  # characters kept free for what a person or GitHub adds
TITLE_LIMIT = 120
SHOWN_TESTS = 30
SHOWN_CALLS = 10  # whose result changes
CHOOSE = "Where the other one is right, write the right result of one of these calls into a test, and close this."
DISCLOSURE = (
    "> [!NOTE]\n> **A machine wrote this change** (egcfg-fix {version}: execution-guided decoding by a code model). "
    "Tests can pass for the wrong reason. Read it before you merge it."
)
LIMITS = (
    "Only bodies of functions were changed: no signature, no decorator, no configuration, no byte outside them; this "
    "was checked again before publishing. A verdict speaks of the tests that exist and of nothing else."
)


def title(proposals: Sequence[Proposal]) -> str:
    """Return the title, one line."""
    names = list(dict.fromkeys(function.qualname for one in proposals for function in one.functions))
    tests = sum(len(one.fixed) for one in proposals)
    kind = "Update stale test" if all(one.kind == "tests" for one in proposals) else "Repair"
    said = f"{kind} {' and '.join(names)}" if len(names) < 3 else f"{kind} {len(names)} functions"
    passing = f": {tests} failing test{'s' * (tests != 1)} pass{'es' * (tests == 1)}"
    text = " ".join(printable(said).split()).replace("@", "@\N{ZERO WIDTH SPACE}")
    return cut_plain(text, TITLE_LIMIT - len(passing)) + passing


def commit_message(proposals: Sequence[Proposal], key: str, tree: str, base: str) -> str:
    """Return the message of the commit; its trailers say that it is ours."""
    fixed = [node for one in proposals for node in one.fixed]
    named = [f"- {cut_plain(' '.join(printable(node).split()), 200)}" for node in fixed[:SHOWN_TESTS]]
    more = [f"- and {len(fixed) - SHOWN_TESTS} more"] if len(fixed) > SHOWN_TESTS else []
    verdict = ", ".join(sorted({one.word for one in proposals}))
    subject = cut_plain(title(proposals), 72)
    tests = "\n".join([*named, *more])
    about = f"A machine wrote this change (egcfg-fix {__version__}; verdict: {verdict}). Review it before merging."
    return f"{subject}\n\nFailed before, pass now:\n\n{tests}\n\n{about}\n\n{trailers(key, tree, base)}"


def body(bundle: Bundle, proposals: Sequence[Proposal], files: Sequence[FileChange], marker: Marker) -> str:
    """Return the body: disclosure, failures, functions, change, verdict, limits, how to reproduce, log, marker."""
    version = printable(bundle.version)
    head = [DISCLOSURE.format(version=words(version)), *_labels(proposals)]
    needed = [*head, _failures(proposals, SHOWN_TESTS), _verdicts(proposals), _functions(proposals)]
    tail = ["## Limits\n\n" + LIMITS, _origin(bundle)]
    ends = str(marker)
    room = BODY_LIMIT - ROOM - len(ends) - 10 - sum(len(part) + 2 for part in (*needed, *tail))
    change = _fitting(room * 2 // 3, lambda limit: _change(files, limit))
    log = _fitting(room - len(change) - 2, lambda limit: _log(bundle.log, limit))
    text = "\n\n".join(part for part in (*needed, change, *tail, log) if part)
    if len(text) + len(ends) + 2 > BODY_LIMIT - ROOM:
        text = "\n\n".join([*head, _failures(proposals, 5), _verdicts(proposals[:5])])[
            : BODY_LIMIT - ROOM - len(ends) - 2
        ]
    return f"{text}\n\n{ends}\n"


def _labels(proposals: Sequence[Proposal]) -> list[str]:
    if any(one.kind == "tests" for one in proposals):
        return ["**This changes a test, not the code.** The test was found stale: what it asked for is what changed."]
    return []


def _failures(proposals: Sequence[Proposal], limit: int) -> str:
    tests = [test for one in proposals for test in one.tests]
    rows = [
        f"| {code(cut_plain(test.node_id, 300))} | {code(cut_plain(_said(test.exception, test.message), 160))} |"
        for test in tests[:limit]
    ]
    more = f"\n\nAnd {len(tests) - limit} more." if len(tests) > limit else ""
    return "\n".join(["## What failed", "", "| test | what it said |", "|---|---|", *rows]) + more


def _said(exception: str, message: str) -> str:
    shown = message if message.startswith(exception) else ": ".join(part for part in (exception, message) if part)
    return " ".join(shown.split()) or "–"


def _functions(proposals: Sequence[Proposal]) -> str:
    rows = []
    for one in proposals:
        for function in one.functions:
            where = code(f"{function.qualname} in {function.path}")
            why = f": {words(cut_plain(function.reason, 400))}" if function.reason else ""
            rows.append(f"- {where}{why}")
    return "\n".join(["## Why this function" if len(rows) == 1 else "## Why these functions", "", *rows[:50]])


def _verdicts(proposals: Sequence[Proposal]) -> str:
    parts = ["## Verdict"]
    for one in proposals:
        reasons = [f"| because | {words(cut_plain(reason, 500))} |" for reason in one.reasons[:10]]
        found = ", ".join(part for part in (one.origin, one.setting) if part)
        rows = [
            f"**{words(one.word)}** – {WORDS.get(one.word, '')}.",
            "",
            "| | |",
            "|---|---|",
            f"| failed before, pass now | {len(one.fixed)} of {len(one.tests)} |",
            f"| regression tests run | {one.regression_tests} |",
            *_same(one),
            f"| judged by | {words(one.level) or '–'} |",
            *reasons,
            f"| found by | {words(found) or '–'} |",
            f"| cost | {one.spent.get('seconds', 0):.1f} s, {one.spent.get('executions', 0):.0f} executions, "
            f"{one.spent.get('tokens', 0):.0f} tokens |",
        ]
        parts += ["\n".join(rows), *_differences(one), *_alternatives(one)]
    return "\n\n".join(parts)


def _differences(one: Proposal) -> list[str]:
    """Return the table of calls whose result changes, if there are any; its texts are reprs of untrusted objects."""
    if not one.differences:
        return []
    count, shown = len(one.differences), one.differences[:SHOWN_CALLS]
    rows = [_call(call) for call in shown]
    more = [f"\nAnd {count - SHOWN_CALLS} more."] if count > SHOWN_CALLS else []
    compared = f" of {one.compared}" if one.compared >= count else ""
    calls = "1 call" if count == 1 else f"{count} calls"
    head = [
        f"<details><summary>What else changes: {calls}{compared} in passing tests, though no test says so</summary>",
        "",
        "| call | before | after | made by |",
        "|---|---|---|---|",
    ]
    return ["\n".join([*head, *rows, *more, "", "</details>"])]


def _alternatives(one: Proposal) -> list[str]:
    """Return the other changes that pass everything too, each with the calls that tell it from this one."""
    parts = []
    for letter, other in zip("BCDEFGH", one.alternatives, strict=False):
        rows = [
            _call(call, "no test makes, near one of " if call.nearby else "is made by ")
            for call in other.differences[:SHOWN_CALLS]
        ]
        head = [
            f"**Which of these results is right?** This change and change {letter} pass every test, change about as "
            "much, and differ here:",
            "",
            f"| call | this change | change {letter} | a call that |",
            "|---|---|---|---|",
        ]
        parts += ["\n".join([*head, *rows]), fence(cut(other.diff, SHOWN_DIFF), "diff")]
    return [*parts, CHOOSE] if parts else []


def _call(call: Changed, which: str = "") -> str:
    """Return a row of a table of calls: arguments, both results, and the test after `which`."""
    cells = [code(cut_plain(cell, 120)) for cell in (call.arguments, call.before, call.after)]
    return f"| {' | '.join(cells)} | {which}{code(cut_plain(call.node_id, 200))} |"


def _same(one: Proposal) -> list[str]:
    """Return the row that says that no recorded call changes its result, where any was compared."""
    if one.differences or not one.compared:
        return []
    return [f"| recorded calls of passing tests | {one.compared} compared, none changes its result |"]


def _change(files: Sequence[FileChange], limit: int) -> str:
    parts = []
    for change in files:
        text = diff(change.path, change.before, change.after).decode("utf-8", "replace")
        parts.append(text)
    return "## The change\n\n" + fence(cut("".join(parts), limit), "diff")


def _log(log: str, limit: int) -> str:
    if not log.strip():
        return ""
    return f"<details><summary>Execution log</summary>\n\n{fence(cut(log, limit), 'text')}\n\n</details>"


def _origin(bundle: Bundle) -> str:
    lines = ["## How to reproduce", "", fence(bundle.command, "sh"), "", f"at commit {code(bundle.source.commit)}."]
    rows = [
        f"| {words(key)} | {code(cut_plain(value, 200))} |" for key, value in sorted(bundle.environment.items())[:20]
    ]
    return "\n".join([*lines, "", *(["| | |", "|---|---|", *rows] if rows else [])]).rstrip()


def closing(reason: str) -> str:
    """Return the comment with which a pull request is closed."""
    return f"Closed by egcfg-fix: {reason}\n"


def pointer(number: int, url: str, marker: str) -> str:
    """Return the comment on the pull request whose tests failed, which leads to the one with the repair."""
    return f"{marker}\negcfg-fix has a repair for the tests that fail here: #{number} ({url}). A machine wrote it.\n"


def cut_plain(text: str, limit: int) -> str:
    """Return at most `limit` characters of `text`; an ellipsis says that it was cut."""
    return text if len(text) <= limit else text[: max(0, limit - 1)] + "…"


def _fitting(limit: int, write: Callable[[int], str]) -> str:
    """Return what `write` makes of as much content as keeps it within `limit` characters; "" when none does."""
    allowed = limit
    while allowed > 200:
        text = write(allowed)
        if len(text) <= limit:
            return text
        allowed -= max(100, len(text) - limit)  # escapes make text longer than its content
    return ""
