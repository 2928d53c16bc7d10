"""What is known of the bodies that were judged in one function, and which tests steer the search because of it."""

from __future__ import annotations

import math

import pytest

from bot.attempt import REFUTED, Attempt
from bot.functions import functions_in
from bot.records import Candidate, Spent, Suspect, Verdict
from runners.runner import FunctionKey, Target

SOURCE = b"def one():\n    return 2\n"


@pytest.fixture
def attempt():
    suspect = Suspect(FunctionKey("a.py", "one", 1), 1.0, 1.0, 1.0, "")
    (function,) = functions_in(SOURCE)
    tests = ["t::guide", "t::guard"]
    return Attempt((), suspect, function, SOURCE, ["t::guide"], ["t::b", "t::a"], None, Target("a.py", "one", 1), tests)


def refuted(*still, broken=()):
    return Verdict("rejected", ("no",), still_failing=still, broken=broken)


def test_a_held_out_test_that_refutes_several_bodies_guides_and_no_longer_judges(attempt):
    for _ in range(REFUTED - 1):
        attempt.learn(refuted("t::b"))
    assert attempt.outwitted == ""
    attempt.learn(refuted("t::b", "t::a"))
    assert attempt.outwitted == "t::b"
    attempt.passing.append(Candidate(attempt.suspect, "    return 1\n", "edit", "", math.nan, Spent()))
    attempt.judged.add("    return 1\n")
    stricter = attempt.stricter()
    assert (stricter.guides, stricter.held_out) == (["t::guide", "t::b"], ["t::a"])
    assert stricter.tests == ["t::guide", "t::guard", "t::b"], "those before keep their places"
    assert (stricter.passing, stricter.judged, stricter.outwitted) == ([], set(), "")
    assert attempt.judged, "the other one is as it was"


def test_a_passing_test_that_bodies_break_stands_guard(attempt):
    for _ in range(REFUTED):
        attempt.learn(refuted(broken=("t::other",)))
    stricter = attempt.stricter()
    assert (stricter.guides, stricter.held_out) == (["t::guide"], ["t::b", "t::a"])
    assert stricter.tests[-1] == "t::other"


def test_only_rejections_by_tests_that_are_not_run_on_every_body_count(attempt):
    for _ in range(REFUTED):
        attempt.learn(refuted("t::guide"))
        attempt.learn(Verdict("suspect", ("odd",), still_failing=("t::b",)))
        attempt.learn(Verdict("rejected", ("may not be run",)))
    assert attempt.outwitted == ""


def test_of_several_the_one_that_refutes_most_joins_and_the_first_by_name_of_equals(attempt):
    for _ in range(REFUTED):
        attempt.learn(refuted("t::b", "t::a"))
    assert attempt.outwitted == "t::a"
    attempt.learn(refuted("t::b"))
    assert attempt.outwitted == "t::b"


def test_a_verdict_that_is_published_tells_which_tests_joined(attempt):
    strong = Verdict("strong", ("all pass",))
    assert attempt.told(strong) is strong
    for _ in range(REFUTED):
        attempt.learn(refuted("t::b"))
    stricter = attempt.stricter()
    assert stricter.told(strong).reasons == (
        "all pass",
        "steered by t::b too, since 3 bodies that passed the other tests were refuted there",
    )
    rejected = refuted("t::a")
    assert stricter.told(rejected) is rejected
