"""Matrix products with a network's weights on the CPU: as they are, in half the memory, or in a quarter.

Decoding reads every weight for every token, so it is as fast as the memory: fewer bytes are faster. Half keeps float32
activations and sums, and is taken only for weights that numbers of 16 bits hold without loss, as published weights
mostly are. Int8 rounds weights (a scale for each output) and activations (a scale for each token, so that no token's
numbers depend on what else is in its batch).
"""

from __future__ import annotations

import contextlib
import functools
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal

from bot.errors import ModelError

if TYPE_CHECKING:
    import torch

    Linear = Callable[[torch.Tensor], torch.Tensor]  # (T, inputs) -> (T, outputs), float32

Precision = Literal["float32", "int8"]
EXACT = 1e-7  # a rounding error of one weight that no float32 sum shows
LEVELS = 127  # of int8 numbers to each side of zero
SAFE_LEVELS = 63  # of activations, on processors whose sums of products of 8 bits saturate


def shared(modules: Sequence[Any]) -> Linear:
    """Return one product for several `torch.nn.Linear` of the same inputs, with their outputs side by side.

    Nothing is held twice: the modules' own weights become views of the fused one.
    """
    from torch.nn import functional

    weight, bias = _together(modules)
    start = 0
    for module in modules:
        end = start + len(module.weight)
        module.weight.data = weight[start:end]
        start = end
    return lambda x: functional.linear(x, weight, bias)


def packed(modules: Sequence[Any], precision: Precision) -> Linear:
    """Return the same with smaller weights where that is allowed, and let the modules' own weights go.

    precision: "float32" allows what float32 sums do not show, "int8" rounds.
    Raises ModelError when this processor or this torch has no int8 products.
    """
    weight, bias = _together(modules)
    if precision == "int8":
        made: Linear = Int8(weight, bias)
    elif has_half() and is_half(weight):
        made = Half(weight, bias)
    else:
        return shared(modules)
    for module in modules:
        module.weight.data = weight.new_empty(0, weight.shape[1])
    return made


def _together(modules: Sequence[Any]) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Return weights and biases of several modules as one, the weight (outputs, inputs)."""
    import torch

    weights = [module.weight.data for module in modules]
    bias = torch.cat([module.bias.data for module in modules]) if modules[0].bias is not None else None
    return weights[0] if len(weights) == 1 else torch.cat(weights), bias


def is_half(weight: torch.Tensor) -> bool:
    """True when numbers of 16 bits hold these without loss."""
    return bool(((weight.half().float() - weight).abs() <= EXACT).all())


@functools.cache
def has_half() -> bool:
    """True when this processor and this torch can multiply with packed weights of 16 bits: tried once."""
    import torch

    weight = torch.tensor([[1.5, -0.25], [3.0, 0.125]])
    try:
        found = Half(weight, None)(torch.tensor([[1.0, 1 / 3]]))
    except (RuntimeError, AttributeError):
        return False
    return torch.allclose(found, torch.tensor([[1.5 - 0.25 / 3, 3.0 + 0.125 / 3]]), rtol=1e-6)


class Half:
    """A product with packed weights of 16 bits; activations and sums are float32."""

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor | None) -> None:
        import torch

        with _engine():
            self._packed = torch.ops.quantized.linear_prepack_fp16(weight, bias)
        self._multiply = torch.ops.quantized.linear_dynamic_fp16.default

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self._multiply(x, self._packed)
        return found


class Int8:
    """A product with packed weights of 8 bits and activations rounded to 8 bits; sums are exact whole numbers."""

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor | None, levels: int | None = None) -> None:
        """levels: of the activations, to each side of zero; by default as many as are safe on this processor."""
        import torch

        self._levels = levels or safe_levels()
        self._bias = bias
        scales = weight.abs().amax(1).clamp_min(1e-12).double() / LEVELS
        zeros = torch.zeros(len(weight), dtype=torch.long)
        try:
            with _engine(), warnings.catch_warnings():
                warnings.simplefilter(
                    "ignore"
                )  # torch means to give up quantised tensors: then the except below speaks
                rounded = torch.quantize_per_channel(weight, scales, zeros, 0, torch.qint8)
                self._packed = torch.ops.quantized.linear_prepack(rounded, None)
            self._multiply = torch.ops.quantized.linear_with_input_q_dq_qweight_dq_output_fp32.default
        except (RuntimeError, AttributeError) as problem:
            raise ModelError(
                f"This processor or this torch has no int8 products: {str(problem).splitlines()[0][:200]}",
                hint="Use --dtype float32.",
            ) from problem

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        most = x.abs().amax(-1, keepdim=True).clamp_min_(1e-20)
        found: torch.Tensor = self._multiply(x / most, 1 / self._levels, self._levels + 1, self._packed).mul_(most)
        return found if self._bias is None else found.add_(self._bias)


@functools.cache
def safe_levels() -> int:
    """Return how many levels of activations this processor sums without saturation: tried once, on the largest sums."""
    import torch

    found = Int8(torch.ones(16, 64), None, LEVELS)(torch.ones(1, 64))
    return LEVELS if torch.allclose(found, torch.full((1, 16), 64.0), rtol=1e-5) else SAFE_LEVELS


@contextlib.contextmanager
def _engine() -> Iterator[None]:
    """Let torch pack weights for x86 processors, and leave its choice as it was."""
    import torch

    engines: Any = torch.backends.quantized
    before = engines.engine
    engines.engine = "fbgemm"
    try:
        yield
    finally:
        engines.engine = before
