"""A fused forward pass for Llama-like networks on the CPU: transformers' numbers with far less around them.

Queries, keys and values come from one product, gate and up from another; keys and values of all layers lie in one room
that grows in place; parts of several sequences share every product but attention; in the last layer only the tokens
whose distributions are wanted go on. `fused_engine` decides whether a network is one of these, and compares the
numbers before it says so.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bot.models.attention import Rotation, attend, mask_of, rotate
from bot.models.cache import KeysAndValues
from bot.models.engine import BATCH_ELEMENTS, LOOSE, PROBE, Part, Rows
from bot.models.language_model import Usage
from bot.models.linear import Precision, has_half, is_half, packed, shared
from bot.models.rows import PackedRows

if TYPE_CHECKING:
    import torch

    from bot.models.linear import Linear

ARCHITECTURES = frozenset({"llama", "mistral", "qwen2"})  # one network; qwen2 adds biases to queries, keys and values

BATCH_TOKENS = 256  # of drafts scored in one pass (measured): more see ever more of each other for nothing


@dataclass(frozen=True, slots=True)
class Shape:
    """heads: of the queries; groups: of the keys and values; size: of one head; epsilon: of the norms."""

    heads: int
    groups: int
    size: int
    theta: float
    epsilon: float


@dataclass(frozen=True, slots=True)
class Layer:
    """One block. before, after: weights of the norms before and after attention."""

    before: torch.Tensor
    qkv: Linear
    out: Linear
    after: torch.Tensor
    gate_up: Linear
    down: Linear


@dataclass(frozen=True, slots=True)
class _Span:
    """A part on its way through the layers: its rows among all rows, and of those the ones that are kept."""

    rows: slice
    kept: slice
    cache: KeysAndValues
    length: int  # of the cache, with the part
    new: Sequence[torch.Tensor]  # where each layer puts the part's keys and values: (2, groups, T, size)
    held: Sequence[torch.Tensor]  # keys, then values, of each layer, with the part's: (groups, length, size)
    mask: torch.Tensor | None
    last_mask: torch.Tensor | None  # of the rows that are kept


def shape_of(network: Any) -> Shape | None:
    """Return the shape of a network that is run here, or None where its configuration asks for anything else."""
    config = network.config
    rope = getattr(config, "rope_parameters", None) or {}
    sliding = getattr(config, "sliding_window", None) and getattr(config, "use_sliding_window", True)
    kinds = set(getattr(config, "layer_types", None) or ())
    if (
        config.model_type not in ARCHITECTURES
        or not type(network).__name__.endswith("ForCausalLM")
        or config.hidden_act != "silu"
        or rope.get("rope_type") != "default"
        or "rope_theta" not in rope
        or sliding
        or not kinds <= {"full_attention"}
    ):
        return None
    heads = int(config.num_attention_heads)
    size = int(getattr(config, "head_dim", None) or config.hidden_size // heads)
    theta, epsilon = float(rope["rope_theta"]), float(config.rms_norm_eps)
    return Shape(heads, int(config.num_key_value_heads), size, theta, epsilon)


def fused_engine(network: Any, usage: Usage, precision: Precision = "float32") -> LlamaEngine | None:
    """Return an engine that runs the network, or None where it would not give the network's own numbers.

    Takes the network's weights over: see `linear.packed`. With "int8" the numbers are near, not the same.
    """
    import torch

    shape = shape_of(network)
    if shape is None or network.device.type != "cpu" or network.dtype != torch.float32:
        return None
    engine = LlamaEngine(network, shape, Usage(), shared)
    ids = [place % engine.vocabulary for place in PROBE]
    with torch.inference_mode():
        wanted = torch.log_softmax(network(input_ids=torch.tensor([ids])).logits[0], dim=-1)
    (found,) = engine.run([Part(ids, None, len(ids))])
    if not (found - wanted).abs().max() < LOOSE:
        return None
    return LlamaEngine(network, shape, usage, lambda modules: packed(modules, precision))


class LlamaEngine:
    """Runs a Llama-like network in float32 on the CPU."""

    croppable = True
    device = "cpu"

    def __init__(self, network: Any, shape: Shape, usage: Usage, fuse: Callable[[Sequence[Any]], Linear]) -> None:
        """fuse: makes one product of several linear modules of the network."""
        body = network.model
        table = body.embed_tokens.weight.data
        self.usage = usage
        self.vocabulary = len(table)
        self._shape = shape
        self._width = (table.shape[1],)
        self._table = table.half() if fuse is not shared and has_half() and is_half(table) else table
        self._layers = [_layer(block, fuse) for block in body.layers]
        self._norm = body.norm.weight.data
        self._head = fuse([network.lm_head])
        self._rotation = Rotation(shape.size, shape.theta)

    def new_cache(self) -> KeysAndValues:
        import torch

        return KeysAndValues(torch.empty(len(self._layers), 2, self._shape.groups, 0, self._shape.size))

    def rows(self, cache: Any, prefix: Sequence[int]) -> Rows:
        return PackedRows(self.run, cache, len(prefix), max(1, min(BATCH_TOKENS, BATCH_ELEMENTS // self.vocabulary)))

    def run(self, parts: Sequence[Part]) -> list[torch.Tensor]:
        import torch

        with torch.inference_mode():
            spans = self._spans(parts)
            places = [place for part, span in zip(parts, spans, strict=True) for place in _places(part, span)]
            self.usage.passes += 1
            self.usage.positions += len(places)
            hidden = self._through(torch.tensor([token for part in parts for token in part.ids]), places, spans)
            logprobs = torch.log_softmax(self._head(hidden), dim=-1)
            ends = itertools.accumulate(part.keep for part in parts)
            for span in spans:
                span.cache.length = span.length
            return [logprobs[end - part.keep : end] for part, end in zip(parts, ends, strict=True)]

    def _spans(self, parts: Sequence[Part]) -> list[_Span]:
        spans = []
        start = 0
        for part in parts:
            cache = self.new_cache() if part.cache is None else part.cache
            end = start + len(part.ids)
            length = cache.length + len(part.ids)
            mask = mask_of(part, length)
            last_mask = None if (part.keep == 1 and part.seen is None) or mask is None else mask[-part.keep :]
            cache.reserve(length)
            new = cache.room[..., cache.length : length, :].unbind()
            held = cache.room[..., :length, :].flatten(0, 1).unbind()
            rows, kept = slice(start, end), slice(end - part.keep, end)
            spans.append(_Span(rows, kept, cache, length, new, held, mask, last_mask))
            start = end
        return spans

    def _through(self, ids: torch.Tensor, places: Sequence[int], spans: Sequence[_Span]) -> torch.Tensor:
        """Return what the last norm says of the tokens that are kept, (kept, width)."""
        from torch import rms_norm
        from torch.nn.functional import silu

        width, epsilon = self._width, self._shape.epsilon
        turn = self._rotation.at(places)
        x = self._table[ids].float()
        for number, layer in enumerate(self._layers):
            query = self._query(layer.qkv(rms_norm(x, width, layer.before, epsilon)), turn, number, spans)
            last = number == len(self._layers) - 1
            x = _kept(x, spans) if last else x
            x = x + layer.out(_attention(query, number, spans, last))
            gate, up = layer.gate_up(rms_norm(x, width, layer.after, epsilon)).chunk(2, dim=-1)
            x = x + layer.down(silu(gate).mul_(up))
        return rms_norm(x, width, self._norm, epsilon)

    def _query(
        self, qkv: torch.Tensor, turn: Sequence[torch.Tensor], number: int, spans: Sequence[_Span]
    ) -> torch.Tensor:
        """Turn queries and keys, put keys and values into the caches, return the queries: (T, heads, size)."""
        heads, groups, size = self._shape.heads, self._shape.groups, self._shape.size
        every = qkv.view(len(qkv), heads + 2 * groups, size)
        rotate(every[:, : heads + groups], *turn)
        new = every[:, heads:].view(len(qkv), 2, groups, size).permute(1, 2, 0, 3)
        for span in spans:
            span.new[number].copy_(new[:, :, span.rows])
        return every[:, :heads]


def _layer(block: Any, fuse: Callable[[Sequence[Any]], Linear]) -> Layer:
    attention, mlp = block.self_attn, block.mlp
    return Layer(
        block.input_layernorm.weight.data,
        fuse([attention.q_proj, attention.k_proj, attention.v_proj]),
        fuse([attention.o_proj]),
        block.post_attention_layernorm.weight.data,
        fuse([mlp.gate_proj, mlp.up_proj]),
        fuse([mlp.down_proj]),
    )


def _kept(x: torch.Tensor, spans: Sequence[_Span]) -> torch.Tensor:
    import torch

    return x[spans[0].kept] if len(spans) == 1 else torch.cat([x[span.kept] for span in spans])


def _places(part: Part, span: _Span) -> Sequence[int]:
    return range(span.cache.length, span.length) if part.places is None else part.places


def _attention(query: torch.Tensor, number: int, spans: Sequence[_Span], last: bool) -> torch.Tensor:
    """Return what each token gathers in its own sequence, (T, heads * size); in the last layer, those that are kept."""
    import torch

    found = []
    for span in spans:
        keys, values = span.held[2 * number : 2 * number + 2]
        rows, mask = (span.kept, span.last_mask) if last else (span.rows, span.mask)
        found.append(attend(query[rows], keys, values, mask))
    return found[0] if len(found) == 1 else torch.cat(found)
