"""Real transformers models, tiny and random: caches, batches and drafts against plain recomputation and `generate`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from bot.decoding.prompt import SPECIAL_TOKENS
from bot.errors import ModelError, ModelMissing
from bot.models.huggingface import HuggingFaceModel, load
from bot.models.language_model import DraftBranch, LanguageModel, text_after
from bot.models.rows import PackedRows

ROOT = Path(__file__).resolve().parents[1]
CHAT = (
    "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}{% endfor %}{% if add_generation_prompt %}<|bot|>{% endif %}"
)
SMALL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "max_position_embeddings": 256}
GQA = {**SMALL, "num_key_value_heads": 2, "intermediate_size": 48}
FAMILIES = {
    "llama": lambda size: transformers.LlamaConfig(vocab_size=size, **GQA),
    "qwen2": lambda size: transformers.Qwen2Config(vocab_size=size, **GQA),
    "gpt_neox": lambda size: transformers.GPTNeoXConfig(vocab_size=size, intermediate_size=48, **SMALL),
    "starcoder2": lambda size: transformers.Starcoder2Config(vocab_size=size, **GQA),
    "sliding": lambda size: transformers.MistralConfig(vocab_size=size, sliding_window=8, **GQA),
    "recurrent": lambda size: transformers.MambaConfig(
        vocab_size=size, hidden_size=32, num_hidden_layers=2, state_size=8
    ),
}
FUSED = ("llama", "qwen2")  # those that have a forward pass of our own
PROMPT = "def area(width, height):\n    return width + height\n"


def byte_tokenizer(special: tuple[str, ...] = (), chat: str | None = None) -> transformers.PreTrainedTokenizerFast:
    """A byte-level tokenizer without merges: one token per byte, then the special ones."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({letter: index for index, letter in enumerate(alphabet)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    fast = transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<eos>")
    if special:
        fast.add_special_tokens({"additional_special_tokens": list(special)})
    fast.chat_template = chat
    return fast


def network(family: str, size: int) -> torch.nn.Module:
    torch.manual_seed(7)
    config = FAMILIES[family](size)
    config.bos_token_id, config.eos_token_id, config.pad_token_id = None, None, None
    made = transformers.AutoModelForCausalLM.from_config(config).eval()
    for parameter in made.parameters():  # wide weights: distributions far from uniform, no near-ties
        torch.nn.init.normal_(parameter, std=0.4) if parameter.dim() > 1 else None
    return made


@pytest.fixture(params=FAMILIES)
def model(request) -> HuggingFaceModel:
    tokenizer = byte_tokenizer()
    return HuggingFaceModel(request.param, network(request.param, len(tokenizer)), tokenizer)


@pytest.fixture
def llama() -> HuggingFaceModel:
    tokenizer = byte_tokenizer()
    return HuggingFaceModel("llama", network("llama", len(tokenizer)), tokenizer)


def uncached(model: HuggingFaceModel, ids: list[int]) -> torch.Tensor:
    with torch.inference_mode():
        return torch.log_softmax(model._network(input_ids=torch.tensor([ids])).logits[0].float(), dim=-1)


def close(left, right) -> bool:
    return bool(torch.allclose(torch.as_tensor(left), torch.as_tensor(right), atol=1e-4))


def saved(model: HuggingFaceModel, place: Path) -> str:
    model._network.save_pretrained(place)
    model._tokenizer.save_pretrained(place)
    return str(place)


def test_greedy_decoding_is_what_generate_does_token_for_token(model):
    ids = model.encode(PROMPT)
    options = {} if model._engine.croppable else {"use_cache": False}
    wanted = model._network.generate(
        torch.tensor([ids]), attention_mask=torch.ones(1, len(ids)), do_sample=False, max_new_tokens=24, **options
    )
    branch = model.branch(ids)
    for _ in range(24):
        branch.append([int(branch.logprobs().argmax())])
    assert list(branch.ids) == wanted[0].tolist()


def test_cached_distributions_are_those_of_a_fresh_pass(model):
    ids = model.encode(PROMPT)
    branch = model.branch(ids[:20])
    assert close(branch.logprobs(), uncached(model, ids[:20])[-1])
    branch.append(ids[20:23])
    branch.append(ids[23:30])
    assert close(branch.logprobs(), uncached(model, ids[:30])[-1])


@pytest.mark.parametrize("cut", [1, 5, 19, 20, 30])
def test_a_rebased_branch_forgets_what_it_must_and_no_more(model, cut):
    ids = model.encode(PROMPT)
    branch = model.branch(ids)
    branch.logprobs()
    other = [*ids[:cut], *model.encode("x = 1\n")]
    before = model.usage.positions
    branch.rebase(other[:cut], other[cut:])
    assert close(branch.logprobs(), uncached(model, other)[-1])
    assert model.usage.positions - before == (len(other) - cut if model._engine.croppable else len(other))


def test_a_branch_rebased_onto_its_own_beginning_still_knows_its_distribution(model):
    ids = model.encode(PROMPT)
    branch = model.branch(ids)
    branch.logprobs()
    branch.rebase(ids[:10], ())
    assert close(branch.logprobs(), uncached(model, ids[:10])[-1])


def test_rebasing_onto_the_same_tokens_computes_nothing(model):
    ids = model.encode(PROMPT)
    branch = model.branch(ids)
    branch.logprobs()
    before = model.usage.positions
    branch.rebase(ids[:9], ids[9:])
    branch.logprobs()
    assert model.usage.positions == before


def test_a_new_branch_borrows_what_a_living_one_has_computed(llama):
    ids = llama.encode(PROMPT)
    first = llama.branch(ids)
    first.logprobs()
    before = llama.usage.positions
    second = llama.branch([*ids[:30], *llama.encode("!!")])
    assert close(second.logprobs(), uncached(llama, list(second.ids))[-1])
    assert llama.usage.positions - before == 2
    assert close(first.logprobs(), uncached(llama, ids)[-1])


@pytest.mark.parametrize("warm", [False, True])
def test_a_draft_is_checked_in_one_pass(model, warm):
    ids = model.encode(PROMPT)
    branch = model.branch(ids[:25])
    assert isinstance(branch, DraftBranch)
    if warm:
        branch.logprobs()
    before = model.usage.passes
    found = branch.along(ids[25:33])
    assert model.usage.passes - before == 1
    assert close(found, uncached(model, ids[:33])[24:])
    assert list(branch.ids) == ids[:33]
    assert close(branch.logprobs(), found[-1])


def test_drafts_of_several_branches_are_checked_together(model):
    ids = model.encode(PROMPT)
    branches = [model.branch(ids[:25]), model.branch(ids[5:20]), model.branch(ids[:9])]
    branches[1].logprobs()
    before = model.usage.passes
    found = model.along(branches, [ids[25:33], ids[20:22], ()])
    assert [len(rows) for rows in found] == [9, 3, 1]
    assert model.usage.passes - before == (1 if model.name in FUSED else 3)
    assert close(found[0], uncached(model, ids[:33])[24:])
    assert close(found[1], uncached(model, ids[5:22])[14:])
    assert close(found[2], uncached(model, ids[:9])[-1:])
    assert close(np.stack(model.advance(branches)), np.stack([rows[-1] for rows in found]))


def test_scoring_leaves_the_branch_as_it_was(model):
    ids = model.encode(PROMPT)
    branch = model.branch(ids[:25])
    branch.logprobs()
    expected = uncached(model, ids)[24:-1].gather(1, torch.tensor(ids[25:])[:, None])[:, 0]
    assert close(model.score(branch, ids[25:]), expected)
    assert list(branch.ids) == ids[:25]
    assert close(branch.logprobs(), uncached(model, ids[:25])[-1])


def test_drafts_scored_together_have_the_scores_they_have_alone(model):
    branch = model.branch(model.encode(PROMPT))
    drafts = [model.encode(text) for text in ("x", "return 1\n", "", "a much longer line than the others\n", "yy")]
    alone = [float(model.score(branch, draft).sum()) for draft in drafts]
    assert close(model.score_many(branch, drafts), alone)


def test_what_drafts_have_in_common_is_computed_once(llama):
    branch = llama.branch(llama.encode(PROMPT))
    branch.logprobs()
    before = llama.usage.positions
    llama.score_many(
        branch, [llama.encode(text) for text in ("    return one\n", "    return two\n", "    return one\n")]
    )
    assert llama.usage.positions - before == len("    return one") + len("two")


def test_rows_are_packed_where_the_network_allows_it(model):
    branch = model.branch(model.encode(PROMPT))
    branch.logprobs()
    before = model.usage.passes
    assert isinstance(model._rows(branch), PackedRows) == (model.name not in ("sliding", "recurrent"))
    assert model.usage.passes == before


def test_packed_rows_of_different_lengths_see_only_themselves(llama):
    ids = llama.encode(PROMPT)
    branch = llama.branch(ids)
    rows = llama._rows(branch)
    assert isinstance(rows, PackedRows)
    one, two = llama.encode("x + 1"), llama.encode("return")
    rows.extend([(0, one[:3]), (1, two[:1])])
    rows.extend([(1, two[1:4])])
    first, second = rows.extend([(0, one[3:]), (1, two[4:])])
    assert close(first[-1], uncached(llama, ids + one)[-1])
    assert close(second[-1], uncached(llama, ids + two)[-1])
    rows.close()
    assert close(branch.along(one)[-1], uncached(llama, ids + one)[-1])


def test_a_sampled_row_has_the_distribution_of_its_own_prefix(model):
    """At temperature zero every row of the batch is the greedy continuation."""
    ids = model.encode(PROMPT)
    branch = model.branch(ids)
    greedy = model.branch(ids)
    for _ in range(12):
        greedy.append([int(greedy.logprobs().argmax())])
    options = {"top_p": 1.0, "seed": 0, "limit": 12, "stop": lambda text: False}
    rows = model.sample(branch, 3, temperature=0.0, **options)
    assert rows == [list(greedy.ids)[len(ids) :]] * 3
    assert list(branch.ids) == ids


def test_sampling_is_repeated_by_its_seed_and_varies_by_row(llama):
    branch = llama.branch(llama.encode(PROMPT))
    options = {"temperature": 1.5, "top_p": 0.95, "limit": 10, "stop": lambda text: False}
    rows = llama.sample(branch, 4, seed=3, **options)
    assert rows == llama.sample(branch, 4, seed=3, **options)
    assert rows != llama.sample(branch, 4, seed=4, **options)
    assert len({tuple(row) for row in rows}) > 1


def test_each_row_stops_by_itself_and_stopped_rows_cost_nothing(llama):
    branch = llama.branch(llama.encode(PROMPT))
    branch.logprobs()
    options = {"temperature": 1.5, "top_p": 1.0, "seed": 1, "limit": 12}
    full = llama.sample(branch, 3, stop=lambda text: False, **options)
    first = text_after(llama, branch.ids, full[1][:1])
    before = llama.usage.positions, llama.usage.tokens
    rows = llama.sample(branch, 3, stop=lambda text: text.startswith(first), **options)
    assert rows[1] == full[1][:1]
    assert llama.usage.tokens - before[1] == sum(map(len, rows))
    assert llama.usage.positions - before[0] == sum(len(row) - 1 for row in rows)


def test_an_end_token_ends_a_row_and_is_kept(llama):
    branch = llama.branch(llama.encode(PROMPT))
    options = {"temperature": 1.5, "top_p": 1.0, "seed": 1, "stop": lambda text: False}
    token = llama.sample(branch, 1, limit=6, **options)[0][3]
    llama._end_ids = frozenset({token})
    row = llama.sample(branch, 1, limit=6, **options)[0]
    assert row[-1] == token
    assert token not in row[:-1]


def test_sampling_stops_where_the_context_ends(llama):
    llama.context = len(llama.encode(PROMPT)) + 2
    options = {"temperature": 1.0, "top_p": 1.0, "seed": 1, "stop": lambda text: False}
    rows = llama.sample(llama.branch(llama.encode(PROMPT)), 2, limit=50, **options)
    assert all(len(row) <= 2 for row in rows)


def test_a_prompt_longer_than_the_context_is_an_error_with_a_hint(llama):
    llama.context = 10
    with pytest.raises(ModelError) as caught:
        llama.branch(llama.encode(PROMPT)).logprobs()
    assert "context" in caught.value.message
    assert caught.value.hint


def test_a_model_that_knows_our_special_tokens_reads_tagged_prompts():
    tokenizer = byte_tokenizer(SPECIAL_TOKENS, chat=CHAT)
    model = HuggingFaceModel("tiny", network("llama", len(tokenizer)), tokenizer)
    assert model.style == "tagged"
    assert model.chat is None
    assert set(model.encode("<end>")) < set(model.end_ids)
    assert model.decode(model.encode("x<end>")) == "x<end>"


def test_any_other_model_reads_instructions_through_its_chat_template_if_it_has_one():
    for chat, wanted in ((CHAT, "<|user|>fix<|bot|>"), (None, None)):
        tokenizer = byte_tokenizer(chat=chat)
        model = HuggingFaceModel("tiny", network("llama", len(tokenizer)), tokenizer)
        assert model.style == "instruct"
        assert (model.chat("fix") if model.chat else None) == wanted


def test_it_is_a_language_model(llama):
    checked: LanguageModel = llama
    assert checked.context == 256


def test_a_directory_is_loaded_with_its_fingerprint(tmp_path, llama):
    model = load(saved(llama, tmp_path), device="cpu", threads=1)
    assert len(model.fingerprint) == 64
    ids = model.encode(PROMPT)
    assert close(model.branch(ids).logprobs(), uncached(llama, ids)[-1])


def test_a_llama_loaded_in_int8_is_near_what_it_is_in_float32(tmp_path, llama):
    ids = llama.encode(PROMPT)
    exact = uncached(llama, ids)[-1].exp()
    model = load(saved(llama, tmp_path), dtype="int8")
    assert model.device == "cpu"
    found = torch.as_tensor(model.branch(ids).logprobs()).exp()
    assert 0 < (found - exact).abs().max() < 0.2


def test_a_network_without_int8_products_is_refused_in_int8(tmp_path):
    tokenizer = byte_tokenizer()
    model = HuggingFaceModel("gpt_neox", network("gpt_neox", len(tokenizer)), tokenizer)
    with pytest.raises(ModelError, match="int8") as caught:
        load(saved(model, tmp_path), dtype="int8")
    assert "float32" in caught.value.hint


ALONE = """
import os, sys
from bot.models.huggingface import load
assert "torch" not in sys.modules
load(sys.argv[1], device="cpu")
import torch
print(os.environ["OMP_WAIT_POLICY"], torch.get_num_threads())
"""
GUEST = """
import os, sys, torch
torch.set_num_threads(3)
from bot.models.huggingface import load
load(sys.argv[1], device="cpu")
print("OMP_WAIT_POLICY" in os.environ, torch.get_num_threads())
"""


@pytest.mark.parametrize(("script", "told"), [(ALONE, "PASSIVE 1"), (GUEST, "False 3")], ids=["alone", "guest"])
def test_threads_wait_passively_and_a_process_that_has_torch_already_is_left_as_it_is(script, told, tmp_path, llama):
    environment = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    run = [sys.executable, "-c", script, saved(llama, tmp_path)]
    done = subprocess.run(run, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.split() == told.split()


@pytest.mark.parametrize("name", ["/no/such/directory", "./nor/this", "a/b/c"])
def test_a_directory_that_is_not_there_is_named(name):
    with pytest.raises(ModelMissing, match="There is no directory"):
        load(name)


def test_a_directory_without_a_model_is_missing_a_model(tmp_path):
    with pytest.raises(ModelMissing, match=r"config\.json"):
        load(str(tmp_path))


def test_broken_weights_are_an_error_with_a_hint(tmp_path, llama):
    saved(llama, tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"not weights")
    with pytest.raises(ModelError) as caught:
        load(str(tmp_path))
    assert not isinstance(caught.value, ModelMissing)
    assert caught.value.hint


def test_a_hub_model_that_cannot_be_had_is_missing(monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(ModelMissing) as caught:
        load("nobody/has-this-model", revision="main")
    assert "hf download" in caught.value.hint


@pytest.mark.parametrize("options", [{"dtype": "float7"}, {"device": "cuda:9"}, {"dtype": "int8", "device": "cuda"}])
def test_an_impossible_device_or_dtype_is_refused(options, tmp_path, llama):
    saved(llama, tmp_path)
    with pytest.raises(ModelError):
        load(str(tmp_path), **options)
