"""The terminal: plain lines anywhere, a live view on a terminal, and untrusted text that stays text."""

from __future__ import annotations

import io
import re

import pytest
from rich.console import Console

from bot.pipeline import Outcome
from bot.records import Candidate, Discovery, Patch, Repair, Spent, Suspect, TestFailure, Verdict
from bot.terminal import DEBUG, NORMAL, QUIET, VERBOSE, Terminal, console
from bot.wording import told
from runners.runner import FunctionKey, TestRun

SUSPECT = Suspect(FunctionKey("src/stack.py", "Stack.pop", 12), 0.91, 1.0, 0.82, "innermost frame of 1 failing test")
FAILURE = TestFailure("tests/test_stack.py::test_pop[empty]", "call", "failure", "IndexError", "pop from []", ())
VERDICT = Verdict("strong", ("2 held-out tests pass",), (FAILURE.node_id,), (), (), 9, "J4 in docker")
PATCH = Patch(
    "src/stack.py", "Stack.pop", b"", b"", "--- a/src/stack.py\n+++ b/src/stack.py\n@@ -1 +1 @@\n-old\n+new\n"
)


class Screen(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self):
        return True


def everything(terminal):
    """Emit one of each event, as the stages do."""
    terminal("stage", name="discover", text="Running the tests")
    terminal("start", root="/r", runner="docker", isolated=True, model="embedded")
    terminal("test", node_id="tests/test_stack.py::test_push", outcome="passed")
    terminal("suite", collected=3, failed=1, passed=2, duration_s=1.25)
    terminal("failure", failure=FAILURE)
    terminal("note", text="a note")
    terminal("ranking", failures=[FAILURE.node_id], suspects=[SUSPECT])
    terminal("attempt", kind="eg-cfg", setting="gamma=1 t=0.8 d=3 s=3")
    terminal("signal", text="line 2: x = 1\nline 3: raised")
    terminal("execution", outcome="failed", passed=False)
    terminal("line", text="    if not self.items:\n        return None\n", changed=2)
    terminal("edits", total=40, tried=7)
    terminal("candidate", body="", origin="guided", setting="gamma=1", logprob=-1.0)
    terminal("verdict", verdict=VERDICT, patch=PATCH)
    terminal("repair", repair=Repair((FAILURE,), (SUSPECT,), None, None, None, Spent(), "Nothing was found."))
    terminal("event-of-tomorrow", x=1)
    terminal("end", reason="done")


def progress(verbosity=NORMAL, emit=everything, **options):
    stream = io.StringIO()
    with Terminal(console(stream, {}), verbosity=verbosity, **options) as terminal:
        emit(terminal)
    return stream.getvalue()


def outcome(repair, still=()):
    discovery = Discovery((FAILURE,), (TestRun("t::ok", "passed"),), 2, 0, 0.5)
    return Outcome(discovery, (repair,), Spent(3.5, 120, 4, 5, 60), {}, still)


def repaired():
    candidate = Candidate(SUSPECT, "", "guided", "gamma=1", -1.0, Spent())
    return Repair((FAILURE,), (SUSPECT,), candidate, PATCH, VERDICT)


def test_progress_tells_what_fails_who_is_to_blame_and_the_verdict():
    text = progress()
    for expected in (
        "Running the tests",
        "3 collected, 1 failed, 2 passed in 1.2 s",
        "FAIL tests/test_stack.py::test_pop[empty]  IndexError: pop from []",
        "Note: a note",
        "0.91",
        "Stack.pop  src/stack.py:12",
        "innermost frame of 1 failing test",
        "Trying gamma=1 t=0.8 d=3 s=3",
        "A body passes the guiding tests (guided, gamma=1).",
        "Verdict: strong: 2 held-out tests pass (J4 in docker)",
        "Not repaired: Nothing was found.",
    ):
        assert expected in text


def test_verbosity_adds_lines_then_executions_and_quiet_takes_everything_away():
    normal, verbose, debug = progress(), progress(VERBOSE), progress(DEBUG)
    assert progress(QUIET) == ""
    assert "return None" not in normal
    assert "  |     if not self.items:\n  |         return None   <- guidance changed 2 tokens\n" in verbose
    assert "  : line 3: raised" in verbose
    assert "Execution 1: failed" not in verbose
    assert "Execution 1: failed" in debug
    assert "test_push passed" in debug


def test_events_that_another_view_shows_can_be_hidden():
    assert "Stack.pop" not in progress(hide=("ranking",))


def test_running_without_a_sandbox_is_said_loudly():
    warned = progress(emit=lambda terminal: terminal("start", runner="unsafe-local", isolated=False, model="embedded"))
    assert "WARNING: no sandbox." in warned


def test_fields_that_are_missing_or_odd_stop_nothing():
    def odd(terminal):
        for event in ("start", "stage", "suite", "test", "failure", "note", "ranking", "attempt", "line", "signal"):
            terminal(event)
        for event in ("execution", "edits", "candidate", "verdict", "repair"):
            terminal(event)
        terminal("suite", collected=None, duration_s="soon")

    assert progress(DEBUG, odd)


def test_untrusted_text_is_neither_markup_nor_control():
    def evil(terminal):
        terminal("note", text="[bold red]x[/] [/nothing] \x1b]0;title\x07 \x1b[2J \u202e :smile:")

    text = progress(emit=evil)
    assert "[bold red]x[/] [/nothing]" in text
    assert "\x1b" not in text
    assert "\\x1b]0;title\\x07" in text
    assert ":smile:" in text


def test_in_ci_no_text_can_be_a_command_of_the_runner():
    def evil(terminal):
        terminal("note", text="a\n::add-path::/evil\n  ::set-env name=x::y\n##[group]z")
        terminal("signal", text="::add-mask::x\n##[error]")

    text = progress(VERBOSE, evil, in_ci=True)
    assert "##[" not in text
    assert not [line for line in text.splitlines() if line.strip().startswith("::")]
    stream = io.StringIO()
    evil_patch = Patch("a", "f", b"", b"", "@@ -1 +1 @@\n ::add-path::/evil\n+new\n")
    Terminal(console(io.StringIO(), {}), in_ci=True).outcome(console(stream, {}), outcome(repaired()), [evil_patch])
    assert not [line for line in stream.getvalue().splitlines() if line.strip().startswith("::")]


@pytest.mark.parametrize("environment", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_plain_lines_are_used_where_they_are_asked_for(environment):
    screen = Screen()
    with Terminal(console(screen, environment)) as terminal:
        everything(terminal)
    assert "\x1b" not in screen.getvalue()
    assert "Running the tests" in screen.getvalue()


def test_a_terminal_shows_the_body_while_it_is_written_and_leaves_none_of_it_behind():
    screen = Screen()
    out = Console(file=screen, force_terminal=True, width=120, highlight=False, markup=False)
    with Terminal(out) as terminal:
        terminal("stage", text="Regenerating Stack.pop")
        terminal("attempt", setting="gamma=1")
        terminal("line", text="    return None\n", changed=1)
        terminal("execution", outcome="failed", passed=False)
        terminal("edits", total=40, tried=7)
        live = Console(file=io.StringIO(), width=120)
        live.print(terminal._now())
    shown = live.file.getvalue()
    assert re.search(r"Regenerating Stack.pop  \d+ s  gamma=1  7 of 40 single edits tried  1 executions", shown)
    assert "|     return None   <- guidance changed 1 token" in shown
    assert "\x1b" in screen.getvalue()
    assert screen.getvalue().rstrip().endswith(("\x1b[?25h", "\x1b[2K", "m"))


def test_the_result_is_a_table_the_change_and_one_line():
    stream = io.StringIO()
    Terminal(console(io.StringIO(), {})).outcome(console(stream, {}), outcome(repaired()), [PATCH])
    text = stream.getvalue()
    assert text.startswith("strong: 2 held-out tests pass (J4 in docker)  Stack.pop in src/stack.py\n")
    assert "\n    tests/test_stack.py::test_pop[empty]\n" in text
    assert "-old\n+new\n" in text
    assert "Repaired the 1 failing test with 1 patch (1 strong)." in text
    assert "3.5 s, 60 executions, 120 tokens." in text


def shown(*arguments):
    stream = io.StringIO()
    Terminal(console(io.StringIO(), {})).outcome(console(stream, {}), *arguments)
    return stream.getvalue()


def test_the_result_names_what_still_fails_once():
    nothing = Repair((FAILURE,), (SUSPECT,), None, None, None, Spent(), "Nothing was found.")
    text = shown(outcome(nothing, (FAILURE.node_id,)), [])
    assert text.startswith("not repaired: Nothing was found.\n    tests/test_stack.py::test_pop[empty]\n")
    assert text.count(FAILURE.node_id) == 1
    text = shown(outcome(repaired(), (FAILURE.node_id,)), [PATCH])
    assert "Still failing with every patch applied: tests/test_stack.py::test_pop[empty]" in text


def test_a_doubtful_patch_is_said_to_be_left_out():
    doubtful = Verdict("suspect", ("copies a constant",), (FAILURE.node_id,))
    candidate = Candidate(SUSPECT, "", "guided", "gamma=1", -1.0, Spent())
    text = shown(outcome(Repair((FAILURE,), (SUSPECT,), candidate, PATCH, doubtful), (FAILURE.node_id,)), [])
    assert text.startswith("suspect: copies a constant  Stack.pop in src/stack.py  (not in the patch)\n")


def test_findings_list_failures_and_functions_by_group():
    stream = io.StringIO()
    discovery = Discovery((FAILURE,), (), 3, 0, 0.5, ("one test is flaky",))
    Terminal(console(io.StringIO(), {})).findings(console(stream, {}), discovery, [((FAILURE,), [SUSPECT])])
    text = stream.getvalue()
    assert "FAIL tests/test_stack.py::test_pop[empty]" in text
    assert "Stack.pop  src/stack.py:12" in text
    assert "Note: one test is flaky" in text
    assert "1 failing test, 1 with functions to blame. 3 collected, 0 passed." in text


def test_a_note_that_stands_above_on_the_same_terminal_is_not_repeated():
    discovery = Discovery((FAILURE,), (), 3, 0, 0.5, ("one test is flaky", "another is slow"))
    shown = io.StringIO()
    terminal = Console(file=shown, force_terminal=True, width=100)
    view = Terminal(terminal)
    view("note", text="one test is flaky")
    view.findings(terminal, discovery, [])
    assert shown.getvalue().count("one test is flaky") == 1
    assert shown.getvalue().count("another is slow") == 1
    redirected = io.StringIO()
    view.findings(console(redirected, {}), discovery, [])
    assert "one test is flaky" in redirected.getvalue()


@pytest.mark.parametrize(
    ("exception", "message", "line"),
    [
        ("URLError", "urllib.error.URLError: no route", "URLError: no route"),
        ("urllib.error.URLError", "no route", "URLError: no route"),
        ("AssertionError", "AssertionError: assert 1 == 2", "AssertionError: assert 1 == 2"),
        ("AssertionError", "assert 1 == 2", "AssertionError: assert 1 == 2"),
        ("Failed", "Failed: DID NOT RAISE <class 'x.y'>", "Failed: DID NOT RAISE <class 'x.y'>"),
        ("", "killed", "killed"),
        ("KeyError", "", "KeyError"),
    ],
)
def test_the_name_of_an_exception_is_said_once_and_without_its_module(exception, message, line):
    assert told(TestFailure("t::x", "call", "failure", exception, message, ())) == line


def test_long_node_ids_are_not_cut_in_plain_output():
    node_id = "tests/test_x.py::test_" + "very_" * 60 + "long"
    failing = TestFailure(node_id, "call", "failure", "", "", ())
    assert f"    {node_id}\n" in shown(outcome(Repair((failing,), (), None, None, None, Spent(), ""), (node_id,)), [])
