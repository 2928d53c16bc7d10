"""The EG-CFG loop: against a token-by-token oracle on real tiny models, and its decisions on a scripted one."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from bot.decoding.body_text import finished, statements, tidy
from bot.decoding.decoder import Decoder
from bot.decoding.edit_pool import EditPool
from bot.decoding.guidance import guide
from bot.decoding.prompt import Prompt, Task, tagged_prompt
from bot.decoding.trials import Meter, Trials
from bot.functions import find_function
from bot.records import Budget, Setting
from tests.fakes import InProcessSession, ScriptedBranch, ScriptedModel, tiny_model

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


class CountingModel(ScriptedModel):
    """Counts how often it is asked, a draft once."""

    calls = 0

    def branch(self, ids):
        return CountingBranch(self, ids)


class CountingBranch(ScriptedBranch):
    def logprobs(self):
        self.model.calls += 1
        return super().logprobs()

    def along(self, ids):
        before = self.model.calls
        rows = super().along(ids)
        self.model.calls = before + 1
        return rows


class Bench:
    """A decoder with everything around it."""

    def __init__(
        self,
        model,
        setting,
        budget=None,
        *,
        tests=None,
        edits=False,
        drafts=True,
        harvests=True,
        seed=0,
        decoder=Decoder,
    ):
        self.events: list[tuple[str, dict]] = []
        self.function = find_function(SOURCE, "total", 4)
        task = Task(self.function.text, self.function.header_lines, ("assert total([1, 2, 3], 4) == 10",))
        self.prompt = tagged_prompt(task)
        self.session = InProcessSession("total", tests or {"t::sum": check_sum, "t::empty": check_empty})
        self.trials = Trials(self.function, SOURCE, self.session, self.emit)
        self.meter = Meter(model, self.trials, itertools.count().__next__)
        pool = EditPool(self.function, self.prompt, model) if edits else None
        self.decoder = decoder(
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
            harvests=harvests,
        )

    def emit(self, event, **fields):
        self.events.append((event, fields))

    def told(self, event):
        return [fields for name, fields in self.events if name == event]

    def run(self):
        return list(self.decoder.run())


class OracleDecoder(Decoder):
    """The same loop without anything that makes it fast: one token at a time, every distribution from scratch."""

    def _write(self):
        written = self.text
        self.line_start = len(self.answer)
        while not self.ended and len(self.answer) < self.limit:
            row = self.fresh(self.head)
            if self.setting.gamma > 0 and self.signal:
                row = guide(
                    row, self.fresh(self.model.encode(self.prompt.with_signal(self.signal))), self.setting.gamma
                )
            self.answer.append(int(np.argmax(row)))
            self.ended = self.answer[-1] in self.model.end_ids or finished(self.prompt, self.text) is not None
            if statements(self.function, self.text) > statements(self.function, written):
                break
        self.emit("line", text=self.text[len(written) :])

    def fresh(self, head):
        import torch

        with torch.inference_mode():
            logits = self.model._network(input_ids=torch.tensor([head + self.answer])).logits[0, -1]
        return torch.log_softmax(logits.float(), dim=-1).numpy()


@pytest.fixture(scope="module", params=[0, 1])
def tiny(request):
    """Two tiny models, taught on the prompt of these tests."""
    prompt = Bench(ScriptedModel(BODY), Setting(0.0)).prompt
    signal = "<trace><L4> result=4<L5> value=1 => fail 4\n"
    return tiny_model([prompt.plain, prompt.with_signal(signal)], request.param)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 3.0])
def test_drafts_and_caches_change_no_token(tiny, gamma):
    fast = Bench(tiny, Setting(gamma), seed=5)
    fast.decoder.limit = 60
    slow = Bench(tiny, Setting(gamma), seed=5, decoder=OracleDecoder)
    slow.decoder.limit = 60
    assert fast.run() == slow.run()
    assert fast.decoder.answer == slow.decoder.answer
    assert [e for e in fast.events if e[0] == "signal"] == [e for e in slow.events if e[0] == "signal"]
    assert fast.decoder.answer


def test_a_guided_token_costs_one_pass(tiny):
    bench = Bench(tiny, Setting(3.0, candidates=0), drafts=False)
    bench.decoder.limit = 40
    before = tiny.usage.passes
    bench.run()
    assert bench.told("signal")
    assert tiny.usage.passes - before == len(bench.decoder.answer)


@pytest.mark.parametrize("gamma", [0.0, 1.0, 3.0])
def test_drafts_save_passes_where_the_model_copies(gamma):
    counts = []
    for drafts in (True, False):
        bench = Bench(CountingModel(BODY), Setting(gamma, candidates=1), drafts=drafts)
        bench.run()
        assert bench.decoder.text == BODY
        counts.append(bench.meter.model.calls)
    assert counts[0] * 4 < counts[1]


def test_gamma_zero_is_what_generate_does_without_sampling(tiny):
    import torch

    bench = Bench(tiny, Setting(0.0))
    bench.run()
    head = torch.tensor([bench.decoder.head])
    wanted = tiny._network.generate(
        head, attention_mask=torch.ones_like(head), do_sample=False, max_new_tokens=bench.decoder.limit, pad_token_id=0
    )
    written = wanted[0, head.shape[1] :].tolist()
    assert written[: len(bench.decoder.answer)] == bench.decoder.answer


def test_two_decodes_with_one_seed_are_equal_and_count_the_same(tiny):
    runs = []
    for _ in range(2):
        bench = Bench(tiny, Setting(3.0), seed=9)
        bench.decoder.limit = 40
        bench.run()
        runs.append((bench.decoder.answer, bench.meter.spent().tokens, bench.meter.spent().executions))
    assert runs[0] == runs[1]


def test_tokens_are_counted_exactly(tiny):
    bench = Bench(tiny, Setting(0.0))
    bench.run()
    assert bench.meter.spent().tokens == len(bench.decoder.answer)
    guided = Bench(tiny, Setting(1.0))
    guided.decoder.limit = 30
    before = tiny.usage.tokens
    guided.run()
    assert guided.meter.spent().tokens == len(guided.decoder.answer) + tiny.usage.tokens - before


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


def test_a_continuation_is_also_tried_with_the_rest_of_the_faulty_body():
    lines = FIXED.splitlines(keepends=True)
    model = ScriptedModel(BODY, samples=["".join(lines[:3])])
    bench = Bench(model, Setting(1.0, candidates=1, horizon=3))
    assert next(bench.decoder.run()).body == FIXED
    assert bench.decoder.text == ""


def test_what_passes_on_the_way_can_be_left_unused():
    bench = Bench(ScriptedModel(BODY, samples=[FIXED]), Setting(1.0, candidates=1, horizon=9), harvests=False)
    assert bench.run() == []


def test_the_plain_models_lines_are_told_one_by_one():
    bench = Bench(ScriptedModel(FIXED), Setting(0.0))
    bench.run()
    assert [fields["text"] for fields in bench.told("line")] == FIXED.splitlines(keepends=True)


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


@pytest.mark.parametrize("gamma", [0.0, 3.0])
def test_checked_and_kept_draft_tokens_are_told_with_the_lines(gamma):
    copied, changed = (Bench(ScriptedModel(body), Setting(gamma, candidates=0)) for body in (BODY, FIXED))
    counts = []
    for bench in (copied, changed):
        bench.run()
        counts.append([sum(fields[name] for fields in bench.told("line")) for name in ("drafted", "accepted")])
    (all_drafted, all_kept), (drafted, kept) = counts
    assert all_kept == all_drafted > 0
    assert 0 < kept < drafted


@pytest.mark.parametrize(("alpha", "every"), [(None, False), (0.0, True)])
def test_alpha_zero_keeps_tokens_that_neither_branch_holds_plausible(alpha, every):
    def answers(prompt):
        return FIXED if "<trace>" in prompt else BODY

    bench = Bench(ScriptedModel(answers), Setting(3.0, candidates=1, horizon=1, alpha=alpha))
    bench.run()
    guided, _ = bench.decoder._distributions([], True)
    assert np.isfinite(guided).all() == every


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


def test_a_body_that_may_not_run_never_reaches_a_test_and_is_told_of_once():
    bench = Bench(ScriptedModel(BODY), Setting(0.0))
    body = "    import sys\n    return sys.modules\n"
    before = bench.session.executions
    assert bench.trials.run([body, body]) == [None, None]
    assert bench.trials.run([body]) == [None]
    assert bench.session.executions == before
    assert [fields["reason"] for fields in bench.told("refused")] == ["it imports sys, which the file does not"]
