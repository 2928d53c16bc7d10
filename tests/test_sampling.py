"""Drawing tokens: the nucleus, the seed, and rows that share a distribution."""

from __future__ import annotations

import collections

import pytest
import torch

from bot.models.sampling import LIKELIEST, draw

FLAT = torch.log_softmax(torch.linspace(0.0, 0.5, 4 * LIKELIEST), dim=-1)[None]
STEEP = torch.log_softmax(-torch.arange(4.0 * LIKELIEST), dim=-1)[None]


def drawn(logprobs, count, *, temperature=1.0, top_p=1.0, seed=1):
    return draw(logprobs, [0] * count, temperature, top_p, torch.Generator().manual_seed(seed))


def nucleus(logprobs, temperature, top_p) -> set[int]:
    """The smallest set of likeliest tokens with at least that probability, taken one by one."""
    probabilities = torch.softmax(logprobs[0].double() / temperature, dim=-1)
    kept, mass = set(), 0.0
    for token in probabilities.argsort(descending=True).tolist():
        if mass >= top_p:
            break
        kept.add(token)
        mass += float(probabilities[token])
    return kept


@pytest.mark.parametrize("logprobs", [FLAT, STEEP], ids=["flat", "steep"])
@pytest.mark.parametrize(("temperature", "top_p"), [(1.0, 0.5), (0.7, 0.9), (1.3, 0.2)])
def test_only_tokens_of_the_nucleus_are_drawn_and_all_of_a_small_one(logprobs, temperature, top_p):
    allowed = nucleus(logprobs, temperature, top_p)
    found = set(drawn(logprobs, 3000, temperature=temperature, top_p=top_p))
    assert found <= allowed
    assert len(allowed) > 4 or found == allowed


def test_tokens_are_drawn_as_often_as_they_are_probable():
    logprobs = torch.log(torch.tensor([[0.1, 0.6, 0.3]]))
    found = collections.Counter(drawn(logprobs, 20_000))
    assert [round(found[token] / 20_000, 1) for token in range(3)] == [0.1, 0.6, 0.3]
    squared = collections.Counter(drawn(logprobs, 20_000, temperature=0.5))
    assert abs(squared[1] / squared[2] - 4.0) < 0.4


def test_a_row_draws_the_same_whether_it_shares_its_distribution_or_has_it_alone():
    shared = draw(torch.cat([STEEP, FLAT]), [1, 0, 1, 0], 1.0, 0.9, torch.Generator().manual_seed(5))
    alone = draw(torch.cat([FLAT, STEEP, FLAT, STEEP]), [0, 1, 2, 3], 1.0, 0.9, torch.Generator().manual_seed(5))
    assert shared == alone


def test_temperature_zero_takes_the_best_and_no_dice():
    assert draw(torch.cat([STEEP, FLAT]), [1, 0, 0], 0.0, 0.9, torch.Generator()) == [4 * LIKELIEST - 1, 0, 0]
