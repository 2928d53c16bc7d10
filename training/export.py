"""Writes a checkpoint's averaged weights in the ordinary transformers format, bfloat16, with tokenizer and config."""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path
from typing import Any

import torch
from transformers import AutoTokenizer, GenerationConfig

from training.network import Network, Shape, to_llama

SHARD_SIZE = "15MB"  # of one file of weights, at most


def load_average(checkpoint: Path) -> tuple[Network, dict[str, Any]]:
    """Return the averaged network and the checkpoint's other entries."""
    state: dict[str, Any] = torch.load(checkpoint, weights_only=False, map_location="cpu")
    network = Network(Shape(**state["shape"]))
    network.load_state_dict(state["average"])
    return network, state


def export(checkpoint: Path, tokenizer: Path, folder: Path) -> None:
    """Write config.json, generation_config.json, the weights in shards and the tokenizer files."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(tokenizer / name, folder / name)
    pieces: Any = AutoTokenizer.from_pretrained(folder)
    network, _ = load_average(checkpoint)
    model: Any = to_llama(network, pad=pieces.pad_token_id, end=pieces.eos_token_id)
    settings: Any = GenerationConfig
    model.generation_config = settings(
        eos_token_id=pieces.eos_token_id, pad_token_id=pieces.pad_token_id, do_sample=False, max_length=2048
    )
    model.to(torch.bfloat16).save_pretrained(folder, max_shard_size=SHARD_SIZE)
    for path in folder.iterdir():
        path.chmod(0o644)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--tokenizer", type=Path, required=True, help="folder of training.tokenizer")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    export(options.checkpoint, options.tokenizer, options.out)


if __name__ == "__main__":
    main()
