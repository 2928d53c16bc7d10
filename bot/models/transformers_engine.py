"""Any causal language model that transformers can load, through its own `forward`."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from bot.models.cache import croppable, growing_cache, new_cache
from bot.models.engine import BATCH_ELEMENTS, LOOSE, PROBE, Part, Rows
from bot.models.language_model import Usage
from bot.models.rows import CopiedRows, PackedRows, UncachedRows

if TYPE_CHECKING:
    import torch


BATCH_TOKENS = 512  # of drafts scored in one pass


class TransformersEngine:
    """Any causal language model through its own `forward`, a part at a time."""

    def __init__(self, network: Any, usage: Usage) -> None:
        self.usage = usage
        self.vocabulary = int(network.config.get_text_config().vocab_size)
        self.croppable = croppable(network.config)
        self._network = network
        parameters = inspect.signature(network.forward).parameters
        self._keeps = "logits_to_keep" in parameters
        self._takes_places = "position_ids" in parameters
        self._packs: bool | None = None
        self._most = max(1, min(BATCH_TOKENS, BATCH_ELEMENTS // self.vocabulary))

    @property
    def device(self) -> str:
        return str(self._network.device)

    def new_cache(self) -> Any:
        return growing_cache() if self.croppable else None

    def run(self, parts: Sequence[Part]) -> list[torch.Tensor]:
        import torch

        found = []
        for part in parts:
            extra = {}
            if part.places is not None:
                extra["position_ids"] = torch.tensor([list(part.places)])
            if part.seen is not None:
                hidden = torch.from_numpy(~part.seen)
                mask = torch.zeros(hidden.shape, dtype=self._network.dtype)
                extra["attention_mask"] = mask.masked_fill_(hidden, torch.finfo(mask.dtype).min)[None, None]
            found.append(self.batch(torch.tensor([list(part.ids)]), part.cache, keep=part.keep, **extra)[0])
        return found

    def batch(self, inputs: torch.Tensor, cache: Any, *, keep: int, **extra: torch.Tensor) -> torch.Tensor:
        """Run `inputs`, shape (B, T), after `cache` if any, which grows; return log p of the last `keep`, (B, keep, V).

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
            logits = self._network(input_ids=inputs.to(device), **options).logits[:, -keep:]
            return torch.log_softmax(logits.float(), dim=-1).cpu()

    def rows(self, cache: Any, prefix: Sequence[int]) -> Rows:
        if not self.croppable:
            return UncachedRows(self.run, prefix)
        if self.packs():
            return PackedRows(self.run, cache, len(prefix), self._most)
        return CopiedRows(self.batch, cache, len(prefix), self._most)

    def packs(self) -> bool:
        """True when rows packed into one sequence give this network's own distributions: tried once, on two rows."""
        if self._packs is None:
            before = self.usage.passes, self.usage.positions
            try:
                self._packs = self._try_packing()
            except (RuntimeError, ValueError, TypeError, IndexError, KeyError):  # the architecture takes no such mask
                self._packs = False
            self.usage.passes, self.usage.positions = before
        return self._packs

    def _try_packing(self) -> bool:
        import torch

        sliding = any(getattr(layer, "is_sliding", False) for layer in new_cache(self._network.config).layers)
        if sliding or not self._takes_places:
            return False
        ids = [place % self.vocabulary for place in PROBE]
        cache = self.new_cache()
        self.run([Part(ids[:3], cache, 1)])
        packed = PackedRows(self.run, cache, 3, self._most)
        packed.extend([(0, ids[3:4]), (1, ids[4:5])])
        found = torch.cat(packed.extend([(0, ids[5:6]), (1, ids[5:6])]))
        alone = UncachedRows(self.run, ids[:3])
        wanted = torch.cat(alone.extend([(0, [ids[3], ids[5]]), (1, [ids[4], ids[5]])]))[[1, 3]]
        loose = LOOSE if self._network.dtype == torch.float32 else 0.3
        return bool((found - wanted).abs().max() < loose)
