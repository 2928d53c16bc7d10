"""What a child leaves behind: a shared mapping that survives its death."""

from __future__ import annotations

import json
import mmap
import struct
from collections.abc import Sequence
from typing import Any

TAPE_BYTES = 4 << 20


class Tape:
    """Records of one child in memory that the parent shares, so that a SIGKILL loses nothing."""

    def __init__(self) -> None:
        self.memory = mmap.mmap(-1, TAPE_BYTES)
        self.clear()

    def clear(self) -> None:
        """Start afresh, as for the next child."""
        struct.pack_into("=I", self.memory, 0, 4)

    def write(self, record: Sequence[object]) -> None:
        """Add a record if there is room; the end of the memory is not for events."""
        data = json.dumps(record, separators=(",", ":")).encode() + b"\n"
        (used,) = struct.unpack_from("=I", self.memory, 0)
        if used + len(data) + 64 > TAPE_BYTES and record[0] == "e":
            return
        if used + len(data) <= TAPE_BYTES:
            self.memory[used : used + len(data)] = data
            struct.pack_into("=I", self.memory, 0, used + len(data))

    def read(self) -> dict[int, dict[str, Any]]:
        """Return {test index: record of that test}; what the child garbled is left out and said."""
        (used,) = struct.unpack_from("=I", self.memory, 0)
        tests: dict[int, dict[str, Any]] = {}
        current: dict[str, Any] | None = None
        for line in bytes(self.memory[4 : min(used, TAPE_BYTES)]).splitlines():
            try:
                record = json.loads(line)
                mark = record[0]
                if mark == "t":
                    current = tests.setdefault(int(record[1]), {"ev": [], "cut": False, "fr": False, "se": False})
                elif current is None:
                    continue
                elif mark == "e":
                    current["ev"].append(record[1:])
                elif mark == "f":
                    current["fr"] = True
                elif mark == "s":
                    current["se"] = True
                elif mark == "c":
                    current["cut"] = True
                elif mark == "z":
                    current["cut"] = current["run"] = True
            except (ValueError, TypeError, IndexError, KeyError):
                if current is not None:
                    current["cut"] = True
        return tests
