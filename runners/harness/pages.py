"""Memory that a child will write to, copied before it has to be."""

from __future__ import annotations

import mmap
from collections.abc import Iterable, Sequence

from runners.harness.kept import open_file

_PAGE = mmap.PAGESIZE
_MADV_POPULATE_WRITE = 23  # Linux 5.14; refused before, which costs nothing
MAX_PAGES = 16384


def own_pages() -> list[list[int]]:
    """Return [[address, bytes], ...] of the writable memory that this process no longer shares with its parent."""
    found: list[list[int]] = []
    left = MAX_PAGES
    with open_file("/proc/self/maps") as maps, open_file("/proc/self/pagemap", "rb", buffering=0) as pagemap:
        for line in maps.read().splitlines():
            span, mode = line.split()[:2]
            start, end = (int(number, 16) for number in span.split("-"))
            if mode != "rw-p" or end - start > 1 << 30:
                continue
            pagemap.seek(start // _PAGE * 8)
            entries = memoryview(pagemap.read((end - start) // _PAGE * 8)).cast("Q")
            for place, entry in enumerate(entries):
                if entry >> 63 and entry >> 56 & 1 and left > 0:  # present, and mapped by nobody else
                    left -= 1
                    address = start + place * _PAGE
                    if found and sum(found[-1]) == address:
                        found[-1][1] += _PAGE
                    else:
                        found.append([address, _PAGE])
    return found


def copy_pages(ranges: Iterable[Sequence[int]]) -> None:
    """Have the kernel copy these pages now instead of when each is first written to."""
    import ctypes

    advise = ctypes.CDLL(None).madvise
    advise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    for address, size in ranges:
        advise(address, size, _MADV_POPULATE_WRITE)


def checked_ranges(value: object) -> list[tuple[int, int]]:
    """Return the ranges a child reported, if that is what they are; it may be hostile."""
    pairs = value if isinstance(value, list) else []
    whole = [pair for pair in pairs if isinstance(pair, list) and [type(number) for number in pair] == [int, int]]
    sound = [(address, size) for address, size in whole if 0 < address < 1 << 47 and 0 < size <= MAX_PAGES * _PAGE]
    return sound if sum(size for _, size in sound) <= MAX_PAGES * _PAGE else []
