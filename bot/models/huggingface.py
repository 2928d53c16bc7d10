"""Local weights: any causal language model that transformers can load, by directory or hub name, and the embedded one.

The tokenizer, the prompt's style and the protocol are here; an engine computes. Llama-like networks in float32 on the
CPU have one of their own (`llama.py`), everything else runs through transformers. Branches, rows and sampling are the
same for both. Distributions are float32 log-softmax on the CPU.
torch and transformers are imported when a model is loaded.
"""

from __future__ import annotations

import hashlib
import importlib.resources
import os
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from bot.decoding.prompt import SPECIAL_TOKENS, ChatTemplate, Style
from bot.errors import ModelError, ModelMissing
from bot.models.branch import CachedBranch, Family
from bot.models.engine import Engine, Rows
from bot.models.language_model import Array, Branch, Stop, Usage, text_after
from bot.models.llama import fused_engine
from bot.models.sampling import draw, sample
from bot.models.transformers_engine import TransformersEngine

if TYPE_CHECKING:
    import torch

EMBEDDED = "embedded"
INT8: Literal["int8"] = "int8"
SMALL_PARAMETERS = 100_000_000  # below, one CPU thread is fastest (measured)
DEFAULT_CONTEXT = 2048


def load(
    name: str,
    *,
    device: str = "auto",
    dtype: str = "auto",
    revision: str | None = None,
    threads: int | None = None,
) -> HuggingFaceModel:
    """Load `name`: "embedded", a directory, or a hub id (from the local cache if it is there, else downloaded).

    device: "auto", "cpu", "cuda", "cuda:1", "mps". dtype: "auto", "float32", "bfloat16", "float16", or "int8", for
    Llama-like networks on the CPU. threads: of the CPU; by default one for a small model, and for others torch's own
    number. In a process that has imported torch before, nothing is changed that was not asked for.
    Raises ModelMissing when there are no weights at that place, ModelError when they cannot be used.
    """
    alone = "torch" not in sys.modules
    if alone:  # the policy is read once, when torch is imported
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # OpenMP threads that wait by spinning ruin shared cores
    import torch
    import transformers

    transformers.utils.logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    place, directory = locate(name)
    where = _device(device, dtype)
    kind = _dtype(dtype, where)
    settings = {"revision": revision} if revision and not directory else {}
    tokenizer, network = _from_pretrained(place, name, directory, kind, settings)
    network = network.to(where).eval()
    size = sum(parameter.numel() for parameter in network.parameters())
    if threads or (alone and where == "cpu" and size < SMALL_PARAMETERS):
        torch.set_num_threads(threads or 1)
    engine = _int8(network) if dtype == INT8 else None
    fingerprint = (
        _fingerprint(directory) if directory else str(getattr(network.config, "_commit_hash", None) or revision)
    )
    return HuggingFaceModel(name, network, tokenizer, fingerprint=fingerprint, engine=engine)


def locate(name: str) -> tuple[str, Path | None]:
    """Return what to give to transformers, and the directory if it is one."""
    path = (
        Path(str(importlib.resources.files("bot.models") / "embedded")) if name == EMBEDDED else Path(name).expanduser()
    )
    if (path / "config.json").is_file():
        return str(path), path
    if name == EMBEDDED:
        raise ModelMissing(
            "The embedded model is not part of this installation.",
            hint="Install a released wheel, or name other weights with --model.",
        )
    if path.is_dir():
        raise ModelMissing(f"{name} holds no model: config.json is missing.", hint="Name a transformers directory.")
    if path.is_absolute() or name.startswith((".", "~")) or name.count("/") > 1:
        raise ModelMissing(f"There is no directory {name}.", hint="Check --model; hub names look like owner/name.")
    return name, None


def cuda_is_usable() -> bool:
    """True when this build of torch can compute on a GPU of this machine."""
    import torch

    return torch.cuda.is_available()


def _device(device: str, dtype: str) -> str:
    import torch

    if dtype == INT8 and device not in ("auto", "cpu"):
        raise ModelError(f"int8 runs on the CPU only, not on {device}.", hint="Use --dtype auto or --device cpu.")
    if device == "auto":
        if dtype == INT8:
            return "cpu"
        return "cuda" if torch.cuda.is_available() else "cpu"
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise ModelError(f"This machine has no {device} device.", hint="Use --device cpu or --device auto.")
    return device


def _dtype(dtype: str, device: str) -> torch.dtype:
    import torch

    if dtype == "auto":
        if not device.startswith("cuda"):
            return torch.float32  # bf16 is three times slower on most CPUs
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    kinds = {INT8: torch.float32, "float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
    if dtype not in kinds:
        raise ModelError(f"Unknown dtype {dtype!r}.", hint="Use auto, float32, bfloat16, float16 or int8.")
    return kinds[dtype]


def _int8(network: Any) -> Engine:
    """Return an engine with weights of 8 bits. Raises ModelError for a network that has none."""
    engine = fused_engine(network, Usage(), INT8)
    if engine is None:
        raise ModelError(
            f"{type(network).__name__} cannot run in int8: only Llama-like networks can.", hint="Use --dtype float32."
        )
    return engine


def _from_pretrained(
    place: str, name: str, directory: Path | None, dtype: torch.dtype, settings: dict[str, str]
) -> tuple[Any, Any]:
    """Return tokenizer and network; the local cache first, the network only when that fails."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    attempts = [True] if directory or os.environ.get("HF_HUB_OFFLINE") else [True, False]
    error: Exception | None = None
    for local in attempts:
        try:
            tokenizer = AutoTokenizer.from_pretrained(place, local_files_only=local, **settings)
            network = AutoModelForCausalLM.from_pretrained(place, local_files_only=local, dtype=dtype, **settings)
            return tokenizer, network
        except Exception as problem:  # transformers raises a dozen unrelated classes for a broken model
            error = problem
    message = str(error).strip().splitlines()[0][:300] if str(error).strip() else type(error).__name__
    if directory:
        raise ModelError(f"The model in {directory} cannot be loaded: {message}", hint="Check its files.") from error
    raise ModelMissing(
        f"{name} is neither in the local cache nor could it be downloaded: {message}",
        hint="Check the name and the network, or download it once with `hf download` and set HF_HUB_OFFLINE=1.",
    ) from error


def _fingerprint(directory: Path) -> str:
    """Return the sha256 over the weights, the configuration and the tokenizer."""
    digest = hashlib.sha256()
    for path in sorted(directory.iterdir()):
        if path.suffix in (".safetensors", ".bin") or path.name in ("config.json", "tokenizer.json"):
            digest.update(path.name.encode() + b"\0")
            with path.open("rb") as file:
                while block := file.read(1 << 20):
                    digest.update(block)
    return digest.hexdigest()


class HuggingFaceModel:
    """A causal language model behind the `LanguageModel` protocol."""

    def __init__(
        self, name: str, network: Any, tokenizer: Any, *, fingerprint: str = "", engine: Engine | None = None
    ) -> None:
        """engine: by default the fastest with the network's own numbers."""
        self.name = name
        self.fingerprint = fingerprint
        self._network = network
        self._tokenizer = tokenizer
        self._engine = engine or fused_engine(network, Usage()) or TransformersEngine(network, Usage())
        self.usage = self._engine.usage
        self.style: Style = "tagged" if self._has_tags() else "instruct"
        self.chat: ChatTemplate | None = None if self.style == "tagged" else self._chat_template()
        self._family = Family(self._engine, name, _context(network.config, tokenizer))
        self._end_ids = self._find_end_ids()

    @property
    def context(self) -> int:
        return self._family.context

    @context.setter
    def context(self, positions: int) -> None:
        self._family.context = positions

    @property
    def device(self) -> str:
        return self._engine.device

    @property
    def end_ids(self) -> frozenset[int]:
        return self._end_ids

    def encode(self, text: str) -> list[int]:
        return list(self._tokenizer.encode(text, add_special_tokens=False))

    def decode(self, ids: Sequence[int]) -> str:
        text = self._tokenizer.decode(list(ids), skip_special_tokens=False, clean_up_tokenization_spaces=False)
        return str(text)

    def branch(self, ids: Sequence[int]) -> CachedBranch:
        return self._family.branch(ids)

    def advance(self, branches: Sequence[Branch]) -> list[Array]:
        return [rows[-1] for rows in self.along(branches, [()] * len(branches))]

    def along(self, branches: Sequence[Branch], drafts: Sequence[Sequence[int]]) -> list[Array]:
        """See `JointModel.along`."""
        return self._family.along([_ours(branch) for branch in branches], drafts)

    def sample(
        self,
        branch: Branch,
        count: int,
        *,
        temperature: float,
        top_p: float,
        seed: int,
        limit: int,
        stop: Stop,
    ) -> list[list[int]]:
        import torch

        generator = torch.Generator().manual_seed(seed)
        prefix = list(branch.ids)

        def ended(row: list[int]) -> bool:
            return row[-1] in self._end_ids or stop(text_after(self, prefix, row))

        with closing(self._rows(branch)) as rows:
            found = sample(
                rows,
                torch.from_numpy(np.asarray(branch.logprobs())),
                count,
                max(0, min(limit, self.context - len(prefix))),
                lambda logprobs, owners: draw(logprobs, owners, temperature, top_p, generator),
                ended,
            )
        self.usage.tokens += sum(map(len, found))
        return found

    def score(self, branch: Branch, ids: Sequence[int]) -> Array:
        if not ids:
            return np.zeros(0, dtype=np.float32)
        distributions = self.branch(branch.ids).along(ids[:-1])
        return np.asarray(distributions[np.arange(len(ids)), np.asarray(ids)], dtype=np.float32)

    def score_many(self, branch: Branch, drafts: Sequence[Sequence[int]]) -> list[float]:
        first = branch.logprobs()
        scores = [float(first[draft[0]]) if draft else 0.0 for draft in drafts]
        longer = [index for index, draft in enumerate(drafts) if len(draft) > 1]
        with closing(self._rows(branch)) as rows:
            rest = rows.score([drafts[index] for index in longer])
        for index, score in zip(longer, rest, strict=True):
            scores[index] += score
        return scores

    def _rows(self, branch: Branch) -> Rows:
        """Return what computes several continuations of one branch; the branch rests until they are closed."""
        branch.logprobs()
        ours = _ours(branch)
        return self._engine.rows(ours.cache, ours.ids)

    def _has_tags(self) -> bool:
        return all(len(self.encode(token)) == 1 for token in SPECIAL_TOKENS)

    def _chat_template(self) -> ChatTemplate | None:
        """Return how one user message becomes prompt text; None for a model without template or start token."""
        tokenizer = self._tokenizer
        if tokenizer.chat_template:
            return lambda message: str(
                tokenizer.apply_chat_template(
                    [{"role": "user", "content": message}],
                    tokenize=False,
                    add_generation_prompt=True,
                    enable_thinking=False,
                )
            )
        start = tokenizer.bos_token
        if start and tokenizer("a").input_ids[:1] == [tokenizer.bos_token_id]:
            return lambda message: f"{start}### Instruction:\n{message}\n### Response:\n"
        return None

    def _find_end_ids(self) -> frozenset[int]:
        generation = getattr(self._network, "generation_config", None)
        found: set[int] = set()
        for ids in (getattr(generation, "eos_token_id", None), self._tokenizer.eos_token_id):
            found |= set(ids) if isinstance(ids, (list, tuple)) else {ids} if ids is not None else set()
        if self.style == "tagged":
            found |= set(self.encode("<end>"))
        return frozenset(found)


def _ours(branch: Branch) -> CachedBranch:
    assert isinstance(branch, CachedBranch), "a branch of another model"
    return branch


def _context(config: Any, tokenizer: Any) -> int:
    text = config.get_text_config()
    found = [
        getattr(text, name, None) for name in ("max_position_embeddings", "n_positions", "max_seq_len", "seq_length")
    ]
    limits = [int(limit) for limit in found if limit]
    longest = getattr(tokenizer, "model_max_length", None)
    if longest and longest < 10_000_000:
        limits.append(int(longest))
    return min(limits) if limits else DEFAULT_CONTEXT
