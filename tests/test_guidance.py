"""The guidance formula against cases worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from bot.decoding.guidance import guide


def logs(*probabilities: float) -> np.ndarray:
    with np.errstate(divide="ignore"):
        return np.log(np.array(probabilities, dtype=np.float32))


PLAIN = logs(0.5, 0.3, 0.2)
CONDITIONED = logs(0.2, 0.3, 0.5)


def test_gamma_zero_is_the_plain_model_even_for_tokens_the_signal_forbids():
    assert np.array_equal(guide(PLAIN, logs(0.0, 0.0, 1.0), 0), PLAIN)


def test_gamma_one_is_the_conditioned_model_even_for_tokens_the_plain_model_forbids():
    assert np.array_equal(guide(logs(0.0, 0.0, 1.0), CONDITIONED, 1), CONDITIONED)


def test_gamma_three_is_the_cube_of_the_ratio_times_the_plain_model():
    weights = np.array([0.5 * (0.2 / 0.5) ** 3, 0.3, 0.2 * (0.5 / 0.2) ** 3])
    guided = guide(PLAIN, CONDITIONED, 3, alpha=0)
    assert np.allclose(np.exp(guided), weights / weights.sum(), atol=1e-6)


def test_a_gamma_between_zero_and_one_is_the_normalised_geometric_mean():
    weights = np.sqrt(np.array([0.5 * 0.2, 0.3 * 0.3, 0.2 * 0.5]))
    assert np.allclose(np.exp(guide(PLAIN, CONDITIONED, 0.5)), weights / weights.sum(), atol=1e-6)


def test_a_token_negligible_in_both_branches_cannot_win_by_its_ratio():
    plain, conditioned = logs(0.9, 0.0999, 1e-9, 1e-7), logs(0.9, 0.0989, 1e-4, 1e-3)
    assert int(np.argmax(guide(plain, conditioned, 3, alpha=0, clip=np.inf))) == 2
    guided = guide(plain, conditioned, 3)
    assert int(np.argmax(guided)) == 0
    assert np.isneginf(guided[2:]).all()


def test_a_token_plausible_in_one_branch_only_stays_in_play():
    guided = guide(logs(0.98, 0.01, 0.01), logs(0.1, 0.89, 0.01), 2)
    assert int(np.argmax(guided)) == 1
    assert np.isneginf(guided[2])


def test_tokens_with_probability_zero_in_a_branch_give_no_nan():
    guided = guide(logs(0.5, 0.5, 0.0, 0.0), logs(0.0, 0.5, 0.5, 0.0), 2)
    assert not np.isnan(guided).any()
    assert np.isneginf(guided[3])
    assert np.exp(guided).sum() == pytest.approx(1, abs=1e-6)


def test_the_clip_bounds_what_the_signal_can_say_about_one_token():
    plain, conditioned = logs(1 - 1e-6, 1e-6), logs(1e-6, 1 - 1e-6)
    guided = guide(plain, conditioned, 2, clip=1.0)
    assert guided[1] - guided[0] == pytest.approx(np.log(1e-6) + 4, abs=1e-2)


def test_rows_are_guided_independently():
    both = guide(np.stack([PLAIN, CONDITIONED]), np.stack([CONDITIONED, PLAIN]), 3)
    assert np.allclose(both[0], guide(PLAIN, CONDITIONED, 3))
    assert np.allclose(both[1], guide(CONDITIONED, PLAIN, 3))


def test_the_inputs_are_left_unchanged():
    plain, conditioned = PLAIN.copy(), CONDITIONED.copy()
    for gamma in (0, 0.5, 1, 3):
        guide(plain, conditioned, gamma)[:] = 0
    assert np.array_equal(plain, PLAIN)
    assert np.array_equal(conditioned, CONDITIONED)


@pytest.mark.parametrize("gamma", [-0.1, float("nan"), float("inf")])
def test_a_gamma_that_is_no_scale_is_refused(gamma):
    with pytest.raises(ValueError, match="gamma"):
        guide(PLAIN, CONDITIONED, gamma)


def test_distributions_over_different_vocabularies_are_refused():
    with pytest.raises(ValueError, match="shapes"):
        guide(PLAIN, CONDITIONED[:2], 1)
