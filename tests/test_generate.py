"""The portfolio: its order, its shares of the budget, its counting; real edits, a scripted model."""

from __future__ import annotations

import math

import pytest

from bot.decoding.edit_pool import CHUNKS, EditPool, names_in_scope
from bot.decoding.prompt import Task
from bot.decoding.trials import Trials
from bot.errors import ModelError
from bot.functions import find_function
from bot.generate import DEFAULT_PORTFOLIO, Arm, fitting_prompt, generate, portfolio
from bot.records import Budget, Setting, Spent, Suspect
from runners.runner import FunctionKey
from tests.fakes import InProcessSession, ScriptedModel

SOURCE = b"""def clamp(value, low, high):
    # keep within the bounds
    if value < low:
        return low
    if value < high:
        return high
    return value


def unused():
    return 0
"""
FUNCTION = find_function(SOURCE, "clamp", 1)
BODY = FUNCTION.body
FIXED = BODY.replace("value < high", "value > high")
HARD_CODED = "    return {(5, 0, 3): 3, (2, 0, 3): 2}[value, low, high]\n"
SUSPECT = Suspect(FunctionKey("clamp.py", "clamp", 1), 1.0, 1.0, 1.0, "the only one")
TASK = Task(FUNCTION.text, FUNCTION.header_lines, ("assert clamp(5, 0, 3) == 3",), "AssertionError: 5 == 3")
NO_LIMIT = Budget(None, None, None, None)


def check_above(namespace):
    assert namespace["clamp"](5, 0, 3) == 3


def check_within(namespace):
    assert namespace["clamp"](2, 0, 3) == 2


class Run:
    """One search with its events; `clock` ticks one second a look unless told otherwise."""

    def __init__(self, model, settings=DEFAULT_PORTFOLIO, budget=NO_LIMIT, clock=lambda: 0.0, **options):
        self.events = []
        self.session = InProcessSession("clamp", {"t::above": check_above, "t::within": check_within})
        self.search = generate(
            TASK,
            FUNCTION,
            SOURCE,
            SUSPECT,
            model,
            self.session,
            settings=settings,
            budget=budget,
            emit=lambda event, **fields: self.events.append((event, fields)),
            clock=clock,
            **options,
        )

    def attempts(self):
        return [fields["setting"] for event, fields in self.events if event == "attempt"]


def test_nothing_happens_before_the_first_step():
    run = Run(ScriptedModel(FIXED))
    assert run.session.executions == 0
    assert run.search.spent == Spent()


def test_the_plain_model_goes_first():
    run = Run(ScriptedModel(FIXED))
    candidate = next(run.search)
    assert (candidate.body, candidate.origin) == (FIXED, "plain")
    assert candidate.suspect is SUSPECT
    assert run.attempts() == ["gamma=0 t=0.8 d=3 s=3"]
    assert run.session.executions == 2  # the body, and the faulty one, to rank the body by


def test_the_candidate_knows_what_it_cost_and_how_likely_it_was():
    model = ScriptedModel(FIXED)
    candidate = next(Run(model).search)
    tokens = len(FIXED) + 1
    assert candidate.spent.tokens == tokens
    assert candidate.spent.executions == 2
    assert candidate.logprob == pytest.approx(tokens * math.log(0.9), rel=1e-4)


def test_the_order_is_plain_likely_edits_guided_edits_more_guidance_samples():
    kinds = [(arm.kind, arm.setting.gamma) for arm in DEFAULT_PORTFOLIO if arm.kind != "edits"]
    assert kinds[:2] == [("decode", 0.0), ("decode", 1.0)]
    assert kinds[-1][0] == "sample"
    assert [arm.kind for arm in DEFAULT_PORTFOLIO][:4] == ["decode", "edits", "decode", "edits"]
    assert {gamma for _, gamma in kinds} == {0.0, 0.5, 1.0, 3.0}


def test_with_a_small_model_all_edits_come_before_the_first_guided_decode():
    arms = portfolio(edits_first=True)
    assert [(arm.kind, arm.setting.gamma) for arm in arms[:1]] == [("decode", 0.0)]
    assert [arm.kind for arm in arms[1:5]] == ["edits", "pairs", "decode", "sample"]
    told = {(arm.kind, arm.setting, arm.traced) for arm in DEFAULT_PORTFOLIO}
    assert {(arm.kind, arm.setting, arm.traced) for arm in arms} == told


def test_asked_for_gammas_replace_the_usual_ones():
    arms = portfolio(gammas=(2.0,), candidates=5, horizon=4, temperature=1.0)
    assert {arm.setting.gamma for arm in arms if arm.kind == "decode"} == {2.0}
    assert {arm.setting.candidates for arm in arms} == {5}


def test_edits_alone_repair_without_a_model():
    run = Run(None)
    candidate = next(run.search)
    assert candidate.origin == "edit"
    assert math.isnan(candidate.logprob)
    assert FIXED in {candidate.body, *(later.body for later in run.search)}


def test_every_passing_body_is_yielded_once():
    bodies = [
        candidate.body for candidate in Run(ScriptedModel(FIXED), [Setting(0.0), Setting(1.0), Arm("edits")]).search
    ]
    assert bodies.count(FIXED) == 1
    assert len(bodies) == len(set(bodies))


def test_bodies_that_differ_in_a_comment_only_are_one():
    model = ScriptedModel(FIXED, samples=[FIXED.replace("# keep within the bounds", "# clamped"), FIXED])
    bodies = [candidate.body for candidate in Run(model, [Arm("sample", Setting(0.0))]).search]
    assert len(bodies) == 1


def test_only_lines_that_fail_are_edited_first():
    run = Run(None, [Arm("edits", share=0.4)], budget=Budget(None, None, None, 40))
    list(run.search)
    assert run.session.executions <= 40
    assert all("return low\n" in source for source in run.session.sources), "that line is not executed"


def test_sampling_finds_what_decoding_does_not():
    model = ScriptedModel(BODY, samples=[BODY, "    return low\n", FIXED])
    (candidate,) = Run(model, [Arm("sample", Setting(0.0, temperature=0.7))]).search
    assert (candidate.body, candidate.origin, candidate.setting) == (FIXED, "sampled", "t=0.7")


def test_sampling_ends_when_nothing_new_comes():
    run = Run(ScriptedModel(BODY), [Arm("sample", Setting(0.0))])
    assert list(run.search) == []
    assert run.session.executions == 1


def test_a_spent_budget_ends_the_search():
    run = Run(ScriptedModel(BODY), budget=Budget(None, 5, None, None))
    assert list(run.search) == []
    assert run.attempts() == ["gamma=0 t=0.8 d=3 s=3"]


def test_no_arm_may_use_more_than_its_share():
    run = Run(None, [Arm("edits", share=0.25)], Budget(None, None, None, 100))
    list(run.search)
    assert 1 < run.session.executions <= 26


def test_seconds_are_those_of_the_clock_that_was_given():
    ticks = iter(range(10_000))
    run = Run(ScriptedModel(BODY), budget=Budget(30, None, None, None), clock=lambda: float(next(ticks)))
    list(run.search)
    assert 30 <= run.search.spent.seconds < 60


def test_what_is_spent_grows_and_is_the_sum_of_what_was_done():
    model = ScriptedModel(BODY)
    run = Run(model, [Setting(0.0), Setting(1.0, candidates=1, horizon=1)])
    list(run.search)
    spent = run.search.spent
    assert spent.executions == run.session.executions
    assert (spent.passes, spent.positions) == (model.usage.passes, model.usage.positions)
    assert spent.tokens > 2 * len(BODY)


def test_the_same_seed_gives_the_same_search():
    def bodies():
        arms = [Setting(3.0, candidates=2, horizon=2), Arm("sample", Setting(0.0))]
        return [(c.body, c.origin, c.setting) for c in Run(ScriptedModel(BODY), arms, seed=4).search]

    assert bodies() == bodies()


def test_a_prompt_without_room_loses_its_tests_before_its_function():
    model = ScriptedModel(FIXED)
    whole = fitting_prompt(TASK, model).plain
    model.context = len(model.encode(whole)) + len(BODY) + 40
    smaller = fitting_prompt(TASK, model)
    assert "clamp(value, low, high)" in smaller.head
    assert len(smaller.plain) < len(whole)


def test_the_journal_is_told_what_the_model_reads():
    run = Run(ScriptedModel(FIXED))
    next(run.search)
    (told,) = [fields for event, fields in run.events if event == "prompt"]
    assert told["style"] == "tagged"
    assert told["tokens"] == len(ScriptedModel("").encode(fitting_prompt(TASK, ScriptedModel("")).plain))


def test_a_function_longer_than_the_context_has_an_error_with_a_hint():
    with pytest.raises(ModelError) as caught:
        fitting_prompt(TASK, ScriptedModel(FIXED, context=60))
    assert caught.value.hint


def test_for_a_function_longer_than_the_context_the_edits_go_on_alone():
    run = Run(ScriptedModel(FIXED, context=60))
    assert next(run.search).origin == "edit"
    assert "fit" in next(fields["text"] for event, fields in run.events if event == "note")


def test_a_lot_holds_the_first_passing_body_and_its_rivals():
    (first, *rest), *others = Run(None, [Arm("edits")]).search.lots()
    assert FIXED in [candidate.body for candidate in [first, *rest]]
    assert rest
    assert len({candidate.body for lot in ([first, *rest], *others) for candidate in lot}) == len(
        [candidate for lot in ([first, *rest], *others) for candidate in lot]
    )


def test_a_lot_ends_when_as_much_again_was_spent():
    ticks = iter(range(10**6))
    run = Run(None, [Arm("edits")], clock=lambda: next(ticks) * 0.4)
    lot = next(run.search.lots())
    assert run.search.spent.seconds < 60
    assert lot[0].spent.seconds < run.search.spent.seconds


def test_samples_after_a_failed_round_read_what_the_faulty_body_did():
    model = ScriptedModel(HARD_CODED)
    run = Run(model, [Arm("sample", Setting(0.0), traced=True)])
    found = next(run.search)
    assert found.setting.endswith("traced")


def test_edits_are_ranked_by_what_the_model_would_write():
    model = ScriptedModel(FIXED)
    pool = EditPool(FUNCTION, fitting_prompt(TASK, model), model)
    best = next(pool.chunks(frozenset()))[0]
    assert best.edit.body == FIXED


def test_edits_of_the_statement_that_raises_count_for_more():
    pool = EditPool(FUNCTION, None, None)
    usual, raising = (
        [scored.edit for chunk in pool.chunks(frozenset(), lines) for scored in chunk]
        for lines in (frozenset(), frozenset({5}))
    )
    assert sorted(edit.body for edit in usual) == sorted(edit.body for edit in raising)
    before, now = ([place for place, edit in enumerate(edits) if edit.line == 5] for edits in (usual, raising))
    assert now[0] < before[0]
    assert sum(now) < sum(before)


def test_where_a_failing_test_has_its_exception_is_told_by_its_traceback():
    source = b"def half(xs):\n    total = sum(xs)\n    return (\n        total / len(xs)\n    )\n"
    function = find_function(source, "half", 1)

    def nothing(namespace):
        assert namespace["half"]([]) == 0

    def wrong(namespace):
        assert namespace["half"]([1]) == 3

    session = InProcessSession("half", {"t::nothing": nothing, "t::wrong": wrong})
    trials = Trials(function, source, session, lambda event, **fields: None)
    assert trials.raising_lines() == {3}  # of the body; the failed assertion stands in no line of it


def test_edits_of_all_lines_are_scored_behind_one_branch_that_keeps_the_prompt():
    class Counting(ScriptedModel):
        branches = 0

        def branch(self, ids):
            self.branches += 1
            return super().branch(ids)

    counts = []
    for lines in (1, 4):
        model = Counting(FIXED)
        pool = EditPool(FUNCTION, fitting_prompt(TASK, model), model)
        pool.score(
            [
                edit
                for edit in list(pool.neighbourhood.edits())
                if edit.line in sorted({edit.line for edit in list(pool.neighbourhood.edits())})[:lines]
            ]
        )
        counts.append(model.branches)
    assert counts[0] == counts[1]


def test_edits_near_a_half_written_body_are_those_of_its_next_lines():
    written = "".join(BODY.splitlines(keepends=True)[:3])
    near = EditPool(FUNCTION, None, None).near(written, 2)
    assert near
    assert {scored.edit.line for scored in near} <= {4, 5}
    assert all(scored.edit.body.startswith(written) for scored in near)


def test_names_in_scope_are_the_modules_and_those_of_self():
    source = b"""import os.path
from math import floor as down

LIMIT: int = 3


class Stack:
    def __init__(self):
        self.items = []

    def pop(self):
        return self.items.pop(0)
"""
    function = find_function(source, "Stack.pop", 11)
    names = ["self.items", "self.pop", "os", "down", "LIMIT", "Stack", "self.pop()", "down(...)"]
    assert names_in_scope(source, function) == names


TWICE_WRONG = SOURCE.replace(b"if value < low", b"if value > low", 1)


def test_a_second_edit_is_tried_where_a_first_made_progress():
    def check_below(namespace):
        assert namespace["clamp"](-4, 0, 3) == 0

    function = find_function(TWICE_WRONG, "clamp", 1)
    session = InProcessSession("clamp", {"t::above": check_above, "t::within": check_within, "t::below": check_below})
    arms = [Arm("edits"), Arm("pairs")]
    search = generate(TASK, function, TWICE_WRONG, SUSPECT, None, session, settings=arms, budget=NO_LIMIT)
    found = [candidate for candidate in search if candidate.setting.startswith("edits ")]
    assert FIXED in [candidate.body for candidate in found]
    assert all(candidate.origin == "edit" for candidate in found)


FAR_APART = b"""def spread(values):
    low = high = values[1]
    for value in values:
        if value < low:
            low = value
        if value > high:
            high = value
    width = high + low
    return width
"""


def test_two_faults_that_are_far_apart_are_repaired_one_after_the_other():
    def check_width(namespace):
        assert namespace["spread"]([3, 1, 2]) == 2

    def check_one(namespace):
        assert namespace["spread"]([4]) == 0

    function = find_function(FAR_APART, "spread", 1)
    session = InProcessSession("spread", {"t::width": check_width, "t::one": check_one})
    arms = [Arm("edits"), Arm("pairs")]
    search = generate(TASK, function, FAR_APART, SUSPECT, None, session, settings=arms, budget=NO_LIMIT)
    right = function.body.replace("values[1]", "values[0]").replace("high + low", "high - low")
    assert right in [candidate.body for candidate in search]


def test_an_edit_is_scored_against_leaving_its_line_as_it_is():
    model = ScriptedModel(FIXED)
    pool = EditPool(FUNCTION, fitting_prompt(TASK, model), model, trust=1.0)
    right = next(scored for scored in pool.score(list(pool.neighbourhood.edits())) if scored.edit.body == FIXED)
    assert right.edit.line == 3
    assert right.score - math.log(right.edit.weight) > 0  # likelier than leaving the line as it is


def test_where_it_is_not_worth_it_the_model_ranks_the_first_edits_only():
    positions = []
    for worth in (True, False):
        model = ScriptedModel(FIXED)
        pool = EditPool(FUNCTION, fitting_prompt(TASK, model), model)
        first, *others = pool.chunks(frozenset(), worth=lambda worth=worth: worth)
        assert len(first) == CHUNKS[0]
        assert first == pool.score([item.edit for item in first])
        ranked = [item.score for chunk in others for item in chunk]
        priors = [math.log(item.edit.weight) for chunk in others for item in chunk]
        assert (ranked == priors) is not worth
        positions.append(model.usage.positions)
    assert positions[1] < positions[0] / 2


def test_without_trust_in_the_model_the_edits_keep_their_own_order():
    model = ScriptedModel(FIXED)
    pool = EditPool(FUNCTION, fitting_prompt(TASK, model), model, trust=0.0)
    assert [scored.edit for scored in pool.score(list(pool.neighbourhood.edits()))] == list(pool.neighbourhood.edits())
