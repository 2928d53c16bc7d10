"""Local weights through transformers: any causal language model, by directory or hub name, and the embedded one.

A branch keeps its keys and values in a cache that grows in place and is cropped to the longest common prefix when it is
rebased; a new branch copies what a living one already knows. Continuations are sampled as rows of one batch over one
prefix, drafts are scored right-padded (exact under causal attention). Models whose state cannot be cropped (recurrent
and hybrid ones) go without a cache: slower, same numbers. Distributions are float32 log-softmax on the CPU.
torch and transformers are imported when a model is loaded.
"""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.resources
import inspect
import os
import weakref
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bot.decoding.prompt import SPECIAL_TOKENS, ChatTemplate, Style
from bot.errors import ModelError, ModelMissing
from bot.models.cache import cache_bytes, copied, croppable, growing_cache, new_cache
from bot.models.language_model import Array, Branch, Stop, Usage, text_after
from bot.models.rows import CopiedRows, PackedRows, Rows, UncachedRows

if TYPE_CHECKING:
    import torch

EMBEDDED = "embedded"
SMALL_PARAMETERS = 100_000_000  # below, one CPU thread is fastest (measured)
BATCH_ELEMENTS = 64_000_000  # float32 logits held at once while drafts are scored: 256 MB
BATCH_TOKENS = 512  # tokens of drafts scored in one pass
CACHE_BYTES = 1 << 30  # keys and values held at once for the rows of one batch
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

    device: "auto", "cpu", "cuda", "cuda:1", "mps". dtype: "auto", "float32", "bfloat16", "float16".
    Raises ModelMissing when there are no weights at that place, ModelError when they cannot be used.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # spinning OpenMP threads ruin shared cores
    import torch
    import transformers

    transformers.utils.logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    place, directory = locate(name)
    where = _device(device)
    kind = _dtype(dtype, where)
    settings = {"revision": revision} if revision and not directory else {}
    tokenizer, network = _from_pretrained(place, name, directory, kind, settings)
    network = network.to(where).eval()
    size = sum(parameter.numel() for parameter in network.parameters())
    if threads or (where == "cpu" and size < SMALL_PARAMETERS):
        torch.set_num_threads(threads or 1)
    fingerprint = (
        _fingerprint(directory) if directory else str(getattr(network.config, "_commit_hash", None) or revision)
    )
    return HuggingFaceModel(name, network, tokenizer, fingerprint=fingerprint)


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


def _device(device: str) -> str:
    import torch

    if device == "auto":
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
    found = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}.get(dtype)
    if found is None:
        raise ModelError(f"Unknown dtype {dtype!r}.", hint="Use auto, float32, bfloat16 or float16.")
    return found


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
    """A transformers causal language model behind the `LanguageModel` protocol."""

    def __init__(self, name: str, network: Any, tokenizer: Any, *, fingerprint: str = "") -> None:
        self.name = name
        self.fingerprint = fingerprint
        self.usage = Usage()
        self._network = network
        self._tokenizer = tokenizer
        self._croppable = croppable(network.config)
        self._packing: bool | None = None
        self._keeps = "logits_to_keep" in inspect.signature(network.forward).parameters
        self._branches: weakref.WeakSet[_Branch] = weakref.WeakSet()
        self.style: Style = "tagged" if self._has_tags() else "instruct"
        self.chat: ChatTemplate | None = None if self.style == "tagged" else self._chat_template()
        self.context = _context(network.config, tokenizer)
        self._end_ids = self._find_end_ids()

    @property
    def device(self) -> str:
        return str(self._network.device)

    @property
    def end_ids(self) -> frozenset[int]:
        return self._end_ids

    def encode(self, text: str) -> list[int]:
        return list(self._tokenizer.encode(text, add_special_tokens=False))

    def decode(self, ids: Sequence[int]) -> str:
        text = self._tokenizer.decode(list(ids), skip_special_tokens=False, clean_up_tokenization_spaces=False)
        return str(text)

    def branch(self, ids: Sequence[int]) -> Branch:
        branch = _Branch(self, [])
        branch.rebase(ids, ())
        self._branches.add(branch)
        return branch

    def advance(self, branches: Sequence[Branch]) -> list[Array]:
        return [branch.logprobs() for branch in branches]

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
        rows: list[list[int]] = [[] for _ in range(count)]
        active = list(range(count))
        logprobs = torch.from_numpy(np.asarray(branch.logprobs())).expand(count, -1)
        longest = max(0, min(limit, self.context - len(prefix)))
        with closing(self._rows(branch)) as batch:
            for length in range(1, longest + 1):
                chosen = _draw(logprobs, temperature, top_p, generator)
                going = []
                for row, token in zip(active, chosen, strict=True):
                    rows[row].append(token)
                    self.usage.tokens += 1
                    if token not in self._end_ids and not stop(text_after(self, prefix, rows[row])):
                        going.append(row)
                if not going or length == longest:
                    break
                active = going
                logprobs = torch.cat(batch.extend([(row, rows[row][-1:]) for row in active]))
        return rows

    def score(self, branch: Branch, ids: Sequence[int]) -> Array:
        if not ids:
            return np.zeros(0, dtype=np.float32)
        scratch = self.branch(branch.ids)
        assert isinstance(scratch, _Branch)
        distributions = scratch.along(ids[:-1])
        return np.asarray(distributions[np.arange(len(ids)), np.asarray(ids)], dtype=np.float32)

    def score_many(self, branch: Branch, drafts: Sequence[Sequence[int]]) -> list[float]:
        first = branch.logprobs()
        scores = [float(first[draft[0]]) if draft else 0.0 for draft in drafts]
        order = sorted((index for index, draft in enumerate(drafts) if len(draft) > 1), key=lambda i: len(drafts[i]))
        for chunk in self._chunks(branch, drafts, order):
            with closing(self._rows(branch)) as batch:
                found = batch.extend([(index, drafts[index][:-1]) for index in chunk])
            for index, logprobs in zip(chunk, found, strict=True):
                draft = list(drafts[index])
                scores[index] += float(logprobs[range(len(draft) - 1), draft[1:]].sum())
        return scores

    def _chunks(self, branch: Branch, drafts: Sequence[Sequence[int]], order: list[int]) -> Iterator[list[int]]:
        """Cut `order`, sorted by length, into batches that fit in memory."""
        vocabulary = int(self._network.config.get_text_config().vocab_size)
        most = max(1, min(BATCH_TOKENS, BATCH_ELEMENTS // vocabulary))
        row_bytes = max(1, cache_bytes(branch._cache) if isinstance(branch, _Branch) else 1)
        chunk: list[int] = []
        for index in order:
            rows = len(chunk) + 1
            if chunk and (rows * len(drafts[index]) > most or rows * row_bytes > CACHE_BYTES):
                yield chunk
                chunk = []
            chunk.append(index)
        if chunk:
            yield chunk

    def _rows(self, branch: Branch) -> Rows:
        """Return what computes several continuations of one branch, in the fastest way that is right for this model."""
        branch.logprobs()
        assert isinstance(branch, _Branch)
        if not self._croppable:
            return UncachedRows(self.forward, branch.ids)
        if self._packs():
            return PackedRows(self.forward, branch._cache, len(branch.ids))
        return CopiedRows(self.forward, branch._cache, len(branch.ids))

    def _packs(self) -> bool:
        """True when rows packed into one sequence give this network's own distributions: tried once, on two rows."""
        if self._packing is None:
            before = dataclasses.replace(self.usage)
            try:
                self._packing = self._try_packing()
            except (RuntimeError, ValueError, TypeError, IndexError, KeyError):  # the architecture takes no such mask
                self._packing = False
            self.usage = before
        return self._packing

    def _try_packing(self) -> bool:
        import torch

        sliding = any(getattr(layer, "is_sliding", False) for layer in new_cache(self._network.config).layers)
        if sliding or "position_ids" not in inspect.signature(self._network.forward).parameters:
            return False
        size = int(self._network.config.get_text_config().vocab_size)
        ids = [place % size for place in (3, 7, 11, 13, 17, 19)]
        cache = growing_cache()
        self.forward(torch.tensor([ids[:3]]), cache, keep=1)
        packed = PackedRows(self.forward, cache, 3)
        packed.extend([(0, ids[3:4]), (1, ids[4:5])])
        found = torch.cat(packed.extend([(0, ids[5:6]), (1, ids[5:6])]))
        alone = UncachedRows(self.forward, ids[:3])
        wanted = torch.cat(alone.extend([(0, [ids[3], ids[5]]), (1, [ids[4], ids[5]])]))[[1, 3]]
        loose = 1e-3 if self._network.dtype == torch.float32 else 0.3
        return bool((found - wanted).abs().max() < loose)

    def forward(self, inputs: torch.Tensor, cache: Any, *, keep: int, **extra: torch.Tensor) -> torch.Tensor:
        """Run the network on `inputs`, shape (B, T), after `cache` if any, which grows; return the last `keep` logits.

        extra: position_ids and attention_mask, where they are not the usual ones.
        """
        import torch

        self.usage.passes += 1
        self.usage.positions += inputs.numel()
        options: dict[str, Any] = (
            {"use_cache": False} if cache is None else {"use_cache": True, "past_key_values": cache}
        )
        if self._keeps:
            options["logits_to_keep"] = keep
        device = self._network.device
        options |= {name: tensor.to(device) for name, tensor in extra.items()}
        with torch.inference_mode():
            out = self._network(input_ids=inputs.to(device), **options)
        logits: torch.Tensor = out.logits[:, -keep:]
        return logits

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


class _Branch:
    """A token sequence, the cache of its first `known` tokens, and the distribution after its last."""

    def __init__(self, model: HuggingFaceModel, ids: Sequence[int]) -> None:
        self.ids: list[int] = list(ids)
        self._model = model
        self._cache: Any = None
        self._cached: list[int] = []  # the tokens the cache holds, also those rebased away
        self._last: Array | None = None  # after all of `ids`, when they are all cached

    def append(self, ids: Sequence[int]) -> None:
        if ids:
            self.ids.extend(ids)
            self._last = None

    def rebase(self, prompt: Sequence[int], answer: Sequence[int]) -> None:
        ids = [*prompt, *answer]
        if ids != self.ids:
            self.ids = ids
            self._last = None

    def logprobs(self) -> Array:
        if self._last is None:
            self._last = self._compute(1)[-1]
        return self._last

    def along(self, ids: Sequence[int]) -> Array:
        """See `DraftBranch.along`."""
        if not ids:
            return self.logprobs()[None]
        first = [] if self._last is None else [self._last]
        self.ids.extend(ids)
        rest = self._compute(len(ids) + 1 - len(first))
        self._last = rest[-1]
        return np.concatenate([np.stack(first), rest]) if first else rest

    def _compute(self, keep: int) -> Array:
        """Return the distributions after each of the last `keep` tokens, computing what the cache lacks."""
        import torch

        if len(self.ids) > self._model.context:
            raise ModelError(
                f"{len(self.ids)} tokens do not fit in the context of {self._model.name} ({self._model.context}).",
                hint="Use a model with a longer context, or fewer and shorter tests.",
            )
        if not self.ids:
            raise ValueError("a branch needs at least one token")
        start = self._crop(len(self.ids) - keep)
        inputs = torch.tensor([self.ids[start:]])
        logits = self._model.forward(inputs, self._cache, keep=keep)
        self._cached = list(self.ids) if self._cache is not None else []
        return np.asarray(torch.log_softmax(logits[0].float(), dim=-1).cpu().numpy(), dtype=np.float32)

    def _crop(self, most: int) -> int:
        """Make the cache a prefix of `ids` at most `most` long, borrowing from a living branch; return its length."""
        model = self._model
        if not model._croppable:
            return 0
        known = min(_common(self._cached, self.ids), most)
        lender, lent = self, known
        for other in model._branches:
            length = min(_common(other._cached, self.ids), most)
            if other is not self and length > lent:
                lender, lent = other, length
        if lender is not self:
            self._cache = copied(lender._cache, 1, lent)
        elif self._cache is None:
            self._cache = growing_cache()
        elif known < len(self._cached):
            self._cache.crop(known - len(self._cached))
        self._cached = self.ids[:lent]
        return lent


def _common(left: Sequence[int], right: Sequence[int]) -> int:
    """Return the length of the longest common prefix."""
    most = min(len(left), len(right))
    if left[:most] == right[:most]:
        return most
    return next(place for place in range(most) if left[place] != right[place])


def _draw(logprobs: torch.Tensor, temperature: float, top_p: float, generator: torch.Generator) -> list[int]:
    """Draw one token per row; temperature 0 is greedy. `top_p` keeps the smallest set with at least that mass."""
    import torch

    if temperature <= 0:
        return [int(token) for token in logprobs.argmax(dim=-1)]
    probabilities = torch.softmax(logprobs.double() / temperature, dim=-1)
    ordered, ids = probabilities.sort(dim=-1, descending=True, stable=True)
    ordered[ordered.cumsum(dim=-1) - ordered >= top_p] = 0.0
    picked = torch.multinomial(ordered, 1, generator=generator)
    return [int(token) for token in ids.gather(-1, picked).squeeze(-1)]


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
