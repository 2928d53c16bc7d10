"""Keys and values of a prefix: a transformers cache that grows in place and can be cropped and copied.

transformers' own cache copies everything for each token it appends.
"""

from __future__ import annotations

from typing import Any

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

    return GrowingCache()


def _grown(held: Any, room: Any, new: Any) -> tuple[Any, Any]:
    """Return `held` followed by `new` along the positions, and the room it lies in."""
    old, total = held.shape[-2], held.shape[-2] + new.shape[-2]
    if total > room.shape[-2]:
        room = new.new_empty((*held.shape[:-2], total + max(GROWTH, total // 4), held.shape[-1]))
        room[..., :old, :] = held
    room[..., old:total, :] = new
    return room[..., :total, :], room


def copied(cache: Any, rows: int, length: int) -> Any:
    """Return a cache with the first `length` positions of a one-row `cache`, `rows` times."""
    copy = growing_cache()
    for index, layer in enumerate(cache.layers):
        if layer.is_initialized:
            keys, values = (part[:, :, :length].expand(rows, -1, -1, -1) for part in (layer.keys, layer.values))
            copy.update(keys, values, index)
    return copy


def cache_bytes(cache: Any) -> int:
    layers = getattr(cache, "layers", ())
    return sum(2 * layer.keys.numel() * layer.keys.element_size() for layer in layers if layer.is_initialized)
