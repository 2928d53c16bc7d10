"""When a patch that passes everything is doubted: what it changes, and what else passes. In a real sandbox."""

from __future__ import annotations

import math

import pytest

from bot.behaviour import Behaviour, observe
from bot.discover import discover
from bot.doubt import JUDGED_RIVALS, reconsidered, told
from bot.functions import functions_in
from bot.patches import joined, make_patch
from bot.records import Candidate, Spent, Suspect, Verdict
from bot.verify import verify
from runners.runner import ComparedCall, Result

SHAPES = b"""def area(width, height):
    return width + height


def half(number):
    return number // 2 if number > 3 else None


def safe_half(number):
    try:
        return half(number)
    except TypeError:
        return None


def tariff(size):
    return "small" if size <= 1024 else "large"
"""
TESTS = b"""from shapes import area, half, safe_half, tariff


def test_one():
    assert area(1, 1) == 1


def test_two():
    assert area(2, 2) == 4


def test_half():
    assert half(3) == 1


def test_safe_half():
    assert safe_half(10) == 5
    assert safe_half(1.5) in (None, 0.75)
    safe_half(7)


def test_tariff():
    assert tariff(1024) == "large"


def test_small():
    assert tariff(1000) == "small"
"""


class Bench:
    """The repository, what fails in it, and patches of its functions."""

    def __init__(self, root, runner):
        self.runner = runner
        self.discovery = discover(runner, emit=lambda event, **fields: None)
        self.source = (root / "shapes.py").read_bytes()

    def failures(self, name):
        return tuple(f for f in self.discovery.failures if f.node_id.endswith(f"::{name}"))

    def candidate(self, name, body):
        (failure, *_) = self.failures({"area": "test_one"}.get(name, f"test_{name}"))
        key = next(key for key in failure.functions if key.qualname == name)
        return Candidate(Suspect(key, 1.0, 1.0, 1.0, ""), f"    return {body}\n", "edit", "", math.nan, Spent())

    def function(self, name):
        return next(f for f in functions_in(self.source) if f.name == name)

    def patch(self, name, body):
        return make_patch("shapes.py", self.source, self.function(name), f"    return {body}\n")

    def reconsider(self, name, body, others, *, held_out=False, test="test_one"):
        return self.reconsider_patch(self.patch(name, body), test, name, body, others, held_out=held_out)

    def reconsider_patch(self, patch, test, name="half", body="1", others=(), *, held_out=False):
        judged = []

        def judge(rival):
            judged.append(rival)
            return verify(rival, self.failures(test), self.discovery, self.runner, red_check=False)

        verdict = reconsidered(
            self.candidate(name, body),
            patch,
            Verdict("strong" if held_out else "plausible", ("all pass",)),
            [self.candidate(name, other) for other in (body, *others)],
            self.function(name),
            failures=self.failures(test),
            discovery=self.discovery,
            runner=self.runner,
            held_out=held_out,
            judge=judge,
            tests=[TESTS.decode().partition(f"def {test}")[2].partition("def ")[0]],
        )
        return verdict, judged


@pytest.fixture(scope="module")
def bench(repo, runner):
    root = repo({"shapes.py": SHAPES, "test_shapes.py": TESTS})
    return Bench(root, runner(root))


def test_an_equally_small_rival_that_does_something_else_nearby_leaves_the_choice_to_a_person(bench):
    verdict, judged = bench.reconsider("area", "width * height", ["width ** height", "width * height * height // 1"])
    assert verdict.word == "suspect"
    assert "a person has to choose" in verdict.reasons[-1]
    (rival,) = verdict.rivals
    assert "width ** height" in rival.diff
    assert any((d.arguments, d.before, d.after) == ("2, 3", "6", "8") and d.nearby for d in rival.differences)
    assert len(judged) == 1, "a larger change is no rival"


def test_a_rival_that_does_the_same_or_does_not_stand_a_fresh_run_is_none(bench):
    verdict, judged = bench.reconsider("area", "width * height", ["height * width", "width - height"])
    assert verdict.word == "plausible"
    assert verdict.rivals == ()
    assert [b"width - height" in patch.after for patch in judged] == [True]


def test_a_number_that_stands_nowhere_makes_no_rival_and_one_of_the_code_does(bench):
    right = "tariff", '"small" if size < 1024 else "large"'
    invented, known = (f'"small" if size <= {number} else "large"' for number in (1022, 0))
    verdict, judged = bench.reconsider(*right, [invented], test="test_tariff")
    assert (verdict.word, verdict.rivals, judged) == ("plausible", (), [])
    verdict, judged = bench.reconsider(*right, [known], test="test_tariff")
    assert len(judged) == 1
    assert verdict.word == "plausible", "it fails a passing test"
    verdict, judged = bench.reconsider("tariff", invented, [right[1]], test="test_tariff")
    assert verdict.word == "suspect"
    assert "size < 1024" in verdict.rivals[0].diff


def test_rivals_that_no_test_tells_from_the_patch_are_judged_first_and_not_all_of_the_others(bench):
    told_apart = ["width // height", "height // width", "width / height", "height / width", "width", "height"]
    verdict, judged = bench.reconsider("area", "width * height", [*told_apart, "width ** height"])
    assert b"width ** height" in judged[0].after
    assert len(judged) == JUDGED_RIVALS < len(told_apart)
    assert ["width ** height" in rival.diff for rival in verdict.rivals] == [True]


def test_where_failing_tests_were_held_out_a_patch_with_a_rival_is_proposed_but_not_called_strong(bench):
    verdict, judged = bench.reconsider("area", "width * height", ["width ** height"], held_out=True)
    assert verdict.word == "plausible"
    assert verdict.publishable
    assert "a person has to choose" in verdict.reasons[-1]
    assert "width ** height" in verdict.rivals[0].diff
    assert len(judged) == 1
    alone, judged = bench.reconsider("area", "width * height", ["height * width"], held_out=True)
    assert (alone.word, alone.rivals, judged) == ("strong", (), [])


def test_changed_results_of_passing_tests_are_told_and_lost_ones_make_a_patch_suspect(bench):
    verdict, _ = bench.reconsider("half", "number // 2 if number > 2 else 0", [], test="test_half")
    assert verdict.word == "plausible"
    assert [(d.arguments, d.before, d.after) for d in verdict.differences] == [("1.5", "None", "0")]
    assert verdict.differences[0].node_id == "test_shapes.py::test_safe_half"
    assert verdict.compared == 3
    lost, _ = bench.reconsider("half", "{3: 1, 10: 5, 1.5: None}[number]", [], test="test_half")
    assert lost.word == "suspect"
    assert "had a result and now raises KeyError(7): 7" in lost.reasons[-1]


def test_a_verdict_that_is_not_publishable_is_left_as_it_is(bench):
    rejected = Verdict("rejected", ("no",))
    candidate, patch = bench.candidate("area", "1"), bench.patch("area", "1")
    kept = reconsidered(
        candidate,
        patch,
        rejected,
        [],
        bench.function("area"),
        failures=(),
        discovery=bench.discovery,
        runner=bench.runner,
        held_out=False,
        judge=lambda patch: rejected,
    )
    assert kept is rejected


def both(bench, half, safe_half):
    """Return a patch of two functions, of which one calls the other."""
    first = bench.patch("half", half)
    function = next(f for f in functions_in(first.after) if f.name == "safe_half")
    return joined([first, make_patch("shapes.py", first.after, function, f"    return {safe_half}\n")])


def test_of_a_patch_of_two_functions_all_old_bodies_are_compared_with_all_new_ones(bench):
    patch = both(bench, "number // 2 if number > 2 else 0", "half(number) or None")
    same = observe(patch, (), bench.failures("test_half"), bench.discovery, bench.runner)
    assert (same.why, same.compared, same.changes()) == ("", 3, ())
    assert {call.arguments for call in same.calls} == {"half(3)", "safe_half(10)", "safe_half(1.5)", "safe_half(7)"}
    patch = both(bench, "number // 2 if number > 2 else 0", "half(number)")
    verdict, _ = bench.reconsider_patch(patch, "test_half")
    assert verdict.word == "plausible"
    assert [(d.arguments, d.before, d.after) for d in verdict.differences] == [("safe_half(1.5)", "None", "0")]


def test_a_patch_of_two_functions_that_takes_a_result_from_a_passing_test_is_suspect(bench):
    patch = both(bench, "number // 2", "[None, 5][half(number) == 5] if number != 7 else 1 // 0")
    verdict, _ = bench.reconsider_patch(patch, "test_half")
    assert verdict.word == "suspect"
    assert "had a result and now raises ZeroDivisionError" in verdict.reasons[-1]
    assert verdict.reasons[-1].endswith("safe_half(7)")
    shown = told(patch, Verdict("suspect", ("no",)), bench.failures("test_half"), bench.discovery, bench.runner)
    assert (shown.word, shown.reasons, len(shown.differences)) == ("suspect", ("no",), 1)


def test_what_is_not_known_is_no_difference():
    def call(node, *results, nearby=False):
        return ComparedCall(node, "1", nearby, tuple(Result(kind, text, text) for kind, text in results))

    behaviour = Behaviour(
        (
            call("a", ("value", "1"), ("value", "1")),
            call("a", ("value", "1"), ("refused", "x")),
            call("a", ("value", "1"), ("lost", "")),
            call("a", ("value", "1"), ("timeout", "")),
            call("a", ("raise", "E"), ("value", "2")),
            call("b", ("value", "1"), ("value", "2")),
            call("a", ("value", "1"), ("value", "2"), nearby=True),
        ),
        frozenset({"a"}),
    )
    assert behaviour.compared == 3
    assert [(d.before, d.after) for d in behaviour.changes()] == [("1", "does not end"), ("raises E", "2")]
    assert [d.after for d in behaviour.losses()] == ["does not end"]
    assert len(behaviour.between(0, 1)) == 4
