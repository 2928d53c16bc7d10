"""The trained network: the Llama architecture written for fast CPU training, and its export to transformers.

Same numbers as LlamaForCausalLM (a test compares the logits): RMSNorm before attention and SwiGLU, rotary positions
in the half-split layout, no biases, tied embeddings. Only the positions that carry loss pass through the output
layer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import LlamaConfig, LlamaForCausalLM

EPSILON = 1e-6
THETA = 10_000.0


@dataclass(frozen=True, slots=True)
class Shape:
    """vocabulary V, width D, layers, heads (D / heads is even), feed-forward width F."""

    vocabulary: int = 4096
    width: int = 256
    layers: int = 4
    heads: int = 8
    feed_forward: int = 704
    key_heads: int = 0  # heads of keys and values, 0: as many as of queries


SHAPES = {
    "tiny": Shape(4096, 64, 2, 2, 176),  # for trying the steps out
    "small": Shape(),  # 4.3 M parameters, for two CPU cores
    "medium": Shape(8192, 512, 8, 8, 1408, 4),  # 27.8 M parameters, for an accelerator
}


def rms_norm(x: Tensor, weight: Tensor) -> Tensor:
    """x, result: (..., D) in the dtype of x; computed in float32."""
    wide = x.float()
    scaled = wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + EPSILON)
    return (scaled * weight).to(x.dtype)


def rotary(length: int, size: int) -> tuple[Tensor, Tensor]:
    """Return cos and sin of the rotary angles, each (length, size), float32."""
    frequencies = THETA ** (-torch.arange(0, size, 2, dtype=torch.float32) / size)
    angles = torch.arange(length, dtype=torch.float32)[:, None] * frequencies[None]
    angles = torch.cat([angles, angles], -1)
    return angles.cos(), angles.sin()


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """x: (B, H, T, D/H)."""
    first, second = x.chunk(2, -1)
    return x * cos + torch.cat([-second, first], -1) * sin


class Block(nn.Module):
    """One decoder layer; projections are separate parameters so that the optimiser sees each matrix alone."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        d, f = shape.width, shape.feed_forward
        self.heads, self.key_heads = shape.heads, shape.key_heads or shape.heads
        keys = d // shape.heads * self.key_heads
        self.q, self.o = (nn.Parameter(torch.empty(d, d)) for _ in range(2))
        self.k, self.v = (nn.Parameter(torch.empty(keys, d)) for _ in range(2))
        self.gate, self.up = (nn.Parameter(torch.empty(f, d)) for _ in range(2))
        self.down = nn.Parameter(torch.empty(d, f))
        self.attention_norm, self.mlp_norm = (nn.Parameter(torch.ones(d)) for _ in range(2))

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """x, result: (B, T, D)."""
        batch, length, width = x.shape
        h = rms_norm(x, self.attention_norm)
        qkv = functional.linear(h, torch.cat([self.q, self.k, self.v]))
        qkv = qkv.view(batch, length, self.heads + 2 * self.key_heads, width // self.heads).transpose(1, 2)
        q, k, v = qkv.split([self.heads, self.key_heads, self.key_heads], 1)
        mixed = functional.scaled_dot_product_attention(
            rotate(q, cos, sin), rotate(k, cos, sin), v, is_causal=True, enable_gqa=self.heads != self.key_heads
        )
        x = x + functional.linear(mixed.transpose(1, 2).reshape(batch, length, width), self.o)
        h = rms_norm(x, self.mlp_norm)
        gate, up = functional.linear(h, torch.cat([self.gate, self.up])).chunk(2, -1)
        return x + functional.linear(functional.silu(gate) * up, self.down)


class Network(nn.Module):
    """A Llama decoder with tied embeddings."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.embedding = nn.Parameter(torch.empty(shape.vocabulary, shape.width))
        self.blocks = nn.ModuleList([Block(shape) for _ in range(shape.layers)])
        self.norm = nn.Parameter(torch.ones(shape.width))
        for name, parameter in self.named_parameters():
            if parameter.dim() == 2:
                nn.init.normal_(parameter, std=0.02 if name == "embedding" else shape.width**-0.5 * 0.7)
            if name.endswith((".o", ".down")):
                nn.init.zeros_(parameter)

    def hidden(self, ids: Tensor) -> Tensor:
        """ids: (B, T) int64. Return (B, T, D)."""
        dtype = torch.bfloat16 if torch.is_autocast_enabled(ids.device.type) else torch.float32
        cos, sin = (t.to(ids.device, dtype) for t in rotary(ids.shape[1], self.shape.width // self.shape.heads))
        x = functional.embedding(ids, self.embedding).to(dtype)
        for block in self.blocks:
            x = block(x, cos, sin)
        return rms_norm(x, self.norm)

    def forward(self, ids: Tensor, places: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
        """Return the summed weighted loss in nats. ids: (B, T); places, targets, weights: (K,), places index B*T."""
        h = self.hidden(ids).reshape(-1, self.shape.width)[places]
        logits = functional.linear(h, self.embedding).float()
        return (functional.cross_entropy(logits, targets, reduction="none") * weights).sum()


def to_llama(network: Network, *, pad: int, end: int, positions: int = 2048) -> LlamaForCausalLM:
    """Return the same model as transformers knows it, float32."""
    shape = network.shape
    config = LlamaConfig(
        vocab_size=shape.vocabulary, hidden_size=shape.width, intermediate_size=shape.feed_forward,
        num_hidden_layers=shape.layers, num_attention_heads=shape.heads,
        num_key_value_heads=shape.key_heads or shape.heads,
        max_position_embeddings=positions, rms_norm_eps=EPSILON, tie_word_embeddings=True,
        pad_token_id=pad, eos_token_id=end, bos_token_id=None,
        rope_parameters={"rope_type": "default", "rope_theta": THETA},
    )  # fmt: skip
    model: Any = LlamaForCausalLM(config)
    state = {
        "model.embed_tokens.weight": network.embedding,
        "lm_head.weight": network.embedding,
        "model.norm.weight": network.norm,
    }
    names = {"q": "self_attn.q_proj", "k": "self_attn.k_proj", "v": "self_attn.v_proj", "o": "self_attn.o_proj",
             "gate": "mlp.gate_proj", "up": "mlp.up_proj", "down": "mlp.down_proj",
             "attention_norm": "input_layernorm", "mlp_norm": "post_attention_layernorm"}  # fmt: skip
    for index, block in enumerate(network.blocks):
        for own, theirs in names.items():
            state[f"model.layers.{index}.{theirs}.weight"] = getattr(block, own)
    model.load_state_dict({name: tensor.detach().clone() for name, tensor in state.items()})
    model.eval()
    exported: LlamaForCausalLM = model
    return exported
