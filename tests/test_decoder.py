"""The EG-CFG loop: against a token-by-token oracle on real tiny models, and its decisions on a scripted one."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from bot.decoding.decoder import Decoder, finished, statements, tidy
from bot.decoding.edit_pool import EditPool
from bot.decoding.guidance import guide
from bot.decoding.prompt import Prompt, Task, tagged_prompt
from bot.decoding.trials import Meter, Trials
from bot.functions import find_function
from bot.records import Budget, Setting
from tests.fakes import InProcessSession, ScriptedModel

SOURCE = b'''LIMIT = 9


def total(values, start):
    """Add the values up."""
    result = start
    for value in values:
        result -= value
    return result
'''
BODY = "    result = start\n    for value in values:\n        result -= value\n    return result\n"
FIXED = BODY.replace("-=", "+=")


def check_sum(namespace):
    got = namespace["total"]([1, 2, 3], 4)
    assert got == 10, f"{got} == 10"


def check_empty(namespace):
    assert namespace["total"]([], 4) == 4


class Bench:
    """A decoder with everything around it."""

    def __init__(self, model, setting, budget=None, *, tests=None, edits=False, drafts=True, seed=0, source=SOURCE):
        self.events: list[tuple[str, dict]] = []
        self.function = find_function(source, "total", 4)
        task = Task(self.function.text, self.function.header_lines, ("assert total([1, 2, 3], 4) == 10",))
        self.prompt = tagged_prompt(task)
        self.session = InProcessSession("total", tests or {"t::sum": check_sum, "t::empty": check_empty})
        self.trials = Trials(self.function, source, self.session, self.emit)
        self.meter = Meter(model, self.trials, itertools.count().__next__)
        pool = EditPool(self.function, self.prompt, model) if edits else None
        self.decoder = Decoder(
            self.prompt,
            model,
            self.trials,
            setting,
            self.meter,
            budget or Budget(None, None, None, None),
            emit=self.emit,
            seed=seed,
            pool=pool,
            drafts=drafts,
        )

    def emit(self, event, **fields):
        self.events.append((event, fields))

    def told(self, event):
        return [fields for name, fields in self.events if name == event]

    def run(self):
        return list(self.decoder.run())


def test_the_plain_model_writes_its_body_and_it_is_run():
    bench = Bench(ScriptedModel(FIXED), Setting(0.0))
    (found,) = bench.run()
    assert (found.body, found.origin) == (FIXED, "plain")
    assert bench.session.executions == 1


def test_a_body_that_fails_the_tests_is_no_result():
    assert Bench(ScriptedModel(BODY), Setting(0.0)).run() == []


def test_a_continuation_that_ends_the_body_and_passes_is_harvested_at_once():
    model = ScriptedModel(BODY, samples=[FIXED, BODY])
    bench = Bench(model, Setting(1.0, candidates=2, horizon=9))
    found = next(bench.decoder.run())
    assert (found.body, found.origin) == (FIXED, "guided")
    assert bench.decoder.text == ""


def test_guidance_follows_what_the_trace_says():
    """The plain model repeats the fault; told that its first attempt fails, it writes the repair."""

    def answers(prompt):
        return FIXED if "<cand>" in prompt and "open" in prompt else BODY

    bench = Bench(ScriptedModel(answers), Setting(1.0, candidates=2, horizon=1))
    assert bench.run()[-1].body == FIXED
    assert "<trace>" in bench.told("signal")[0]["text"]


def test_half_written_bodies_run_to_their_frontier_and_say_so():
    bench = Bench(ScriptedModel(BODY), Setting(1.0, candidates=2, horizon=2))
    bench.run()
    assert any("__egcfg_frontier__" in source for source in bench.session.sources)
    assert any("=> open" in fields["text"] for fields in bench.told("signal"))


def test_each_body_is_run_once():
    bench = Bench(ScriptedModel(BODY), Setting(1.0, candidates=3, horizon=2))
    bench.run()
    assert len(bench.session.sources) == len(set(bench.session.sources)) == bench.meter.spent().executions


def test_single_edits_stand_beside_the_continuations_and_are_harvested():
    bench = Bench(ScriptedModel(BODY), Setting(1.0, candidates=1, horizon=3), edits=True)
    found = bench.run()
    assert "edit" in {item.origin for item in found}
    assert FIXED in {item.body for item in found}


def test_without_room_for_a_signal_the_plain_model_decides():
    model = ScriptedModel(BODY)
    model.context = len(model.encode(Bench(model, Setting(1.0)).prompt.plain)) + 2 * len(BODY) + 120
    bench = Bench(model, Setting(3.0, candidates=1))
    bench.run()
    assert bench.decoder.text == BODY
    assert bench.told("signal") == []


def test_changed_tokens_are_counted():
    def answers(prompt):
        return FIXED if "<trace>" in prompt else BODY

    bench = Bench(ScriptedModel(answers), Setting(1.5, candidates=1, horizon=1))
    assert FIXED in {found.body for found in bench.run()}
    assert sum(fields["changed"] for fields in bench.told("line")) == 1
    assert "".join(fields["text"] for fields in bench.told("line")) == FIXED


def test_decoding_stops_at_the_boundary_after_the_budget_is_spent():
    bench = Bench(ScriptedModel(FIXED), Setting(1.0, candidates=1, horizon=1), Budget(None, 30, None, None))
    assert bench.run() == []
    spent = bench.meter.spent()
    assert 30 <= spent.tokens < 30 + 2 * len(FIXED)
    assert bench.decoder.text != FIXED


def test_an_empty_answer_is_no_body():
    bench = Bench(ScriptedModel(""), Setting(0.0))
    assert bench.run() == []
    assert bench.session.executions == 0


@pytest.mark.parametrize(
    ("text", "body"),
    [
        ("    return 1\n```\nDone.", "    return 1\n"),
        ("    return 1\n\ndef other():\n", "    return 1\n"),
        ("    return 1\n\nprint(", "    return 1\n"),
        ("    x = '''\nat column 0\n'''\n", None),
        ("    x = [\n1,\n]\n", None),
        ("    return 1\n", None),
        ("    # note\n    return 1\n# note\n", None),
        ("r", ""),
    ],
)
def test_a_body_is_finished_at_the_end_string_or_at_code_in_column_zero(text, body):
    assert finished(Prompt("", "", "", "```", "instruct"), text) == body


def test_statements_are_whole_logical_lines():
    function = find_function(SOURCE, "total", 4)
    counts = {
        "": 0,
        "    x": 0,
        "    x\n": 1,
        "    x\n    ": 1,
        "    x\n    # note\n": 1,
        "    x\n\n": 1,
        "    x = (\n": 0,
        "    x = (\n1)\n": 1,
        '    """a\n': 0,
    }
    assert {text: statements(function, text) for text in counts} == counts


def test_a_body_is_tidied_to_one_newline_at_its_end():
    assert tidy("\n\n    x = 1\n\n    return x  \n\n") == "    x = 1\n\n    return x\n"
