"""Which failing tests steer a search and which only judge, and which passing ones stand guard."""

from __future__ import annotations

import pytest

from bot.guides import GUARDS, guarding, guards, split_guides
from bot.records import TestFailure
from runners.runner import Frame, FunctionKey, TestRun


def failure(node_id, exception="AssertionError", line=1):
    return TestFailure(node_id, "call", "failure", exception, "", (Frame("a.py", line, "f"),))


@pytest.mark.parametrize(
    ("count", "guiding", "held"), [(1, 1, 0), (2, 1, 1), (3, 2, 1), (4, 2, 2), (8, 4, 4), (20, 4, 16)]
)
def test_half_of_the_failing_tests_guide_at_most_four_and_the_rest_only_judge(count, guiding, held):
    guides, rest = split_guides([failure(f"t::{n}") for n in range(count)])
    assert (len(guides), len(rest)) == (guiding, held)
    assert sorted([*guides, *rest]) == sorted(f"t::{n}" for n in range(count))


def test_guards_are_the_passing_tests_that_say_most_about_the_suspect():
    key, other = FunctionKey("a.py", "f", 1), FunctionKey("a.py", "g", 5)
    wide = TestRun("t::wide", "passed", functions=frozenset({key, other}))
    narrow = TestRun("t::narrow", "passed", functions=frozenset({key}))
    elsewhere = TestRun("t::elsewhere", "passed", functions=frozenset({other}))
    expected_to_fail = TestRun("t::xfail", "xfailed", functions=frozenset({key}))
    assert guards([wide, elsewhere, expected_to_fail, narrow], key) == ["t::narrow", "t::wide"]
    many = [TestRun(f"t::{n}", "passed", functions=frozenset({key})) for n in range(50)]
    assert len(guards(many, key)) == GUARDS


def test_guides_fail_in_different_ways_where_there_are_several():
    cases = [failure(f"t::a[{n}]") for n in range(5)]
    wrong_value, key_error = failure("t::b"), failure("t::c", "KeyError", 9)
    guides, rest = split_guides([*cases, wrong_value, key_error])
    assert guides == ["t::a[0]", "t::a[1]", "t::b", "t::c"]
    assert rest == ["t::a[2]", "t::a[3]", "t::a[4]"]


def test_what_fails_in_the_same_way_is_split_evenly():
    guides, rest = split_guides([failure(f"t::a[{n}]") for n in range(6)])
    assert guides == ["t::a[0]", "t::a[1]", "t::a[5]"]
    assert rest == ["t::a[2]", "t::a[3]", "t::a[4]"]


@pytest.mark.parametrize(("holdout", "guiding"), [(0.0, 3), (0.5, 2), (0.6, 2), (0.7, 1), (0.9, 1)])
def test_the_share_that_is_held_out_is_at_least_what_was_asked_for_and_one_test_guides(holdout, guiding):
    guides, rest = split_guides([failure(f"t::{n}") for n in range(3)], holdout)
    assert (len(guides), len(rest)) == (guiding, 3 - guiding)


def test_tests_that_are_run_on_every_body_are_not_run_once_more_as_further_guards():
    key = FunctionKey("a.py", "f", 1)
    passing = [TestRun(f"t.py::{n:02}", "passed", functions=frozenset({key})) for n in range(GUARDS + 3)]
    tests = ["t.py::fails", *guards(passing, key), "t.py::07"]
    assert guarding(passing, key, tests) == ["t.py::06", "t.py::08"]
