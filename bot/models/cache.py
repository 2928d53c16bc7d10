"""Keys and values of a prefix, which grow in place and can be cropped and copied.

Two of them: one that transformers' networks take (their own copies everything for each token it appends), and a plain
room for networks that run without transformers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

GROWTH = 256  # positions by which a cache grows at least


def croppable(config: Any) -> bool:
    """True when every layer attends to keys and values, which can all be kept: full and sliding-window attention."""
    kinds = {type(layer).__name__ for layer in new_cache(config).layers}
    return kinds <= {"DynamicLayer", "DynamicSlidingWindowLayer"}


def new_cache(config: Any) -> Any:
    """Return transformers' own empty cache for a model."""
    from transformers import DynamicCache

    return DynamicCache(config=config)


def growing_cache() -> Any:
    """Return an empty cache whose layers grow in place, so that a token does not copy all keys and values.

    Layers of sliding-window attention keep everything too: the mask leaves out what the window does not see.
    """
    from transformers import DynamicCache
    from transformers.cache_utils import DynamicLayer

    class GrowingLayer(DynamicLayer):  # type: ignore[no-untyped-call]
        def update(self, key_states: Any, value_states: Any, *_args: Any, **_options: Any) -> tuple[Any, Any]:
            if not self.is_initialized:
                self.dtype, self.device = key_states.dtype, key_states.device
                self.keys, self.values = key_states[:, :, :0], value_states[:, :, :0]
                self.key_room, self.value_room = self.keys, self.values
                self.is_initialized = True
            self.keys, self.key_room = _grown(self.keys, self.key_room, key_states)
            self.values, self.value_room = _grown(self.values, self.value_room, value_states)
            return self.keys, self.values

        def batch_select_indices(self, indices: Any) -> None:
            super().batch_select_indices(indices)
            self.key_room, self.value_room = self.keys, self.values

    class GrowingCache(DynamicCache):
        def __init__(self) -> None:
            super().__init__()
            self.layer_class_to_replicate = GrowingLayer

        @property
        def nbytes(self) -> int:
            return sum(2 * layer.keys.numel() * layer.keys.element_size() for _, layer in self._filled())

        def keep_first(self, length: int) -> None:
            """Forget all but the first `length` positions."""
            for _, layer in self._filled():
                layer.keys, layer.values = layer.keys[:, :, :length], layer.values[:, :, :length]

        def copied(self, length: int, rows: int = 1) -> GrowingCache:
            """Return a cache with the first `length` positions of this one-row cache, `rows` times."""
            copy = GrowingCache()
            for index, layer in self._filled():
                keys, values = (part[:, :, :length].expand(rows, -1, -1, -1) for part in (layer.keys, layer.values))
                copy.update(keys, values, index)
            return copy

        def _filled(self) -> list[tuple[int, Any]]:
            layers: list[Any] = self.layers
            return [(index, layer) for index, layer in enumerate(layers) if layer.is_initialized]

    return GrowingCache()


def _grown(held: Any, room: Any, new: Any) -> tuple[Any, Any]:
    """Return `held` followed by `new` along the positions, and the room it lies in."""
    old, total = held.shape[-2], held.shape[-2] + new.shape[-2]
    if total > room.shape[-2]:
        room = new.new_empty((*held.shape[:-2], total + max(GROWTH, total // 4), held.shape[-1]))
        room[..., :old, :] = held
    room[..., old:total, :] = new
    return room[..., :total, :], room


class KeysAndValues:
    """What one sequence left behind in all layers: the first `length` positions of `room`.

    room: (layers, 2, heads of keys and values, positions, size of a head).
    """

    def __init__(self, room: torch.Tensor, length: int = 0) -> None:
        self.room, self.length = room, length

    @property
    def nbytes(self) -> int:
        *outer, _, size = self.room.shape
        count = self.length * size
        for extent in outer:
            count *= extent
        return count * self.room.element_size()

    def keep_first(self, length: int) -> None:
        self.length = min(self.length, length)

    def copied(self, length: int) -> KeysAndValues:
        return KeysAndValues(self._moved(length, length + GROWTH), length)

    def reserve(self, length: int) -> None:
        """Make room for so many positions."""
        if length > self.room.shape[-2]:
            self.room = self._moved(self.length, length + max(GROWTH, length // 4))

    def _moved(self, length: int, positions: int) -> torch.Tensor:
        """Return a room for so many positions with the first `length` of this one."""
        import torch

        with torch.inference_mode():
            *outer, _, size = self.room.shape
            found = self.room.new_empty(*outer, positions, size)
            found[..., :length, :] = self.room[..., :length, :]
        return found
