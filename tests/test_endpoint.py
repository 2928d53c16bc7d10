"""A model behind an OpenAI-compatible server: a real HTTP server in a thread, serving a real, tiny model."""

from __future__ import annotations

import itertools
import json
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from bot.decoding.decoder import Decoder
from bot.decoding.guidance import guide
from bot.decoding.prompt import Task, instruct_prompt
from bot.decoding.trials import Meter, Trials
from bot.errors import ModelError
from bot.functions import functions_in
from bot.models.endpoint import KEY, LOGPROBS, EndpointModel, connect
from bot.models.language_model import DraftBranch
from bot.records import Budget, Setting
from tests.fakes import InProcessSession

PROMPT = "def total(values):\n    result = 0\n"
END = "<|endoftext|>"


class TinyModel:
    """A Llama of 32 dimensions with a byte-level tokenizer, and the arithmetic of a completions endpoint."""

    def __init__(self) -> None:
        tokenizer = Tokenizer(models.BPE())
        lines = pre_tokenizers.Split("\n", behavior="isolated")
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence([lines, pre_tokenizers.ByteLevel(add_prefix_space=False)])
        tokenizer.decoder = decoders.ByteLevel()
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        trainer = trainers.BpeTrainer(
            vocab_size=320, initial_alphabet=alphabet, special_tokens=[END], show_progress=False
        )
        tokenizer.train_from_iterator([PROMPT * 3 + "    for value in values:\n        return result\n" * 3], trainer)
        self.tokenizer = tokenizer
        torch.manual_seed(0)
        config = transformers.LlamaConfig(
            vocab_size=tokenizer.get_vocab_size(), hidden_size=32, intermediate_size=48, num_hidden_layers=2,
            num_attention_heads=4, num_key_value_heads=2, initializer_range=0.4, bos_token_id=None, pad_token_id=None,
            eos_token_id=0,
        )  # fmt: skip
        self.network = transformers.LlamaForCausalLM(config).eval()
        self.lock = threading.Lock()

    def encode(self, text: str) -> list[int]:
        return self.tokenizer.encode(text).ids

    def string(self, token: int) -> str:
        return END if token == 0 else self.tokenizer.decode([token])

    def logprobs(self, ids: list[int]) -> torch.Tensor:
        """Return the distributions after each token, (len(ids), V)."""
        with self.lock, torch.inference_mode():
            return torch.log_softmax(self.network(input_ids=torch.tensor([ids])).logits[0].float(), dim=-1)

    def next_strings(self, text: str) -> dict[str, float]:
        row = self.logprobs(self.encode(text))[-1]
        found: dict[str, float] = {}
        for token, value in enumerate(row.tolist()):
            found[self.string(token)] = float(np.logaddexp(found.get(self.string(token), -np.inf), value))
        return found


@dataclass
class Behaviour:
    """How a server behaves, and what it was asked."""

    key: str = ""
    form: str = "completions"  # of log-probabilities: "completions", "chat" or "none"
    echo: bool = True
    batches: bool = True
    lists: bool = False  # several prompts give a list of answers
    most_logprobs: int = 20
    context: int = 512
    zero_tokens: bool = True  # max_tokens may be 0
    failures: list[int] = field(default_factory=list)  # statuses of the next replies
    headers: dict[str, str] = field(default_factory=dict)
    start_token: bool = False  # a start token stands before the prompt
    requests: list[dict[str, Any]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)


class Refused(Exception):
    pass


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body in one packet
    tiny: TinyModel
    behaviour: Behaviour

    def log_message(self, *args: object) -> None: ...

    def do_GET(self) -> None:
        self.handle_request({})

    def do_POST(self) -> None:
        self.handle_request(json.loads(self.rfile.read(int(self.headers["content-length"]))))

    def handle_request(self, body: dict[str, Any]) -> None:
        self.behaviour.paths.append(self.path)
        if self.behaviour.key and self.headers.get("authorization") != f"Bearer {self.behaviour.key}":
            return self.reply(401, {"error": {"message": "invalid key"}})
        if self.behaviour.failures:
            return self.reply(self.behaviour.failures.pop(0), {"error": {"message": "stumbled"}})
        if self.path == "/v1/models":
            return self.reply(200, {"data": [{"id": "tiny", "max_model_len": self.behaviour.context}]})
        if self.path != "/v1/completions":
            return self.reply(404, {"detail": "Not Found"})
        self.behaviour.requests.append(body)
        try:
            self.reply(200, self.completions(body))
        except Refused as error:
            self.reply(400, {"error": {"message": str(error)}})

    def reply(self, status: int, data: Any) -> None:
        payload = json.dumps(data).encode()
        self.send_response(status)
        for name, value in {**self.behaviour.headers, "content-length": str(len(payload))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(payload)

    def completions(self, body: dict[str, Any]) -> Any:
        behaviour = self.behaviour
        prompts = body["prompt"] if isinstance(body["prompt"], list) else [body["prompt"]]
        if len(prompts) > 1 and not behaviour.batches:
            raise Refused("only one prompt is supported")
        if body["logprobs"] > behaviour.most_logprobs:
            raise Refused(f"logprobs must be at most {behaviour.most_logprobs}")
        if body["max_tokens"] == 0 and not behaviour.zero_tokens:
            raise Refused("max_tokens must be at least 1")
        choices = [self.choice(index, prompt, body) for index, prompt in enumerate(prompts)]
        if behaviour.lists and len(prompts) > 1:
            return [{"choices": [{**choice, "index": 0}]} for choice in choices]
        return {"choices": choices[::-1], "usage": {"prompt_tokens": 7, "completion_tokens": 2}}

    def choice(self, index: int, prompt: str, body: dict[str, Any]) -> dict[str, Any]:
        ids = self.tiny.encode(prompt)
        if len(ids) + body["max_tokens"] > self.behaviour.context:
            raise Refused(f"This model's maximum context length is {self.behaviour.context} tokens.")
        generator = torch.Generator().manual_seed(body.get("seed", 0))
        start, finish = len(ids), "length"
        for _ in range(body["max_tokens"]):
            row = self.tiny.logprobs(ids)[-1]
            token = int(row.argmax())
            if body["temperature"] > 0:
                token = int(torch.multinomial((row / body["temperature"]).exp(), 1, generator=generator))
            ids.append(token)
            if token == 0:
                finish = "stop"
                break
        rows = self.tiny.logprobs(ids)
        shown = 0 if body.get("echo") and self.behaviour.echo else start
        entries = []
        for place in range(shown, len(ids)):
            own = float(rows[place - 1, ids[place]]) if place else None
            best = torch.topk(rows[place - 1], body["logprobs"]) if place else None
            top = [(self.tiny.string(int(t)), float(v)) for v, t in zip(*best, strict=True)] if best else []
            entries.append(
                (self.tiny.string(ids[place]), own, [*top, (self.tiny.string(ids[place]), own)] if top else [])
            )
        if self.behaviour.start_token and shown == 0:
            entries = [("<s>", None, []), *entries]
        ids = [token for token in ids if token]
        text = self.tiny.tokenizer.decode(ids[min(shown, len(ids)) :])
        told = {"completions": told_as_completions, "chat": told_as_chat, "none": lambda _: None}[self.behaviour.form]
        return {"index": index, "text": text, "finish_reason": finish, "logprobs": told(entries)}


def told_as_completions(entries: list[Any]) -> dict[str, Any]:
    return {
        "tokens": [token for token, _, _ in entries],
        "token_logprobs": [own for _, own, _ in entries],
        "top_logprobs": [dict(top) if top else None for _, _, top in entries],
    }


def told_as_chat(entries: list[Any]) -> dict[str, Any]:
    return {
        "content": [
            {"token": token, "logprob": own, "top_logprobs": [{"token": t, "logprob": v} for t, v in top[:-1]]}
            for token, own, top in entries
        ]
    }


@pytest.fixture(scope="module")
def tiny() -> Iterator[TinyModel]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield TinyModel()
    torch.set_num_threads(threads)


@contextmanager
def serving(tiny: TinyModel, behaviour: Behaviour) -> Iterator[str]:
    handler = type("BoundHandler", (Handler,), {"tiny": tiny, "behaviour": behaviour})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/v1"
        finally:
            server.shutdown()
            thread.join()


class Naps(list[float]):
    def __call__(self, seconds: float) -> None:
        self.append(seconds)


@contextmanager
def connected(tiny: TinyModel, behaviour: Behaviour | None = None) -> Iterator[EndpointModel]:
    with serving(tiny, behaviour or Behaviour()) as url:
        yield connect(url, environment={}, sleep=Naps())


FORMS = [
    Behaviour(),
    Behaviour(form="chat", lists=True, echo=False),
    Behaviour(batches=False),
    Behaviour(start_token=True),
]


@pytest.fixture(params=FORMS, ids=["vllm", "llama.cpp", "one prompt a request", "start token"])
def model(request: pytest.FixtureRequest, tiny: TinyModel) -> Iterator[EndpointModel]:
    with connected(tiny, request.param) as model:
        yield model


def whole_characters(listed: dict[str, float]) -> dict[str, float]:
    return {text: value for text, value in listed.items() if "\N{REPLACEMENT CHARACTER}" not in text}


def test_a_distribution_holds_what_the_server_lists_and_sums_to_one(model: EndpointModel, tiny: TinyModel) -> None:
    row = model.branch(model.encode(PROMPT)).logprobs()
    assert row.dtype == np.float32
    assert np.exp(row.astype(np.float64)).sum() == pytest.approx(1.0, abs=1e-4)
    best = sorted(whole_characters(tiny.next_strings(PROMPT)).items(), key=lambda item: -item[1])[:8]
    for text, value in best:
        assert row[model._id(text)] == pytest.approx(value, abs=1e-3)
    assert int(row.argmax()) == model._id(best[0][0])


def test_distributions_of_two_branches_have_one_shape_and_share_their_tokens(model: EndpointModel) -> None:
    plain, informed = model.branch(model.encode(PROMPT)), model.branch(model.encode("# a trace\n" + PROMPT))
    conditioned = informed.logprobs()
    before = plain.logprobs()
    assert conditioned.shape == before.shape
    only = [token for token in np.argsort(conditioned)[-20:] if token not in set(np.argsort(before)[-20:])]
    assert np.isfinite(before[only]).all()
    guided = guide(before, conditioned, 1.5)
    assert model.decode([int(guided.argmax())]) or int(guided.argmax()) in model.end_ids


def test_a_token_that_no_branch_lists_never_wins_under_guidance(model: EndpointModel) -> None:
    plain, informed = model.advance([model.branch(model.encode(text)) for text in (PROMPT, "x = 1\n" + PROMPT)])
    listed = set(np.argsort(plain)[-20:]) | set(np.argsort(informed)[-20:])
    for gamma in (0.5, 1.5, 3.0):
        assert int(guide(plain, informed, gamma).argmax()) in listed


def test_writing_token_by_token_gives_what_the_server_writes_greedily(model: EndpointModel, tiny: TinyModel) -> None:
    branch = model.branch(model.encode(PROMPT))
    text = PROMPT
    for _ in range(6):
        token = int(branch.logprobs().argmax())
        wanted = max(whole_characters(tiny.next_strings(text)).items(), key=lambda item: item[1])[0]
        assert model.decode([token]) == ("" if wanted == END else wanted)
        branch.append([token])
        text += model.decode([token])


def test_distributions_along_a_draft_are_those_at_each_token(model: EndpointModel) -> None:
    draft = model.encode("    for value in values:\n")
    branch = model.branch(model.encode(PROMPT))
    assert isinstance(branch, DraftBranch)
    rows = branch.along(draft)
    assert len(rows) == len(draft) + 1
    other = model.branch(model.encode(PROMPT))
    for row, token in zip(rows, [*draft, None], strict=True):
        np.testing.assert_array_equal(row, other.logprobs())
        other.append([] if token is None else [token])
    assert model.decode(branch.ids) == model.decode(other.ids)


def test_a_rebased_branch_is_prompt_and_answer(model: EndpointModel) -> None:
    branch = model.branch(model.encode("x"))
    branch.rebase(model.encode(PROMPT), model.encode("    return"))
    np.testing.assert_array_equal(branch.logprobs(), model.branch(model.encode(PROMPT + "    return")).logprobs())


def direct_score(tiny: TinyModel, before: str, draft: str) -> float:
    ids = tiny.encode(before + draft)
    start = len(tiny.encode(before))
    assert tiny.encode(before) == ids[:start]
    rows = tiny.logprobs(ids)
    return sum(float(rows[place - 1, ids[place]]) for place in range(start, len(ids)))


@pytest.mark.parametrize("behaviour", [Behaviour(), Behaviour(start_token=True), Behaviour(zero_tokens=False)])
def test_a_draft_is_scored_by_the_echoed_prompt(tiny: TinyModel, behaviour: Behaviour) -> None:
    drafts = ["    return result\n", "    for value in values:\n", "    x = 'ä'\n"]
    with connected(tiny, behaviour) as model:
        branch = model.branch(model.encode(PROMPT))
        asked = len(behaviour.requests)
        scores = model.score_many(branch, [model.encode(draft) for draft in drafts])
        assert len(behaviour.requests) == asked + 2  # half a character does not add up: that draft goes token by token
        single = model.score(branch, model.encode(drafts[0]))
    assert scores[:2] == pytest.approx([direct_score(tiny, PROMPT, draft) for draft in drafts[:2]], abs=1e-3)
    assert single.sum() == pytest.approx(scores[0], abs=1e-3)
    assert np.isfinite(scores[2])


def test_a_token_across_the_start_of_a_draft_counts_for_its_first_token(tiny: TinyModel) -> None:
    with connected(tiny) as model:
        scores = model.score(model.branch(model.encode("def total(val")), model.encode("ues):\n"))
    ids = tiny.encode("def total(values):\n")
    rows = tiny.logprobs(ids)
    crossing = next(place for place in range(len(ids)) if len(tiny.tokenizer.decode(ids[: place + 1])) > 13)
    whole = sum(float(rows[place - 1, ids[place]]) for place in range(crossing, len(ids)))
    assert scores.sum() == pytest.approx(whole, abs=1e-3)
    assert scores[0] < 0.0


def test_without_echo_a_draft_of_listed_tokens_is_scored_token_by_token(tiny: TinyModel) -> None:
    with connected(tiny, Behaviour(echo=False)) as model:
        branch = model.branch(model.encode(PROMPT))
        ids, total = [], 0.0
        for _ in range(4):
            row = branch.logprobs()
            ids.append(int(row.argmax()))
            total += float(row.max())
            branch.append(ids[-1:])
        start = model.branch(model.encode(PROMPT))
        assert model.score(start, ids).sum() == pytest.approx(total, abs=1e-4)
        assert model.score_many(start, [ids, [], ids[:2]])[1] == 0.0
        assert list(start.ids) == model.encode(PROMPT)


def test_samples_depend_on_the_seed_only(model: EndpointModel) -> None:
    branch = model.branch(model.encode(PROMPT))

    def draw(seed: int) -> list[list[int]]:
        return model.sample(branch, 3, temperature=0.8, top_p=1.0, seed=seed, limit=12, stop=lambda _: False)

    first = draw(1)
    assert first == draw(1)
    assert first != draw(2)
    assert len({tuple(row) for row in first}) > 1
    assert all(0 < len(row) <= 12 for row in first)


def test_a_sample_ends_where_stop_says(model: EndpointModel) -> None:
    branch = model.branch(model.encode(PROMPT))
    rows = model.sample(branch, 2, temperature=0.8, top_p=1.0, seed=3, limit=60, stop=lambda text: len(text) >= 7)
    for row in rows:
        ended = bool(row) and row[-1] in model.end_ids
        assert ended or (len(model.decode(row)) >= 7 > len(model.decode(row[:-1])))


def test_a_sample_that_ends_keeps_its_end_token(tiny: TinyModel) -> None:
    bias = tiny.network.lm_head.weight.data.clone()
    tiny.network.lm_head.weight.data[0] = 3 * tiny.network.lm_head.weight.data.mean(dim=0) + 2.0
    try:
        with connected(tiny) as model:
            branch = model.branch(model.encode(PROMPT))
            rows = model.sample(branch, 6, temperature=1.2, top_p=1.0, seed=0, limit=100, stop=lambda _: False)
            ended = [row for row in rows if row[-1] in model.end_ids]
            assert ended
            assert all(token not in model.end_ids for row in ended for token in row[:-1])
    finally:
        tiny.network.lm_head.weight.data = bias


def test_continuations_longer_than_one_request_go_on_where_they_were(tiny: TinyModel) -> None:
    behaviour = Behaviour()
    with connected(tiny, behaviour) as model:
        branch = model.branch(model.encode(PROMPT))
        row = model.sample(branch, 1, temperature=0.3, top_p=1.0, seed=5, limit=100, stop=lambda _: False)[0]
        assert len(row) <= 100
        asked = [request["prompt"] for request in behaviour.requests if request["temperature"] == 0.3]
        assert all(model.decode([*branch.ids, *row]).startswith(prompt) for prompt in asked)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(max_size=60) | st.sampled_from([PROMPT, "</s> <|im_end|> x", "a\r\n\tb  c   \n\n"]))
def test_text_survives_encoding(tiny: TinyModel, text: str) -> None:
    model = _shared(tiny)
    assert model.decode(model.encode(text)) == text


_SHARED: list[EndpointModel] = []


def _shared(tiny: TinyModel) -> EndpointModel:
    if not _SHARED:
        with connected(tiny) as model:
            model.branch(model.encode(PROMPT)).logprobs()
            model.score(model.branch(model.encode("a")), model.encode(PROMPT))
            _SHARED.append(model)
    return _SHARED[0]


def test_the_servers_own_tokens_are_used_once_they_are_known(tiny: TinyModel) -> None:
    with connected(tiny) as model:
        line = "    result = values\n"
        model.score(model.branch(model.encode(PROMPT)), model.encode(line))
        strings = [model.decode([token]) for token in model.encode(line)]
        assert strings == [tiny.string(token) for token in tiny.encode(line)]


def test_what_was_computed_is_counted(tiny: TinyModel) -> None:
    with connected(tiny) as model:
        before = (model.usage.passes, model.usage.positions)
        branch = model.branch(model.encode(PROMPT))
        branch.logprobs()
        branch.logprobs()
        assert (model.usage.passes, model.usage.positions) == (before[0] + 2, before[1] + 9)
        rows = model.sample(branch, 2, temperature=0.5, top_p=1.0, seed=0, limit=5, stop=lambda _: False)
        assert model.usage.tokens == sum(len(row) for row in rows)


def test_the_model_says_what_it_is(tiny: TinyModel) -> None:
    with connected(tiny, Behaviour(context=333)) as model:
        assert model.name.startswith("tiny at http://127.0.0.1:")
        assert (model.context, model.style, model.chat) == (333, "instruct", None)
        assert len(model.fingerprint) == 64


def test_fewer_logprobs_are_asked_for_when_the_server_gives_fewer(tiny: TinyModel) -> None:
    behaviour = Behaviour(most_logprobs=5)
    with connected(tiny, behaviour) as model:
        model.branch(model.encode(PROMPT)).logprobs()
    assert [request["logprobs"] for request in behaviour.requests][:3] == list(LOGPROBS[:3])
    assert behaviour.requests[-1]["logprobs"] == 5


def test_a_server_without_logprobs_is_refused(tiny: TinyModel) -> None:
    with (
        serving(tiny, Behaviour(form="none")) as url,
        pytest.raises(ModelError, match="no log-probabilities") as caught,
    ):
        connect(url, environment={})
    assert "vLLM" in caught.value.hint


def test_a_wrong_key_is_told_without_showing_it(tiny: TinyModel, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with serving(tiny, Behaviour(key="right-key-3141")) as url:
        with pytest.raises(ModelError, match="401") as caught:
            connect(url, environment={KEY: "wrong-key-2718"})
        assert KEY in caught.value.hint
        model = connect(url, environment={KEY: "right-key-3141"})
        model.branch(model.encode(PROMPT)).logprobs()
    told = caplog.text + str(caught.value) + caught.value.hint + repr(vars(model)) + model.name
    assert "wrong-key" not in told
    assert "right-key" not in told


def test_a_server_that_stumbles_is_asked_again_with_growing_pauses(tiny: TinyModel) -> None:
    naps = Naps()
    with serving(tiny, Behaviour(failures=[500, 503, 502])) as url:
        assert connect(url, environment={}, sleep=naps).name.startswith("tiny")
    assert naps == sorted(naps)
    assert len(naps) == 3


def test_the_pause_is_at_least_what_an_overloaded_server_asks_for(tiny: TinyModel) -> None:
    naps = Naps()
    with serving(tiny, Behaviour(failures=[429], headers={"retry-after": "7"})) as url:
        connect(url, environment={}, sleep=naps)
    assert naps == [7.0]


def test_a_server_that_stays_broken_is_an_error(tiny: TinyModel) -> None:
    with serving(tiny, Behaviour(failures=[500] * 9)) as url, pytest.raises(ModelError, match="500 5 times: stumbled"):
        connect(url, environment={}, sleep=Naps())


def test_a_prompt_that_does_not_fit_is_an_error_with_a_hint(tiny: TinyModel) -> None:
    with connected(tiny, Behaviour(context=40)) as model:
        branch = model.branch(model.encode(PROMPT * 9))
        with pytest.raises(ModelError, match="does not fit in the context") as caught:
            branch.logprobs()
    assert "context" in caught.value.hint


def test_no_server_is_an_error_with_a_hint(tiny: TinyModel) -> None:
    with serving(tiny, Behaviour()) as url:
        pass
    with pytest.raises(ModelError, match="No server answers") as caught:
        connect(url, environment={}, sleep=Naps())
    assert "--model" in caught.value.hint


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda url: f"{url}#other", "does not serve other"),
        (lambda url: url.removesuffix("/v1"), "no models to list"),
        (lambda url: url.replace("http://", "http://user:secret@"), "holds credentials"),
        (lambda url: "http://", "not the URL of a server"),
    ],
)
def test_a_url_that_cannot_be_used_is_an_error(tiny: TinyModel, change: Any, message: str) -> None:
    with serving(tiny, Behaviour()) as url, pytest.raises(ModelError, match=message) as caught:
        connect(change(url), environment={}, sleep=Naps())
    assert "secret" not in str(caught.value)
    assert caught.value.hint


def test_a_server_whose_answers_mean_nothing_is_an_error(tiny: TinyModel) -> None:
    class Nonsense(Handler):
        def completions(self, body: dict[str, Any]) -> Any:
            return {"choices": [{"text": None}]}

    Nonsense.tiny, Nonsense.behaviour = tiny, Behaviour()
    with ThreadingHTTPServer(("127.0.0.1", 0), Nonsense) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            with pytest.raises(ModelError, match="answer without text"):
                connect(f"http://127.0.0.1:{server.server_address[1]}/v1", environment={}, sleep=Naps())
        finally:
            server.shutdown()
            thread.join()


def test_the_decoder_writes_the_same_body_with_and_without_drafts(tiny: TinyModel) -> None:
    source = b"def total(values):\n    result = 0\n    return result\n"
    function = functions_in(source)[0]
    bodies = []
    for drafts in (True, False):
        with connected(tiny, Behaviour(context=4096)) as model:
            session = InProcessSession("total", {"t::sum": lambda names: names["total"]([1]) == 1})
            trials = Trials(function, source, session, lambda event, **fields: None)
            meter = Meter(model, trials, itertools.count().__next__)
            decoder = Decoder(
                instruct_prompt(Task(function.text, function.header_lines, ("assert total([1]) == 1",))),
                model,
                trials,
                Setting(gamma=1.5, candidates=1, horizon=1),
                meter,
                Budget(None, 12, None, None),
                emit=lambda event, **fields: None,
                drafts=drafts,
            )
            list(decoder.run())
            bodies.append(decoder.text)
    assert bodies[0] == bodies[1]
    assert bodies[0]
