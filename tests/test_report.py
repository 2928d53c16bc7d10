"""Reports: patches that git takes, Markdown that nothing can break out of, JSON that is JSON."""

from __future__ import annotations

import json
import math
import subprocess
from dataclasses import replace
from html.parser import HTMLParser
from typing import ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.execution_log import attempts, log
from bot.json_documents import dumps, error_document, find_document, repair_document
from bot.markup import code, fence, printable, words
from bot.patch_file import changes, diff, patch_file
from bot.pipeline import Outcome
from bot.records import (
    Candidate,
    Difference,
    Discovery,
    Patch,
    Repair,
    Rival,
    Spent,
    Suspect,
    TestFailure,
    Verdict,
)
from bot.report import Run, html, markdown
from bot.wording import commit_message, headline
from runners.runner import FunctionKey, TestRun

BEFORE, AFTER = b"def f(x):\n    return x - 1\n", b"def f(x):\n    return x + 1\n"
SUSPECT = Suspect(FunctionKey("src/a.py", "f", 1), 0.875, 1.0, 0.75, "executed by 2 of 2 failing tests")


def failure(node_id="tests/test_a.py::test_f[1]", message="assert 0 == 2", kind="failure"):
    return TestFailure(node_id, "call", kind, "AssertionError", message, (), frozenset({SUSPECT.key}))


def patch(path="src/a.py", before=BEFORE, after=AFTER, qualname="f"):
    return Patch(path, qualname, before, after, diff(path, before, after).decode("utf-8", "replace"))


def repaired(word="strong", change=None, message="assert 0 == 2", reasons=("2 held-out tests pass",)):
    change = change or patch()
    candidate = Candidate(SUSPECT, "return x + 1\n", "guided", "gamma=1 t=0.8 d=3 s=3", -3.25, Spent(1, 2, 3, 4, 5))
    failing = failure(message=message)
    verdict = Verdict(word, reasons, (failing.node_id,), (), (), 12, "J4 in docker")
    return Repair((failing,), (SUSPECT,), candidate, change, verdict, Spent(2.5, 20, 30, 40, 50))


def unrepaired(reason="No body was found that passes the failing tests."):
    return Repair((failure("tests/test_b.py::test_g"),), (SUSPECT,), None, None, None, Spent(), reason)


def outcome(*repairs, still=()):
    failures = tuple(failing for repair in repairs for failing in repair.failures)
    passing = (TestRun("tests/test_a.py::test_ok", "passed"),)
    discovery = Discovery(failures, passing, len(failures) + 1, 0, 1.25, ("one note",))
    return Outcome(discovery, tuple(repairs), Spent(9.5, 1, 2, 3, 4), {"model": "embedded", "seed": "0"}, tuple(still))


def applied(folder, files, change):
    """Return the files after `git apply` of `change` in a fresh repository."""
    for path, content in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    (folder / "fix.patch").write_bytes(change)
    subprocess.run(["git", "apply", "--whitespace=nowarn", "fix.patch"], cwd=folder, check=True, capture_output=True)
    return {path: (folder / path).read_bytes() for path in files}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (BEFORE, AFTER),
        (BEFORE.replace(b"\n", b"\r\n"), AFTER.replace(b"\n", b"\r\n")),
        (BEFORE.rstrip(b"\n"), AFTER.rstrip(b"\n")),
        (BEFORE.rstrip(b"\n"), AFTER),
        (b"# \xe9\xff latin\n" + BEFORE, b"# \xe9\xff latin\n" + AFTER),
        (b"a = '\x0b\x0c\x85'\rb\n" + BEFORE, b"a = '\x0b\x0c\x85'\rb\n" + AFTER),
        (b"", AFTER),
        (b"x = 1\n" * 500 + BEFORE, b"x = 1\n" * 500 + AFTER + b"y\n"),
    ],
    ids=["plain", "crlf", "no newline", "newline added", "latin-1", "odd line ends", "empty", "long"],
)
def test_git_applies_the_patch_file_to_the_byte(tmp_path, before, after):
    subprocess.run(["git", "init", "--quiet"], cwd=tmp_path, check=True)
    assert applied(tmp_path, {"a.py": before}, patch_file([patch("a.py", before, after)])) == {"a.py": after}


@pytest.mark.parametrize(
    "path", ["with space.py", "naïve.py", 'quo"te.py', "back\\slash.py", "sub/dir/a.py", "tab\there.py"]
)
def test_git_applies_the_patch_file_to_files_with_odd_names(tmp_path, path):
    subprocess.run(["git", "init", "--quiet"], cwd=tmp_path, check=True)
    assert applied(tmp_path, {path: BEFORE}, patch_file([patch(path)])) == {path: AFTER}


def test_the_patch_file_applies_from_a_folder_inside_the_repository(tmp_path):
    subprocess.run(["git", "init", "--quiet"], cwd=tmp_path, check=True)
    (tmp_path / "package").mkdir()
    assert applied(tmp_path / "package", {"src/a.py": BEFORE}, patch_file([patch()])) == {"src/a.py": AFTER}


@settings(max_examples=15, deadline=None)
@given(st.lists(st.sampled_from([b"a\n", b"b\r\n", b"\n", b"--- c\n", b"\\ d\n", b"e"]), max_size=8), st.data())
def test_git_applies_any_patch_file(tmp_path_factory, lines, data):
    before = b"".join(lines) or b"x\n"
    after = b"".join(data.draw(st.lists(st.sampled_from([*lines, b"new\n", b"n"]), min_size=1, max_size=8)))
    folder = tmp_path_factory.mktemp("repository")
    subprocess.run(["git", "init", "--quiet"], cwd=folder, check=True)
    change = patch_file([patch("a.py", before, after)])
    assert not change if before == after else applied(folder, {"a.py": before}, change) == {"a.py": after}


def test_patches_of_one_file_become_one_patch_from_its_first_to_its_last_content():
    other = patch(after=b"def f(x):\n    return x - 1\n# other\n", qualname="g")
    both = AFTER + b"# other\n"
    (merged,) = changes([repaired(), repaired(change=other), repaired("suspect"), unrepaired()], {"src/a.py": both})
    assert (merged.before, merged.after, merged.qualname) == (BEFORE, both, "f, g")
    assert "+# other" in merged.diff


def test_the_headline_counts_tests_and_patches():
    assert headline(outcome()) == "Nothing fails."
    assert headline(outcome(repaired())) == "Repaired the 1 failing test with 1 patch (1 strong)."
    both = outcome(repaired(), repaired("plausible"))
    assert headline(both) == "Repaired all 2 failing tests with 2 patches (1 strong, 1 plausible)."
    assert headline(outcome(unrepaired(), still=["x"])) == "Repaired 0 of 1 failing test; 1 still fails."


def test_the_markdown_tells_what_failed_why_this_function_the_change_the_verdict_and_the_cost():
    run = Run("/runs/1", "egcfg-fix repair --seed=0", "abc123", ("README",), {}, ())
    text = markdown(outcome(repaired(), unrepaired(), still=["tests/test_b.py::test_g"]), run)
    for expected in (
        "# Repaired 1 of 2 failing tests",
        "A machine wrote the patch",
        "| `tests/test_a.py::test_f[1]` | failure | `AssertionError: assert 0 == 2` |",
        "## Repaired: `f` in `src/a.py`",
        "| 1 ◀ | `src/a.py:1 f` | 0.88 | executed by 2 of 2 failing tests |",
        "```diff\n--- a/src/a.py\n+++ b/src/a.py",
        "-    return x - 1\n+    return x + 1",
        "**Verdict: strong** – every failing test passes",
        "| regression tests run | 12 |",
        "| judged by | J4 in docker |",
        "| that is | a fresh copy, fresh processes, tests of known outcome mixed in |",
        "Found by: guided, gamma=1 t=0.8 d=3 s=3, log p of the body -3.2 nats. Spent: 2.5 s, 50 executions",
        "## Not repaired",
        "- `tests/test_b.py::test_g` (failure)",
        "No body was found that passes the failing tests.",
        "9.5 s, 4 executions, 1 tokens, 3 positions in 2 passes.",
        "| model | `embedded` |",
        "| commit | `abc123` |",
        "```sh\negcfg-fix repair --seed=0\n```",
        "Note: one note",
    ):
        assert expected in text
    assert "patent" not in text.lower()


def test_without_a_patch_nothing_is_said_of_patches():
    text = markdown(outcome(unrepaired(), still=["tests/test_b.py::test_g"]), Run())
    assert "A machine wrote" not in text
    assert text.count("tests/test_b.py::test_g") == 2  # what failed, and what was not repaired


def test_a_patch_that_is_not_published_is_shown_as_such():
    text = markdown(outcome(repaired("suspect", reasons=("copies a constant",)), still=["x"]), Run())
    assert "## Not published: `f` in `src/a.py`" in text
    assert "**not** in the patch file" in text
    assert "| because | copies a constant |" in text


def test_a_candidate_without_a_model_has_no_log_probability_and_json_stays_json():
    found = repaired()
    edit = Repair(found.failures, found.suspects, Candidate(SUSPECT, "", "edit", "single edits", math.nan, Spent()), *(
        found.patch, found.verdict, found.spent))  # fmt: skip
    assert "nan" not in markdown(outcome(edit), Run())
    document = json.loads(dumps(repair_document(outcome(edit), Run(), exit_code=0)), parse_constant=pytest.fail)
    assert document["repairs"][0]["candidate"]["logprob"] is None


def test_no_text_of_the_repository_breaks_out_of_the_markdown():
    evil = "</details> ``` \n# Title | [x](http://evil) @everyone <img src=x> \x1b[2J ````\u202e"
    change = Patch("a|`b.py", "f", BEFORE, AFTER, "+```\n+</details>\n+````python\n")
    records = [{"event": "note", "time": "2026-01-01T00:00:00", "text": evil}]
    text = markdown(outcome(repaired(change=change, message=evil, reasons=(evil,))), Run("", "x", "", (), {}, records))
    assert "\x1b" not in text
    assert "\u202e" not in text
    outside, inside = [], None
    for line in text.splitlines():  # what stands outside of fences
        marks = line[: len(line) - len(line.lstrip("`"))]
        if inside is None and len(marks) >= 3:
            inside = marks
        elif inside is not None and line == inside:
            inside = None
        elif inside is None:
            outside.append(line)
    assert inside is None
    assert [line for line in outside if line.startswith("# ")] == [
        "# Repaired the 1 failing test with 1 patch (1 strong)."
    ]
    assert [line for line in outside if "</details>" in line and "`" not in line and "\\<" not in line] == [
        "</details>"
    ]
    assert "@everyone" not in "\n".join(line for line in outside if "`" not in line)


@given(st.text(alphabet="`ab |\n\\"))
def test_a_code_span_holds_any_text(text):
    span = code(text)
    marks = len(span) - len(span.lstrip("`"))
    runs = [len(run) for run in span[marks:-marks].replace(" ", "\n").split("\n") if run and set(run) == {"`"}]
    assert marks not in runs
    assert "\n" not in span


def test_a_fence_is_longer_than_any_in_its_text():
    assert fence("a\n````\nb", "text") == "`````text\na\n````\nb\n`````"


def test_words_neither_mention_nor_link_nor_format():
    assert words("*a* @me #12 <b> [x](y)\nnew") == "\\*a\\* @\u200bme \\#12 \\<b\\> \\[x\\](y) new"


def test_invisible_and_control_characters_become_visible():
    assert printable("a\x1b[31m\r\nb\tc\u202ed\x00\ud800") == "a\\x1b[31m\nb\tc\\u202ed\\x00\\ud800"


def test_the_json_has_the_result_and_neither_file_contents_nor_coverage():
    run = Run("/runs/1", "egcfg-fix repair", "abc", (), {"patch": "/runs/1/fix.patch"}, ())
    document = json.loads(dumps(repair_document(outcome(repaired(), unrepaired(), still=["x"]), run, exit_code=1)))
    assert (document["schema"], document["command"], document["exit_code"]) == (1, "repair", 1)
    assert document["run"]["written"] == {"patch": "/runs/1/fix.patch"}
    assert document["discovery"]["passing"] == 1
    assert "functions" not in document["discovery"]["failures"][0]
    first, second = document["repairs"]
    assert first["published"]
    assert first["verdict"]["word"] == "strong"
    assert first["patch"]["diff"].startswith("--- a/src/a.py")
    assert "before" not in first["patch"]
    assert (second["published"], second["patch"], second["candidate"]) == (False, None, None)


def test_the_json_of_find_lists_groups_and_that_of_an_error_says_what_to_do():
    failing = failure()
    found = Discovery((failing,), (), 1, 0, 0.5)
    document = json.loads(dumps(find_document(found, [((failing,), [SUSPECT])], Run(), exit_code=1)))
    assert document["groups"][0]["failures"] == [failing.node_id]
    assert document["groups"][0]["suspects"][0]["key"]["qualname"] == "f"
    failed = json.loads(dumps(error_document("ConfigError", "no", "do", exit_code=2)))
    assert failed["error"] == {"type": "ConfigError", "message": "no", "hint": "do", "exit_code": 2, "log": ""}


def test_json_holds_no_command_for_a_ci_runner():
    text = dumps({"a": "##[add-path]x"})
    assert "##[" not in text
    assert json.loads(text) == {"a": "##[add-path]x"}


def test_credentials_in_a_url_reach_neither_report(tmp_path):
    run = Run("", "egcfg-fix repair --model=https://me:secret@host/v1", "", (), {}, ())
    done = outcome(repaired())
    told = Outcome(done.discovery, done.repairs, done.spent, {"model": "https://me:secret@host/v1"})
    assert "secret" not in markdown(told, run)
    assert "secret" not in dumps(repair_document(told, run, exit_code=0))


def test_the_log_tells_the_steps_and_is_cut_in_the_middle():
    def record(event, **fields):
        return {"event": event, "time": "2026-01-02T03:04:05.678+00:00", **fields}

    records = [
        record("stage", name="discover", text="Running the tests"),
        record("execution", outcome="failed"),
        record("suite", collected=3, failed=1, passed=2),
        record("failure", failure={"node_id": "t::a", "kind": "failure", "exception": "KeyError"}),
        record("verdict", verdict={"word": "strong", "reasons": ["a", "b"]}),
        record("ranking", suspects="nonsense"),
    ]
    assert log(records).splitlines() == [
        "03:04:05 stage     Running the tests",
        "03:04:05 suite     3 collected, 1 failed, 2 passed",
        "03:04:05 failure   t::a (failure) KeyError",
        "03:04:05 verdict   strong: a; b",
        "03:04:05 ranking   ?",
    ]
    lines = log([record("note", text=f"{number:04}") for number in range(1000)], limit=500).splitlines()
    assert lines[0].endswith("0000")
    assert lines[-1].endswith("0999")
    assert any("lines cut" in line for line in lines)
    assert len("\n".join(lines)) < 600


def test_a_commit_message_names_the_functions_the_tests_and_the_machine():
    text = commit_message(outcome(repaired()), [patch()])
    assert text.startswith("Repair f\n\nFailed before, pass now:\n- tests/test_a.py::test_f[1]\n\nA machine wrote")


def decoded():
    """A journal of two attempts in one function."""
    steps = [
        {"event": "stage", "name": "discover", "text": "Running"},
        {"event": "line", "text": "lost: no attempt yet", "changed": 0},
        {"event": "stage", "name": "generate", "text": "Regenerating f in src/a.py"},
        {"event": "attempt", "setting": "single edits"},
        {"event": "execution", "outcome": "failed"},
        {"event": "attempt", "setting": "gamma=1 t=0.8 d=3 s=3"},
        {"event": "signal", "text": "x = 1 <script>alert(1)</script>"},
        {"event": "line", "text": "    return x + 1\n", "changed": 2},
        {"event": "candidate", "origin": "guided"},
        {"event": "stage", "name": "verify", "text": "Judging"},
        {"event": "execution", "outcome": "passed"},
    ]
    return [{"time": "2026-01-02T03:04:05.678+00:00", **step} for step in steps]


def test_the_journal_tells_each_attempt_line_by_line():
    (group,) = attempts(decoded())
    assert group["title"] == "Regenerating f in src/a.py"
    edits, guided = group["attempts"]
    assert (edits["executions"], edits["steps"], edits["found"]) == (1, [], False)
    assert [(step["kind"], step["changed"]) for step in guided["steps"]] == [("signal", 0), ("line", 2)]
    assert (guided["changed"], guided["found"], guided["executions"]) == (2, True, 0)


def test_the_html_is_one_file_in_which_nothing_runs():
    run = Run("/r", "egcfg-fix repair --model=https://me:secret@host/v1", "abc", ("README",), {}, decoded())
    evil = "</pre><script>alert(2)</script><img src=x onerror=alert(3)> \x1b[2J \u202e"
    change = Patch("a<b>.py", "f", BEFORE, AFTER, "+</pre><script>alert(4)</script>\n")
    text = html(outcome(repaired(change=change, message=evil, reasons=(evil,)), unrepaired(evil), still=[evil]), run)
    assert "<script" not in text
    assert "<img" not in text
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "secret" not in text
    assert "default-src &#39;none&#39;" in text or "default-src 'none'" in text
    assert not [word for word in ("http://", "src=", "href=", "url(") if word in text.replace("src=x onerror", "")]
    assert "gamma=1 t=0.8 d=3 s=3" in text
    assert "2 tokens changed" in text


def test_the_html_is_well_nested():
    class Nesting(HTMLParser):
        stack: ClassVar[list[str]] = []

        def handle_starttag(self, tag, attrs):
            if tag not in ("meta",):
                self.stack.append(tag)

        def handle_endtag(self, tag):
            assert self.stack.pop() == tag

    parser = Nesting()
    parser.feed(html(outcome(repaired(), repaired("suspect"), unrepaired(), still=["x"]), Run(records=decoded())))
    assert parser.stack == []


def test_the_reports_show_which_calls_change_and_which_results_a_person_has_to_choose_from():
    change = Difference("tests/t.py::test_a", "2, '|<b>`'", "1", "raises ValueError('x')")
    near = Difference("tests/t.py::test_b", "3, 4", "7", "12", nearby=True)
    rival = Rival("--- a/src/a.py\n+++ b/src/a.py\n+<script>`\n", (near,))
    one = repaired("suspect")
    judged = replace(one, verdict=replace(one.verdict, compared=9, differences=(change,), rivals=(rival,)))
    text = markdown(outcome(judged, still=("tests/test_a.py::test_f[1]",)), Run())
    assert "Of 9 calls that were recorded in passing tests, these change their result" in text
    assert "| ``2, '\\|<b>`'`` | `1` | `raises ValueError('x')` | `tests/t.py::test_a` |" in text
    assert "Which of these results is right?" in text
    assert "| `3, 4` | `7` | `12` | no test makes, near one of `tests/t.py::test_b` |" in text
    page = html(outcome(judged), Run())
    assert "<td><code>7</code></td><td><code>12</code></td>" in page
    assert "<script>" not in page
    document = repair_document(outcome(judged), Run(), exit_code=1)["repairs"][0]["verdict"]
    assert document["differences"][0]["after"] == "raises ValueError('x')"
    assert document["rivals"][0]["differences"][0]["nearby"] is True
    same = replace(one, verdict=replace(one.verdict, compared=9))
    assert "do the same on all 9 calls" in markdown(outcome(same), Run())
