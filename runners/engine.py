"""What an engine is and which limits it grants: Docker or Podman, rootful or rootless, with gVisor or without.

Pure: reads what the engine answers to `version`, `info`, `create` and `inspect`, and what the harness reads off inside
the sandbox. An engine that cannot limit something mostly leaves it out without a word; here the words are found.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from runners.runner import DockerUnavailable, Limits

MEMORY, PROCESSES, CPU = "memory", "processes", "processor time"
_SAYS = {"MemoryLimit": MEMORY, "PidsLimit": PROCESSES, "CpuCfsQuota": CPU}  # in `info`
_ASKED = {"Memory": MEMORY, "PidsLimit": PROCESSES, "NanoCpus": CPU}  # in a container's HostConfig
_WARNED = {"memory limit": MEMORY, "pids limit": PROCESSES, "cpu cfs": CPU, "nano cpus": CPU, "cpu cfs quota": CPU}
_INODES = 200_000  # each takes a kilobyte of the kernel's memory
_GVISOR_PROCESSES = 4  # of the machine for each in the sandbox, beside those of gVisor itself
_GVISOR_OWN = 256


@dataclass(frozen=True, slots=True)
class Engine:
    """What is known of an engine before it starts a container."""

    product: str = "Docker"
    rootless: bool = False
    cgroups: str = ""  # the version of the control groups: "1" or "2"
    runtime: str = ""  # the one that was asked for, "" for the engine's own choice
    gvisor: bool = False  # whether containers run under gVisor
    lacks: tuple[str, ...] = ()  # what it says it cannot limit
    filters_calls: bool = True

    @property
    def usual(self) -> bool:
        """Whether its word can be taken before a container was seen: Docker as root, which limits everything."""
        return self.product == "Docker" and not self.rootless and not self.gvisor and not self.lacks

    @property
    def name(self) -> str:
        """What to call it."""
        return f"rootless {self.product}" if self.rootless else self.product

    def processes(self, limits: Limits) -> int:
        """Return the limit on processes that lets `limits.processes` run.

        gVisor's own threads, and one process of the machine for each of the sandbox's, count against the container's
        limit. At the limit gVisor ends, and the sandbox with it, so it gets room.
        """
        return limits.processes * _GVISOR_PROCESSES + _GVISOR_OWN if self.gvisor else limits.processes

    def folder(self, size_mib: int) -> str:
        """Return the options of a folder in memory. Podman knows no limit on the number of files."""
        files = f",nr_inodes={_INODES}" if self.product == "Docker" else ""
        return f"rw,exec,nosuid,nodev,size={size_mib}m{files},mode=1777"

    def notes(self) -> list[str]:
        """Say what a user should know of it before anything runs."""
        found = []
        if self.product != "Docker" or self.rootless:
            found.append(f"The engine is {self.name}.")
        if self.runtime:
            found.append(f"Containers run under the engine's runtime {self.runtime}.")
        if self.gvisor:
            found.append(
                "Under gVisor the limit on processes counts gVisor's own: a sandbox that exceeds it ends as a whole."
            )
        if not self.filters_calls:
            found.append("The engine filters no system calls; only the harness does.")
        return found

    def unlimited(self, what: Sequence[str]) -> str:
        """Say that the code under test may use up `what`, and what to set."""
        if not self.rootless:
            remedy = "Start the engine where it may use the control groups of the machine."
        elif self.cgroups == "2":
            remedy = (
                "Have systemd delegate the control groups to its user (`systemctl edit user@.service`: [Service] "
                "Delegate=cpu cpuset io memory pids), log in again and restart the engine."
            )
        else:
            remedy = (
                "A rootless engine needs control groups of version 2: boot with systemd.unified_cgroup_hierarchy=1, "
                "or use an engine that runs as root."
            )
        return f"The engine does not limit {_listed(what)}: code under test may use all that the machine has. {remedy}"


def examined(info: Mapping[str, Any], version: Mapping[str, Any], runtime: str) -> Engine:
    """Return what an engine says of itself. Raises DockerUnavailable when it has no such runtime."""
    runtimes = info.get("Runtimes") or {}
    if runtime and runtime not in runtimes:
        raise DockerUnavailable(
            f"The engine has no runtime {runtime!r}; it lists {', '.join(sorted(runtimes)) or 'none'}.",
            hint="Install it and name it in the engine's daemon.json, or leave --runtime out.",
        )
    options = [str(option) for option in info.get("SecurityOptions") or ()]
    parts = [str(part.get("Name", "")) for part in version.get("Components") or () if isinstance(part, dict)]
    return Engine(
        product="Podman" if any("podman" in part.lower() for part in parts) else "Docker",
        rootless=bool(info.get("Rootless")) or any("rootless" in option for option in options),
        cgroups=str(info.get("CgroupVersion") or ""),
        runtime=runtime,
        gvisor=_is_gvisor(runtime or str(info.get("DefaultRuntime") or ""), runtimes),
        lacks=tuple(what for key, what in _SAYS.items() if info.get(key) is False),
        filters_calls=any("seccomp" in option for option in options),
    )


def not_granted(
    engine: Engine, granted: Mapping[str, Any], warnings: Sequence[str], limits: Mapping[str, str]
) -> list[str]:
    """Return which limits a container does not have: memory, processes, processor time.

    granted: the HostConfig that the engine has of it, from which an engine takes out what it cannot do. warnings: what
    it said when the container was created. limits: what the harness read off inside, by our names; of a limit that
    cannot be read there, as under gVisor, the engine's word is all there is.
    """
    lost = {*engine.lacks, *(what for key, what in _ASKED.items() if not _kept(key, granted))}
    for warning in warnings:
        low = warning.lower()
        if "discarded" in low or "not support" in low:
            lost |= {what for words, what in _WARNED.items() if words in low}
    lost |= {what for what, seen in limits.items() if _without_end(seen)}
    return [what for what in (MEMORY, PROCESSES, CPU) if what in lost]


def _kept(key: str, granted: Mapping[str, Any]) -> bool:
    value = granted.get(key)
    if key == "NanoCpus" and not value:  # Podman keeps it as the quota that it comes to
        value = granted.get("CpuQuota")
    return isinstance(value, int) and value > 0


def _without_end(value: str) -> bool:
    """Say whether a control group's file says that there is no limit: "max", -1, or the largest number of version 1."""
    first = value.split()[0] if value.split() else ""
    return first in ("max", "-1") or (first.isdigit() and int(first) >= 1 << 60)


def _is_gvisor(name: str, runtimes: Mapping[str, Any]) -> bool:
    about = runtimes.get(name)
    path = str(about.get("path") or about.get("runtimeType") or "") if isinstance(about, dict) else ""
    return name.startswith("runsc") or "runsc" in PurePosixPath(path).name


def _listed(what: Sequence[str]) -> str:
    return " and ".join(part for part in (", ".join(what[:-1]), what[-1] if what else "") if part)
