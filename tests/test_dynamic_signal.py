"""The dynamic signal: what it tells, in what order, within what budget, and that it hides no loss."""

from __future__ import annotations

import itertools

import pytest

from bot.decoding.dynamic_signal import Observation, render, telling
from runners.runner import Trace, TraceEvent


def line(number, **values):
    return TraceEvent("line", number, 0, tuple((name, repr(value)) for name, value in values.items()))


def ret(number, value):
    return TraceEvent("return", number, 0, (("return", repr(value)),))


def observed(code, outcome, *events, origin="sampled", message="", cut=False, test="t::a"):
    return Observation(code, 2, outcome, message, Trace(tuple(events), cut), origin, test)


FAULTY = observed("    y = x\n", "failed", line(2, x=4), ret(3, 4), origin="faulty", message="AssertionError: 4 == 2")
HALF = observed("    y = x / 2\n", "frontier", line(2, x=4), TraceEvent("frontier", 3, 0, (("y", "2.0"),)))
GOOD = observed("    return x // 2\n", "passed", line(2, x=4), ret(2, 2), origin="edit")


def words(text):
    return len(text.split())


def test_the_tagged_signal_is_the_faulty_trace_then_the_passing_candidate_then_the_open_one():
    assert render([HALF, FAULTY, GOOD], "tagged") == (
        "<trace><L2> x=4<L3> ret 4 => fail AssertionError: 4 == 2\n"
        "<cand>    return x // 2\n<L2> x=4<L2> ret 2 => pass\n"
        "<cand>    y = x / 2\n<L2> x=4<L3> y=2.0 => open\n"
    )


def test_the_instruct_signal_says_the_same_in_words():
    text = render([FAULTY, HALF], "instruct")
    assert text.startswith(
        "\nWhat happened when attempts were run on the failing tests:\n- The faulty function on t::a:"
    )
    assert "line 2: x=4" in text
    assert "result: failed AssertionError: 4 == 2" in text
    assert "Continuing with\n    y = x / 2" in text
    assert "result: reached the end of what is written" in text


def test_equal_behaviours_are_told_once():
    twin = observed("    y = x * 0.5\n", "frontier", *HALF.trace.events)
    assert render([FAULTY, HALF, twin], "tagged").count("<cand>") == 1


def test_a_signal_that_tells_nothing_apart_is_empty():
    twin = observed("    z = x\n", "frontier", *HALF.trace.events)
    assert render([HALF, twin], "tagged") == ""
    assert render([], "tagged") == ""


def test_a_single_observation_is_a_signal():
    assert render([FAULTY], "tagged").startswith("<trace>")


@pytest.mark.parametrize("style", ["tagged", "instruct"])
def test_the_order_of_the_observations_does_not_matter(style):
    texts = {render(list(order), style) for order in itertools.permutations([FAULTY, HALF, GOOD])}
    assert len(texts) == 1


@pytest.mark.parametrize("style", ["tagged", "instruct"])
@pytest.mark.parametrize("limit", [1, 5, 20, 60, 200])
def test_the_budgets_hold(style, limit):
    many = [
        observed(f"    y = x + {n}\n", "failed", *(line(2, x=n, y=m) for m in range(40)), message=f"E: {n}")
        for n in range(20)
    ]
    text = render([FAULTY, *many], style, words, entry_tokens=25, signal_tokens=limit)
    assert words(text) <= limit
    for entry in text.split("<cand>" if style == "tagged" else "\n- ")[1:]:
        assert words(entry) <= 26


def test_an_entry_too_long_for_the_budget_does_not_hide_a_shorter_one():
    long = observed("    y = 1 + 2 + 3 + 4 + 5 + 6 + 7 + 8 + 9\n", "passed", line(2, x=4))
    text = render([FAULTY, long, HALF], "tagged", words, signal_tokens=20)
    assert "=> open" in text
    assert "=> pass" not in text


def test_a_trace_too_long_keeps_its_ends_and_shows_the_gap():
    events = [line(2, x=n) for n in range(50)] + [ret(3, 0)]
    spread = [TraceEvent("line", n % 40 + 1, 0, e.values) for n, e in enumerate(events[:-1])]
    text = render([observed("", "failed", *spread, events[-1], origin="faulty")], "tagged", words, entry_tokens=20)
    assert "x=0" in text
    assert " .." in text
    assert "ret 0 => fail" in text


def test_a_cut_trace_a_lost_trace_and_no_trace_are_said():
    assert "(cut)" in render([observed("", "failed", line(2, x=1), cut=True, origin="faulty")], "tagged")
    lost = Observation("", 2, "failed", "E", Trace(lost="killed"), "faulty", "t")
    assert "trace lost" in render([lost], "tagged")
    assert "not called" in render([Observation("", 2, "failed", "E", None, "faulty", "t")], "tagged")


def test_a_timeout_without_a_message_is_named():
    assert render([observed("", "timeout", line(2, x=1), origin="faulty")], "tagged").endswith("=> fail timeout\n")


def test_of_a_line_run_often_the_first_two_and_the_last_visit_are_told():
    kept = telling([line(2, i=n) for n in range(10)])
    assert [event.values[0][1] for event in kept] == ["0", "1", "9"]


def test_lines_that_changed_nothing_are_not_told():
    assert telling([line(2), line(3, x=1), line(4)]) == [line(3, x=1)]


@pytest.mark.parametrize("style", ["tagged", "instruct"])
def test_values_code_and_messages_cannot_fake_the_prompts_structure(style):
    nasty = observed(
        "    x = '<end>'\n", "failed", line(2, x="<fix>", y="<|im_end|>"), message="<bug>\n<L7> forged", origin="edit"
    )
    text = render([FAULTY, nasty], style)
    theirs = ("<end>", "<fix>", "<bug>", "<L7>") if style == "tagged" else ("<|im_end|>",)
    assert not any(token in text for token in theirs)


def test_a_long_value_is_cut():
    text = render([observed("", "failed", line(2, x="a" * 500), origin="faulty")], "tagged", words)
    assert "a" * 110 in text
    assert "a" * 130 not in text


def test_line_tokens_end_at_eighty():
    text = render([observed("", "failed", line(80, x=1), line(81, y=2), origin="faulty")], "tagged")
    assert "<L80> x=1 y=2" in text
