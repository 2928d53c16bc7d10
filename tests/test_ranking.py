"""Ranking of passing bodies: likelihood, with and without the trace, against the size of the change."""

from __future__ import annotations

import math
from dataclasses import replace

from bot.ranking import changed_tokens, ranked
from bot.records import Candidate, Spent, Suspect
from runners.runner import FunctionKey

FAULTY = "    if value < high:\n        return high\n    return value\n"
RIGHT = FAULTY.replace("<", ">")
SUSPECT = Suspect(FunctionKey("clamp.py", "clamp", 1), 1.0, 1.0, 1.0, "the only one")


def candidate(body, logprob=math.nan, guided=math.nan):
    return Candidate(SUSPECT, body, "edit", "", logprob, Spent(), guided)


def test_the_likelier_of_two_equally_small_changes_comes_first():
    other = FAULTY.replace("value", "high", 1)
    assert [c.body for c in ranked([candidate(other, -9.0), candidate(RIGHT, -4.0)], FAULTY)] == [RIGHT, other]


def test_the_smaller_of_two_equally_likely_changes_comes_first():
    larger = "    return {(5, 0, 3): 3}[value, low, high]\n"
    assert [c.body for c in ranked([candidate(larger, -5.0), candidate(RIGHT, -5.0)], FAULTY)] == [RIGHT, larger]


def test_what_the_trace_says_counts():
    one, other = candidate(RIGHT, -5.0, -1.0), candidate(FAULTY.replace("<", "!="), -5.0, -9.0)
    assert ranked([other, one], FAULTY)[0] is one


def test_without_a_model_the_smaller_change_comes_first_and_ties_keep_their_order():
    first, second = candidate(RIGHT), candidate(FAULTY.replace("<", "!="))
    larger = candidate("    return max(value, high)\n")
    assert ranked([larger, first, second], FAULTY) == [first, second, larger]
    assert ranked([second, replace(larger), first], FAULTY)[:2] == [second, first]


def test_tokens_taken_out_and_put_in_are_counted():
    assert changed_tokens(FAULTY, FAULTY) == 0
    assert changed_tokens(FAULTY, RIGHT) == 2
    assert changed_tokens("    return a\n", "    return a + 1\n") == 2
