"""What engines say of themselves, and the limits they leave out, from the answers of real ones."""

from __future__ import annotations

from typing import Any

import pytest

from runners.engine import Engine, examined, not_granted
from runners.runner import DockerUnavailable, Limits

SECCOMP = ["name=seccomp,profile=default"]
DOCKER: dict[str, Any] = {
    "Runtimes": {"io.containerd.runc.v2": {"path": "runc"}, "runc": {"path": "runc"}},
    "DefaultRuntime": "runc",
    "SecurityOptions": SECCOMP,
    "CgroupVersion": "2",
    "MemoryLimit": True,
    "PidsLimit": True,
    "CpuCfsQuota": True,
}
GVISOR = {**DOCKER, "Runtimes": {**DOCKER["Runtimes"], "safe": {"path": "/usr/local/bin/runsc"}}}
MOBY = {"Components": [{"Name": "Engine"}, {"Name": "containerd"}, {"Name": "runc"}]}
PODMAN = {"Components": [{"Name": "Podman Engine"}, {"Name": "Conmon"}]}
LIMITED = {"Memory": 512 << 20, "PidsLimit": 64, "NanoCpus": 1_000_000_000}


def test_docker_as_root_that_limits_everything_needs_no_word_and_no_trial() -> None:
    engine = examined(DOCKER, MOBY, "")
    assert engine.usual
    assert engine.notes() == []
    assert engine.processes(Limits(processes=64)) == 64
    assert "nr_inodes=" in engine.folder(64)


def test_a_runtime_that_is_not_listed_is_an_error_that_names_those_that_are() -> None:
    with pytest.raises(DockerUnavailable, match=r"no runtime 'kata'; it lists io\.containerd\.runc\.v2, runc"):
        examined(DOCKER, MOBY, "kata")


def test_gvisor_is_known_by_its_program_and_gets_room_for_its_own_processes() -> None:
    for engine in (examined(GVISOR, MOBY, "safe"), examined({**GVISOR, "DefaultRuntime": "safe"}, MOBY, "")):
        assert engine.gvisor
        assert not engine.usual
        assert engine.processes(Limits(processes=64)) > 64
        assert any("gVisor" in note for note in engine.notes())


def test_a_rootless_engine_says_so_in_docker_and_in_podman() -> None:
    docker = examined({**DOCKER, "SecurityOptions": [*SECCOMP, "name=rootless", "name=cgroupns"]}, MOBY, "")
    podman = examined({**DOCKER, "Rootless": True}, PODMAN, "")
    assert (docker.name, podman.name) == ("rootless Docker", "rootless Podman")
    assert not docker.usual
    assert "nr_inodes" not in podman.folder(64)  # Podman refuses the option
    assert podman.notes() == ["The engine is rootless Podman."]


def test_what_the_engine_says_it_cannot_limit_is_known_before_a_container_is_made() -> None:
    engine = examined({**DOCKER, "MemoryLimit": False, "PidsLimit": False, "CpuCfsQuota": False}, MOBY, "")
    assert engine.lacks == ("memory", "processes", "processor time")
    assert not_granted(engine, LIMITED, [], {}) == list(engine.lacks)  # rootless Docker keeps the number it was given
    assert not engine.usual


@pytest.mark.parametrize(
    ("granted", "warnings", "inside", "lost"),
    [
        (LIMITED, [], {}, []),
        (LIMITED, [], {"memory": "536870912", "processes": "64", "processor time": "100000 100000"}, []),
        ({**LIMITED, "NanoCpus": 0, "CpuQuota": 100_000}, [], {}, []),
        ({**LIMITED, "Memory": 0}, [], {}, ["memory"]),
        ({**LIMITED, "PidsLimit": None, "NanoCpus": 0}, [], {}, ["processes", "processor time"]),
        ({}, [], {}, ["memory", "processes", "processor time"]),
        (LIMITED, [], {"memory": "9223372036854771712", "processor time": "-1"}, ["memory", "processor time"]),
        (LIMITED, [], {"memory": "max", "processes": "max", "processor time": "max 100000"}, [*"mpc"]),
        (
            LIMITED,
            [
                "Your kernel does not support memory limit capabilities or the cgroup is not mounted. "
                "Limitation discarded.",
                "Your kernel does not support pids limit capabilities or the cgroup is not mounted. "
                "PIDs limit discarded.",
            ],
            {},
            ["memory", "processes"],
        ),
        (LIMITED, ["The requested image's platform does not match"], {}, []),
    ],
)
def test_a_limit_that_is_left_out_is_found_wherever_it_shows(
    granted: dict[str, Any], warnings: list[str], inside: dict[str, str], lost: list[str]
) -> None:
    names = {"m": "memory", "p": "processes", "c": "processor time"}
    assert not_granted(Engine(), granted, warnings, inside) == [names.get(one, one) for one in lost]


def test_what_to_set_depends_on_the_engine() -> None:
    assert "Delegate=" in Engine(rootless=True, cgroups="2").unlimited(["processor time"])
    assert "unified_cgroup_hierarchy" in Engine(rootless=True, cgroups="1").unlimited(["memory", "processes"])
    said = Engine(cgroups="1").unlimited(["memory", "processes", "processor time"])
    assert said.startswith("The engine does not limit memory, processes and processor time: ")
