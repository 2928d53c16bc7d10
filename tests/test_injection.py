"""Text from a hostile repository, model or test, at every place where a person or a CI runner reads it.

One outcome in which every field of untrusted text holds an attack is shown everywhere. Markdown is judged by a parser
of Markdown, HTML by one of HTML: not by looking for escapes, but for what a reader's program would make of it.
"""

from __future__ import annotations

import io
import os
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from typing import Any

import pytest
from markdown_it import MarkdownIt

from action.annotations import annotated, command, output, summary
from bot import pull_request, report
from bot.bundle import Bundle, Failing, FileChange, Function, Proposal, Source
from bot.identity import Marker, read_marker
from bot.json_documents import dumps, repair_document
from bot.pipeline import Outcome
from bot.records import Candidate, Discovery, Patch, Repair, Spent, Suspect, TestFailure, Verdict
from bot.terminal import Terminal, console
from bot.wording import commit_message
from runners.runner import Frame, FunctionKey, TestRun

PAYLOADS = {
    "terminal codes": "a\x1b[2J\x1b]0;evil\x07\x1b]8;;http://evil.example\x1b\\x\x9b31m\x08\x08\x7f",
    "line feeds back": "safe\rEVIL\x0bEVIL\x0cEVIL\x85EVIL\u2028EVIL",
    "direction": "a\u202eevil\u2066x\u200b\ufeff\u00ad\U000e0041",
    "workflow commands": "x\n::error::evil\n::set-output name=fixed::9\n  ::add-mask::a\n##[error]evil\n",
    "old workflow commands": "\r\n::set-env name=PATH::/evil\n\n::add-path::/evil",
    "html": "</details></td><script>evil()</script><img src=http://evil.example/x onerror=evil()><a href=evil>x</a>",
    "html comment": "<!-- evil --> --> <!-- egcfg-fix: evil -->",
    "markdown": "\n# EVIL\n\n[x](http://evil.example) ![x](http://evil.example/i.png) **evil** | a | b |\n|---|\n",
    "markdown fences": "```\n````\n~~~\n# EVIL\n<script>evil()</script>\n`````",
    "markdown references": "\n\n[evil]: http://evil.example\n\n[evil] <http://evil.example> www.evil.example",
    "mentions": "@everyone @evil/team closes #1 GH-1 evil/repo#2",
    "rich markup": "[bold red]evil[/] [link=http://evil.example]x[/link] :smile:",
    "surrogates": "a\ud800b\udfff\x00",
    "percent": "%0A::error::evil %0D%0A##[command]evil",
}


def outcome(text: str) -> Outcome:
    """Return an outcome in which everything that others write is `text`."""
    key = FunctionKey(text, text, 1)
    suspect = Suspect(key, 0.5, 0.5, 0.5, text)
    node = f"tests/test_a.py::test_f[{text}]"
    failure = TestFailure(node, "call", "failure", text, text, (Frame(text, 3, text),), frozenset({key}))
    patch = Patch(text, text, b"a", b"b", f"--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+{text}\n")
    candidate = Candidate(suspect, text, "guided", text, -1.0, Spent())
    verdict = Verdict("strong", (text,), (node,), (node,), (node,), 3, text)
    doubtful = Verdict("suspect", (text,), (node,), (), (), 3, text)
    repairs = (
        Repair((failure,), (suspect,), candidate, patch, verdict),
        Repair((failure,), (suspect,), candidate, patch, doubtful, reason=text),
        Repair((failure,), (suspect,), None, None, None, reason=text),
    )
    discovery = Discovery((failure,) * 3, (TestRun(node, "passed"),), 4, 0, 1.0, (text,))
    return Outcome(discovery, repairs, Spent(), {"model": text, text: text}, (node,))


def about(text: str) -> report.Run:
    records = [
        {"event": "start", "runner": text, "model": text, "time": "2026-01-01T10:00:00"},
        {"event": "stage", "name": "generate", "text": text},
        {"event": "attempt", "setting": text},
        {"event": "line", "text": text, "changed": 1},
        {"event": "signal", "text": text},
        {"event": "note", "text": text},
        {"event": "verdict", "verdict": {"word": text, "reasons": [text]}},
        {"event": "end", "reason": text},
    ]
    return report.Run(text, text, text, (text,), {"patch": text}, records)


@pytest.fixture(params=PAYLOADS, ids=lambda name: name.replace(" ", "-"))
def payload(request: pytest.FixtureRequest) -> str:
    return PAYLOADS[request.param]


def controls(text: str) -> list[str]:
    """Return what a terminal or a reader would obey: control, invisible and direction-changing characters."""
    return re.findall(
        "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\U000e0000-\U000e007f]", text
    )


def commands(text: str) -> list[str]:
    """Return what GitHub's runner would take for a command, wherever it breaks lines."""
    return [line for line in text.splitlines() if re.match(r"\s*::\w[\w-]*( [^:]*)?::", line) or "##[" in line]


# ------------------------------------------------------------------------------------------------------- terminal


def shown(text: str, *, in_ci: bool) -> str:
    """Return all that the terminal shows of a run in which everything is `text`."""
    stream = io.StringIO()
    out = console(stream, {"NO_COLOR": "1"})
    terminal = Terminal(out, verbosity=2, in_ci=in_ci)
    result = outcome(text)
    with terminal:
        terminal("start", runner=text, model=text, isolated=True)
        for event in ("stage", "note", "signal", "line", "attempt", "test", "edits", "execution", "candidate"):
            terminal(event, text=text, name=text, setting=text, node_id=text, outcome=text, origin=text, tried=text)
        terminal("ranking", failures=[text], suspects=list(result.repairs[0].suspects))
        for repair in result.repairs:
            terminal("failure", failure=repair.failures[0])
            terminal("repair", repair=repair)
            if repair.verdict:
                terminal("verdict", verdict=repair.verdict, patch=repair.patch)
    terminal.outcome(out, result, [repair.patch for repair in result.repairs if repair.patch])
    terminal.findings(out, result.discovery, [(result.discovery.failures, list(result.repairs[0].suspects))])
    return stream.getvalue()


def test_the_terminal_obeys_nothing(payload: str) -> None:
    text = shown(payload, in_ci=False)
    assert controls(text) == []


def test_a_ci_log_holds_no_command(payload: str) -> None:
    assert commands(shown(payload, in_ci=True)) == []


# ------------------------------------------------------------------------------------------------ GitHub's runner


def test_annotations_are_one_command_each(payload: str) -> None:
    for annotation in annotated(outcome(payload)):
        line = command(annotation)
        assert len(line.splitlines()) == 1
        assert controls(line) == []
        head, _, _ = line.removeprefix("::").partition("::")
        assert re.fullmatch(r"(error|warning|notice)( [a-z]+=[^:,\n]*(,[a-z]+=[^:,\n]*)*)?", head)


def test_an_output_cannot_be_ended_by_its_value(payload: str) -> None:
    first, *lines = output("report", payload + "\nEOF\nend-\n").split("\n")
    name, _, delimiter = first.partition("<<")
    assert name == "report"
    assert lines[-1] == delimiter
    assert delimiter not in lines[:-1]


# ------------------------------------------------------------------------------------------------------- Markdown


def made_of(markdown: str) -> Iterator[Any]:
    """Yield every token that a parser of GitHub's Markdown makes of a text."""
    parser = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
    for token in parser.parse(markdown):
        yield token
        yield from token.children or ()


HARMLESS = re.compile(r"</?details>|<summary>[\w ]+</summary>|</?(sub|sup)>|<br>")


def injected(markdown: str) -> list[str]:
    """Return what the untrusted text became, other than text and code."""
    found = []
    tokens = list(made_of(markdown))
    for place, token in enumerate(tokens):
        if token.type in ("html_block", "html_inline") and HARMLESS.sub("", token.content).strip():
            found.append(token.content)
        elif token.type in ("link_open", "image"):
            found.append(str(token.attrs))
        elif (
            token.type == "heading_open"
            and "EVIL" in tokens[place + 1].content
            and "`" not in tokens[place + 1].content
        ):
            found.append(tokens[place + 1].content)
        elif token.type == "text" and re.search(r"(^|\s)@\w|https?://\S|(^|\s)www\.\w", token.content):
            found.append(token.content)
    return found


def test_the_report_and_the_step_summary_are_read_as_text(payload: str) -> None:
    for text in (report.markdown(outcome(payload), about(payload)), summary(outcome(payload), about(payload))):
        assert injected(text) == []
        assert controls(text) == []


def test_a_pull_request_is_read_as_text_and_carries_one_marker(payload: str) -> None:
    proposal = Proposal(
        "code",
        (Failing(payload, payload, payload),),
        (Function(payload, payload, payload),),
        (FileChange(os.fsdecode(payload.encode("utf-8", "replace")), b"a\n", payload.encode("utf-8", "replace")),),
        "plausible",
        (payload,),
        (payload,),
        payload,
        3,
        payload,
        payload,
        {},
    )
    marker = Marker("key")
    bundle = Bundle(Source(), (proposal,), (), (payload,), True, payload, {payload: payload}, payload, payload)
    text = pull_request.body(bundle, [proposal], proposal.files, marker)
    assert injected(text.replace(str(marker), "")) == []
    assert controls(text) == []
    assert read_marker(text) == marker
    title = pull_request.title([proposal])
    assert controls(title) == []
    assert len(title.splitlines()) == 1
    message = pull_request.commit_message([proposal], "key", "tree", "base")
    assert controls(message) == []


def test_a_commit_message_holds_no_controls(payload: str) -> None:
    text = commit_message(outcome(payload), [r.patch for r in outcome(payload).repairs if r.patch])
    assert controls(text) == []


# ----------------------------------------------------------------------------------------------------------- HTML


class Page(HTMLParser):
    """Collects what a browser would act on."""

    def __init__(self) -> None:
        super().__init__()
        self.acts: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in ("script", "img", "iframe", "object", "embed", "form", "base", "link"):
            self.acts.append(tag)
        for name, value in attrs:
            if (
                name.startswith("on")
                or name == "srcdoc"
                or (name in ("href", "src") and not (value or "").startswith("#"))
            ):
                self.acts.append(f"{tag} {name}={value}")


def test_the_page_runs_nothing_and_loads_nothing(payload: str) -> None:
    text = report.html(outcome(payload), about(payload))
    page = Page()
    page.feed(text)
    assert page.acts == []
    assert controls(text) == []


# ----------------------------------------------------------------------------------------------------------- JSON


def test_json_is_ascii_and_holds_no_command(payload: str) -> None:
    text = dumps(repair_document(outcome(payload), about(payload), exit_code=1))
    assert text.isascii()
    assert controls(text) == []
    assert commands(text) == []
