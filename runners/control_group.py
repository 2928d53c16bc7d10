"""A control group that limits the memory and the processes of one sandbox, where this user may make one."""

from __future__ import annotations

import time
import uuid
from contextlib import suppress
from pathlib import Path

from runners.leftovers import ended, this_process
from runners.runner import Limits


class ControlGroup:
    """A control group with a limit on memory and on processes, where this user may make one."""

    def __init__(self, folders: list[Path]) -> None:
        self._folders = folders

    @classmethod
    def create(cls, limits: Limits) -> ControlGroup | None:
        """Return a new group, None where that is not allowed."""
        name = f"egcfg.{this_process()}.{uuid.uuid4().hex[:8]}"
        base = Path("/sys/fs/cgroup")
        settings = {
            "memory": {"memory.limit_in_bytes": limits.memory_mib << 20, "memory.memsw.limit_in_bytes": -2},
            "pids": {"pids.max": limits.processes},
        }
        folders = []
        try:
            if (base / "cgroup.controllers").exists():
                if not {"memory", "pids"} <= set((base / "cgroup.subtree_control").read_text().split()):
                    return None
                cls._sweep(base)
                folder = base / name
                folder.mkdir()
                folders.append(folder)
                (folder / "memory.max").write_text(str(limits.memory_mib << 20))
                (folder / "pids.max").write_text(str(limits.processes))
            else:
                for controller, values in settings.items():
                    cls._sweep(base / controller)
                    folder = base / controller / name
                    folder.mkdir()
                    folders.append(folder)
                    for file, value in values.items():
                        if value >= 0:
                            (folder / file).write_text(str(value))
        except OSError:
            cls(folders).remove()
            return None
        return cls(folders)

    @staticmethod
    def _sweep(base: Path) -> None:
        """Remove the empty groups of processes that were killed before they could."""
        for folder in base.glob("egcfg.*.*"):
            if ended(folder.name.split(".")[1]):
                with suppress(OSError):
                    folder.rmdir()

    @property
    def entrances(self) -> tuple[str, ...]:
        """The files through which a process gets in: it writes "0" to each."""
        return tuple(str(folder / "cgroup.procs") for folder in self._folders)

    def remove(self) -> None:
        """Remove the group once its processes are gone."""
        for folder in self._folders:
            for _ in range(100):
                try:
                    folder.rmdir()
                except FileNotFoundError:
                    break
                except OSError:
                    time.sleep(0.01)
                    continue
                break
