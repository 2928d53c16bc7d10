"""Where our folders lie for the engine: the same place on one machine, another when we run in a container ourselves.

A warm sandbox mounts a copy that we write. In a job container only folders that it shares with the engine's machine can
be mounted, under the name that they have there.
"""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from runners.runner import DockerUnavailable

_HINT = (
    "Start the job's container with a folder that it shares with the engine's machine, and let copies go there: "
    "-v /tmp/egcfg-fix:/tmp/egcfg-fix -e TMPDIR=/tmp/egcfg-fix. Or use --runner local."
)


@dataclass(frozen=True, slots=True)
class SharedFolders:
    """The folders of this process that the engine's machine has too: (here, there) pairs; None for all of them."""

    pairs: tuple[tuple[str, str], ...] | None = None

    def place(self, environment: Mapping[str, str]) -> Path | None:
        """Return the folder for copies; None for the usual one, which then is as good as any.

        Raises DockerUnavailable when nothing that can be written is shared.
        """
        if self.pairs is None:
            return None
        preferred = [environment.get(name, "") for name in ("TMPDIR", "RUNNER_TEMP", "GITHUB_WORKSPACE")]
        for folder in [*preferred, "/tmp", *(here for here, _ in self.pairs)]:
            if folder and self._there(folder) and os.path.isdir(folder) and os.access(folder, os.W_OK | os.X_OK):
                return Path(folder)
        raise DockerUnavailable(
            "egcfg-fix runs in a container that shares no writable folder with the engine's machine.", hint=_HINT
        )

    def seen(self, path: Path) -> str:
        """Return a folder as the engine's machine names it. Raises DockerUnavailable when it does not have it."""
        if self.pairs is None:
            return str(path)
        there = self._there(str(path))
        if not there:
            raise DockerUnavailable(f"The engine's machine has no {path}, which is in our container.", hint=_HINT)
        return there

    def _there(self, path: str) -> str:
        for here, there in sorted(self.pairs or (), key=lambda pair: len(pair[0]), reverse=True):
            if PurePosixPath(path).is_relative_to(here):
                return str(PurePosixPath(there) / PurePosixPath(path).relative_to(here))
        return ""


def shared_folders(containers: Callable[[str], Mapping[str, Any] | None]) -> SharedFolders:
    """Return what is shared with the engine. containers: id or name -> what the engine says of it, None if unknown."""
    for name in _own_names(_mounted()):
        about = containers(name)
        if about is not None and _ours(about, name):
            return SharedFolders(tuple(_pairs(about.get("Mounts"))))
    return SharedFolders()


def _pairs(mounts: object) -> Sequence[tuple[str, str]]:
    found = []
    for mount in mounts if isinstance(mounts, list) else ():
        here, there = mount.get("Destination"), mount.get("Source")
        if isinstance(here, str) and isinstance(there, str) and there.startswith("/") and not here.endswith(".sock"):
            found.append((here, there))
    return found


def _own_names(mounted: str) -> list[str]:
    """Return what our container may be called, were we in one: its id as the kernel shows it, our host name."""
    ids = re.findall(r"/containers/([0-9a-f]{64})/", mounted)
    return list(dict.fromkeys([*ids, socket.gethostname()]))


def _ours(about: Mapping[str, Any], name: str) -> bool:
    """Say whether a container is the one we are in: a container may have the name of this machine by chance."""
    return str(about.get("Id", "")).startswith(name) and bool(about.get("State", {}).get("Running"))


def _mounted() -> str:
    try:
        return Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
