"""The inference benchmark on a tiny network: four ways do the same work, and the table has a line for each job."""

from __future__ import annotations

import pytest
import torch
import transformers

from benchmarks.inference import jobs, material, measure, networks, table, ways_of


@pytest.fixture(scope="module")
def tiny():
    _, tokenizer = networks(None)
    given = material(tokenizer)
    config = transformers.LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=16, intermediate_size=24, num_hidden_layers=1, num_attention_heads=2,
        tie_word_embeddings=True, bos_token_id=None, eos_token_id=None, pad_token_id=0,
    )  # fmt: skip

    def make():
        torch.manual_seed(0)
        return transformers.AutoModelForCausalLM.from_config(config).eval()

    return given, ways_of(make, tokenizer, given)


def test_every_way_computes_the_same_tokens(tiny):
    given, ways = tiny
    for job in jobs(given).values():
        assert len({job(way)() for way in ways.values()}) == 1


def test_the_table_compares_with_the_stock_loop(tiny):
    given, ways = tiny
    found = measure({name: ways[name] for name in ("stock", "fused")}, given, 1)
    lines = table(found).splitlines()
    assert lines[0] == "| what | stock | fused |"
    assert len(lines) == 2 + len(jobs(given))
    assert all(line.count("(x") == 1 for line in lines[2:])


def test_drafts_are_32_edits_of_one_line_and_32_strangers(tiny):
    given, _ = tiny
    assert len(given.edits) == len(given.drafts) == 32
    assert len({tuple(edit) for edit in given.edits}) == 32
    assert {len(draft) for draft in given.drafts} == {12}
