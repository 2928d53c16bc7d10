"""Classifier-free guidance between two next-token distributions.

Pure arithmetic on numpy arrays: no model, no I/O, no randomness.
Source: EG-CFG, arXiv:2506.10948, after arXiv:2306.17806; the plausibility mask is that of contrastive decoding,
arXiv:2210.15097, taken over both branches.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]

ALPHA = 0.1  # a token is plausible when a branch gives it at least this share of its best token's probability
CLIP = 10.0  # nats: the most that the signal may speak for or against one token before gamma multiplies it
_TINY = np.float32(-1e4)  # stands in for log 0 inside the difference of two logs


def guide(plain: Array, conditioned: Array, gamma: float, *, alpha: float = ALPHA, clip: float = CLIP) -> Array:
    """Return log p + gamma * (log p_c - log p), normalised.

    plain, conditioned: log-probabilities in nats, shape (V,) or (N, V), without and with the dynamic signal.
    gamma: guidance scale; 0 is exactly `plain`, 1 exactly `conditioned`, above 1 exaggerates the signal.
    alpha: only tokens with at least alpha times the largest probability of either branch survive; 0 keeps all.
    clip: bound of |log p_c - log p|, in nats; infinity for none.
    Raises ValueError if gamma < 0 or the shapes differ. Leaves its inputs unchanged.
    """
    if gamma < 0 or not np.isfinite(gamma):
        raise ValueError(f"gamma must be a number of at least 0, not {gamma}")
    if plain.shape != conditioned.shape:
        raise ValueError(f"shapes differ: {plain.shape} and {conditioned.shape}")
    if gamma == 0:
        return plain.astype(np.float32)
    if gamma == 1:
        return conditioned.astype(np.float32)
    log_p = np.maximum(plain.astype(np.float32), _TINY)
    log_c = np.maximum(conditioned.astype(np.float32), _TINY)
    guided = log_p + np.float32(gamma) * np.clip(log_c - log_p, -clip, clip)
    guided[~(_plausible(plain, alpha) | _plausible(conditioned, alpha))] = -np.inf
    return _normalised(guided)


def _plausible(logprobs: Array, alpha: float) -> npt.NDArray[np.bool_]:
    """True where the probability is positive and at least `alpha` times the largest of its row."""
    possible = logprobs > -np.inf
    if alpha <= 0:
        return possible
    enough: npt.NDArray[np.bool_] = logprobs >= logprobs.max(axis=-1, keepdims=True) + np.float32(np.log(alpha))
    return possible & enough


def _normalised(logits: Array) -> Array:
    shifted = logits - logits.max(axis=-1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True)), dtype=np.float32)
