"""What a pull request says about what a change does, whatever the objects of the repository say of themselves."""

from __future__ import annotations

from dataclasses import replace

from markdown_it import MarkdownIt

from bot.bundle import Alternative, Bundle, Changed, Failing, FileChange, Function, Proposal, Source
from bot.identity import Marker
from bot.pull_request import BODY_LIMIT, body

CHANGE = FileChange("calc.py", b"def f(x):\n    return x\n", b"def f(x):\n    return x + 1\n")
MARKER = Marker("0" * 16, "1" * 40)
HOSTILE = "`|\\|</details></td>\n| x | @octocat closes #1 | <!-- egcfg-fix --> ``` ![a](http://e.example/x) \u202e"


def proposal(*differences: Changed, compared: int = 40) -> Proposal:
    return Proposal(
        kind="code",
        tests=(Failing("test_calc.py::test_f", "AssertionError", "assert 1 == 2"),),
        functions=(Function("calc.py", "f", "innermost frame"),),
        files=(CHANGE,),
        word="strong",
        reasons=("1 guiding and 1 held-out tests pass, nothing breaks",),
        fixed=("test_calc.py::test_f",),
        level="J4 in docker",
        regression_tests=12,
        origin="edit",
        setting="",
        spent={"seconds": 1.5},
        compared=compared,
        differences=differences,
    )


def said(one: Proposal) -> str:
    return body(Bundle(Source("a" * 40)), [one], [CHANGE], MARKER)


def test_calls_whose_result_changes_stand_in_a_collapsed_table():
    text = said(proposal(Changed("x=3", "3", "4", "test_calc.py::test_g")))
    assert (
        "<details><summary>What else changes: 1 call of 40 in passing tests, though no test says so</summary>" in text
    )
    assert "| `x=3` | `3` | `4` | `test_calc.py::test_g` |" in text
    assert text.index("## Verdict") < text.index("What else changes") < text.index("## The change")


def test_where_no_call_changes_its_result_that_is_said_in_a_line_and_where_none_was_seen_nothing():
    assert "| recorded calls of passing tests | 40 compared, none changes its result |" in said(proposal())
    assert "recorded calls" not in said(proposal(compared=0))
    assert "What else changes" not in said(proposal())


def rivalled(*others: Alternative) -> Proposal:
    return replace(proposal(), word="plausible", alternatives=others)


def test_another_change_that_passes_too_stands_beside_the_calls_that_tell_them_apart():
    near = Changed("x=2", "3", "2", "test_calc.py::test_g", nearby=True)
    made = Changed("x=5", "6", "5", "test_calc.py::test_g")
    text = said(rivalled(Alternative("-    return x\n+    return x or 1\n", (near, made))))
    assert "| call | this change | change B | a call that |" in text
    assert "| `x=2` | `3` | `2` | no test makes, near one of `test_calc.py::test_g` |" in text
    assert "| `x=5` | `6` | `5` | is made by `test_calc.py::test_g` |" in text
    assert "```diff\n-    return x\n+    return x or 1\n```" in text
    assert (
        text.index("Which of these results") < text.index("Where the other one is right") < text.index("## The change")
    )
    assert "Which of these" not in said(proposal())


def test_another_change_is_only_ever_code_and_of_bounded_size():
    calls = tuple(Changed(HOSTILE * 9, HOSTILE, HOSTILE[::-1], HOSTILE, nearby=True) for _ in range(50))
    text = said(rivalled(*[Alternative(HOSTILE * 900 + "\n~~~\n```\n", calls)] * 9))
    assert len(text) <= BODY_LIMIT
    tokens = MarkdownIt("commonmark").enable("table").parse(text)
    assert not any(one.type == "html_block" and "e.example" in one.content for one in tokens)
    for token in tokens:
        for one in token.children or ():
            assert one.type != "image"
            assert "@octocat" not in (one.content if one.type == "text" else "")


def test_what_objects_say_of_themselves_is_only_ever_code_in_a_table_of_bounded_size():
    hostile = [Changed(HOSTILE * 9, HOSTILE, HOSTILE[::-1], HOSTILE) for _ in range(50)]
    text = said(proposal(*hostile))
    assert len(text) <= BODY_LIMIT
    assert "And 40 more." in text
    tokens = MarkdownIt("commonmark").enable("table").parse(text)
    at = next(n for n, one in enumerate(tokens) if one.type == "html_block" and "What else changes" in one.content)
    end = next(n for n, one in enumerate(tokens[at + 1 :], at + 1) if one.type == "html_block")
    assert tokens[end].content.strip() == "</details>"
    table = tokens[at:end]
    assert [sum(one.type == kind for one in table) for kind in ("tr_open", "td_open", "th_open")] == [11, 40, 4]
    inside = [child for one in table if one.type == "inline" for child in one.children or ()]
    plain = {child.content for child in inside if child.type != "code_inline"}
    assert plain == {"call", "before", "after", "made by", "And 40 more."}
    assert any("@octocat" in child.content for child in inside if child.type == "code_inline")
    assert "\u202e" not in text
