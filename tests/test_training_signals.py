"""Signal samples: what is run and told in training is what the decoder runs and tells."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

pytest.importorskip("tokenizers")
pytest.importorskip("numpy")

from tokenizers import Tokenizer

from bot.logical_lines import logical_lines
from training import tokenizer as tokenizer_module
from training.executed import FailingCase, judge, study
from training.execution import Worker
from training.faults import Fault
from training.functions import make_function
from training.signals import (
    HORIZON,
    Attempt,
    Observer,
    nearby_edits,
    observations,
    sampled,
    signal_sample,
)

CORRECT = """\
def kept(values, low):
    found = []
    for value in values:
        if value > low:
            found.append(value)
    found.sort()
    return found
"""
FAULTY = CORRECT.replace("value > low", "value < low")
CALLS = ("kept([3, 1, 2], 1)", "kept([1], 0)", "kept([5, 4], 9)", "kept([], 2)")


@pytest.fixture(scope="module")
def worker() -> Iterator[Worker]:
    with Worker() as worker:
        yield worker


@pytest.fixture(scope="module")
def failing(worker: Worker) -> FailingCase:
    function = make_function(CORRECT, "tests", CALLS)
    assert function is not None
    case = study(function, worker)
    assert case is not None
    found = judge(case, Fault(FAULTY, ("CMP",)), worker)
    assert found is not None
    assert found.failing == (0, 1, 2)
    return found


def lines_of(failing: FailingCase, given: int) -> str:
    return "".join(logical_lines(failing.case.function.body)[:given])


def test_an_edit_is_run_as_a_whole_body_and_shown_as_its_next_lines(failing: FailingCase, worker: Worker) -> None:
    rng = random.Random(0)
    observer = Observer(failing, 0, worker, rng)
    written = lines_of(failing, 2)
    edits = nearby_edits(written, observer, rng)
    assert len(edits) == 6
    for edit in edits:
        assert edit.body.startswith(written + edit.shown)
        assert len(logical_lines(edit.shown)) <= HORIZON
        observation = observer.observe(edit, 4)
        assert observation is None or observation.outcome != "frontier"


def test_no_edits_stand_after_a_beginning_that_the_faulty_body_does_not_have(
    failing: FailingCase, worker: Worker
) -> None:
    observer = Observer(failing, 0, worker, random.Random(0))
    assert nearby_edits(lines_of(failing, 3), observer, random.Random(0)) == []


def test_sampled_continuations_run_to_where_they_are_written_or_end_the_body(
    failing: FailingCase, worker: Worker
) -> None:
    rng = random.Random(1)
    observer = Observer(failing, 0, worker, rng)
    at_start = [a for _ in range(10) for a in sampled(failing, 0, observer, rng)]
    at_end = [a for _ in range(10) for a in sampled(failing, 5, observer, rng)]
    assert all(len(logical_lines(a.shown)) == HORIZON for a in at_start)
    true = [observer.observe(a, 2) for a in at_start if a.shown == lines_of(failing, 3)]
    assert {o.outcome for o in true if o} == {"frontier"}
    ends = [observer.observe(a, 7) for a in at_end]
    assert "passed" in {o.outcome for o in ends if o}


def test_a_body_that_passes_the_failing_test_but_breaks_another_is_told_as_failing(
    failing: FailingCase, worker: Worker
) -> None:
    observer = Observer(failing, 1, worker, random.Random(0))
    told = observer.observe(Attempt("    return [1]\n", "    return [1]\n", "edit"), 2)
    assert told is not None
    assert told.outcome == "failed"
    assert told.test != CALLS[1]


def test_the_faulty_body_comes_first_and_tells_the_chosen_test(failing: FailingCase, worker: Worker) -> None:
    for place in failing.failing:
        observer = Observer(failing, place, worker, random.Random(0))
        first = next(observations(failing, 2, observer, random.Random(0)))
        assert first is not None
        assert (first.origin, first.outcome, first.test) == ("faulty", "failed", CALLS[place])


def test_samples_stand_at_the_start_and_in_the_middle_of_a_body(failing: FailingCase, worker: Worker) -> None:
    pieces: Tokenizer = tokenizer_module.train(iter([CORRECT, FAULTY] * 20), vocabulary=600)
    rng = random.Random(0)
    samples = [s for _ in range(30) if (s := signal_sample(failing, worker, rng, pieces)) is not None]
    at_start = sum(s.given == 0 for s in samples)
    assert 3 <= at_start <= 15
    for sample in samples:
        assert "<trace>" in sample.prompt
        assert sample.answer.startswith(failing.case.function.body)
        assert "=> open" not in sample.prompt.split("<cand>")[0]
