"""The fused forward pass against transformers' own, on tiny random networks of the shapes it claims to run."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import transformers

from bot.models.engine import Part
from bot.models.language_model import Usage
from bot.models.linear import Half
from bot.models.llama import LlamaEngine, fused_engine, shape_of

BASE = {"vocab_size": 97, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3, "num_attention_heads": 4,
        "max_position_embeddings": 128}  # fmt: skip
SHAPES = {
    "llama": (transformers.LlamaConfig, {}),
    "shared heads": (transformers.LlamaConfig, {"num_key_value_heads": 2}),
    "one head for all": (transformers.LlamaConfig, {"num_key_value_heads": 1}),
    "tied": (transformers.LlamaConfig, {"tie_word_embeddings": True}),
    "other rotation": (transformers.LlamaConfig, {"rope_parameters": {"rope_type": "default", "rope_theta": 500.0}}),
    "wide heads": (transformers.LlamaConfig, {"head_dim": 12, "num_key_value_heads": 2, "rms_norm_eps": 1e-3}),
    "one layer": (transformers.LlamaConfig, {"num_hidden_layers": 1, "tie_word_embeddings": True}),
    "qwen2": (transformers.Qwen2Config, {"num_key_value_heads": 2}),
    "mistral": (transformers.MistralConfig, {"num_key_value_heads": 2, "sliding_window": None}),
}
IDS = [(7 * place * place + 3) % 97 for place in range(60)]


def network(name: str, *, half: bool = False, **changes) -> torch.nn.Module:
    """A network with wide random weights, biases and norms too; `half`: weights that 16 bits hold."""
    kind, settings = SHAPES[name]
    torch.manual_seed(11)
    made = transformers.AutoModelForCausalLM.from_config(kind(**{**BASE, **settings, **changes})).eval()
    for parameter in made.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
        if half:
            parameter.data = parameter.data.bfloat16().float()
    return made


def wanted(made: torch.nn.Module, ids: list[int] = IDS) -> torch.Tensor:
    with torch.inference_mode():
        return torch.log_softmax(made(input_ids=torch.tensor([ids])).logits[0], dim=-1)


@pytest.fixture(params=[(name, half) for name in SHAPES for half in (False, True)], ids=str)
def pair(request) -> tuple[LlamaEngine, torch.Tensor]:
    """An engine, and the distributions along IDS as transformers computes them."""
    name, half = request.param
    made = network(name, half=half)
    expected = wanted(made)
    engine = fused_engine(made, Usage())
    assert engine is not None
    return engine, expected


def close(left, right) -> bool:
    return bool((torch.as_tensor(left) - torch.as_tensor(right)).abs().max() < 1e-4)


def test_a_whole_text_has_transformers_distributions(pair):
    engine, expected = pair
    (found,) = engine.run([Part(IDS, None, len(IDS))])
    assert close(found, expected)


@pytest.mark.parametrize("keep", [1, 2, 9])
def test_the_last_tokens_alone_have_them_too(pair, keep):
    engine, expected = pair
    (found,) = engine.run([Part(IDS, engine.new_cache(), keep)])
    assert close(found, expected[-keep:])


def test_pieces_behind_a_cache_that_is_cropped_and_copied_have_them(pair):
    engine, expected = pair
    cache = engine.new_cache()
    engine.run([Part(IDS[:20], cache, 1)])
    engine.run([Part([5, 6, 7], cache, 1)])
    cache.keep_first(20)
    other = cache.copied(12)
    assert close(engine.run([Part(IDS[20:33], cache, 13)])[0], expected[20:33])
    assert close(engine.run([Part(IDS[33:34], cache, 1)])[0], expected[33:34])
    assert close(engine.run([Part(IDS[12:40], other, 3)])[0], expected[37:40])
    assert close(engine.run([Part(IDS[34:50], cache, 2)])[0], expected[48:50])


def test_parts_of_several_texts_run_in_one_pass_and_do_not_see_each_other(pair):
    engine, expected = pair
    first, second, third = engine.new_cache(), engine.new_cache(), engine.new_cache()
    engine.run([Part(IDS[:10], first, 1), Part(IDS[:30], second, 1)])
    before = engine.usage.passes
    found = engine.run([Part(IDS[10:11], first, 1), Part(IDS[30:38], second, 4), Part(IDS[:5], third, 5)])
    assert engine.usage.passes == before + 1
    assert close(found[0], expected[10:11])
    assert close(found[1], expected[34:38])
    assert close(found[2], expected[:5])


def test_rows_that_begin_alike_are_computed_once_and_right(pair):
    engine, expected = pair
    cache = engine.new_cache()
    engine.run([Part(IDS[:20], cache, 1)])
    rows = engine.rows(cache, IDS[:20])
    before = engine.usage.positions
    found = rows.extend([(0, IDS[20:25]), (1, [*IDS[20:23], 1, 2]), (2, IDS[20:25]), (3, [4])])
    assert engine.usage.positions - before == 5 + 2 + 1
    assert close(found[0], expected[20:25])
    assert close(found[1][:3], expected[20:23])
    assert close(found[2], expected[20:25])
    later = rows.extend([(0, IDS[25:27]), (2, IDS[25:26])])
    assert close(later[0], expected[25:27])
    assert close(later[1], expected[25:26])
    rows.close()
    assert close(engine.run([Part(IDS[20:22], cache, 2)])[0], expected[20:22])


def test_weights_that_16_bits_hold_are_packed_without_loss_and_others_are_not():
    for half in (False, True):
        engine = fused_engine(network("tied", half=half), Usage())
        assert isinstance(engine._head, Half) == half


def test_a_network_whose_weights_are_taken_over_as_they_are_still_works():
    made = network("shared heads")
    expected = wanted(made)
    fused_engine(made, Usage())
    assert close(wanted(made), expected)


@pytest.mark.parametrize(
    "changes",
    [
        {"hidden_act": "gelu"},
        {"rope_parameters": {"rope_type": "linear", "factor": 2.0, "rope_theta": 1e4}},
        {"rope_parameters": {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
                             "original_max_position_embeddings": 64, "rope_theta": 1e4}},
    ],
)  # fmt: skip
def test_a_llama_with_other_parts_is_left_to_transformers(changes):
    assert fused_engine(network("llama", **changes), Usage()) is None


def test_sliding_windows_and_other_networks_are_left_to_transformers():
    sliding = network("mistral", sliding_window=8)
    neox = transformers.GPTNeoXConfig(**BASE)
    assert shape_of(sliding) is None
    assert shape_of(transformers.AutoModelForCausalLM.from_config(neox)) is None


def test_a_network_that_computes_something_else_is_found_out():
    """Nothing in its configuration tells, only its numbers."""
    made = network("llama")
    made.model.layers[1].mlp.act_fn = torch.nn.GELU()
    assert fused_engine(made, Usage()) is None


def test_half_precision_networks_are_left_to_transformers():
    assert fused_engine(network("llama").bfloat16(), Usage()) is None


def test_int8_is_near_and_does_not_depend_on_what_else_is_computed():
    made = network("shared heads")
    expected = wanted(made)
    engine = fused_engine(made, Usage(), "int8")
    (whole,) = engine.run([Part(IDS, None, len(IDS))])
    cache = engine.new_cache()
    alone = torch.cat([engine.run([Part([token], cache, 1)])[0] for token in IDS])
    assert (whole.exp() - expected.exp()).abs().mean() < 0.01
    assert not close(whole, expected)
    assert np.median((whole - alone).abs().max(-1).values) < 1e-4
