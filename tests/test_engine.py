"""What engines say of themselves, and the limits they leave out, from the answers of real ones."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from runners.docker import DockerRunner
from runners.engine import Engine, examined, not_granted
from runners.runner import DockerUnavailable, Limits, Target

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


@pytest.mark.docker
def test_an_engine_that_was_named_is_tried_and_nothing_of_it_is_without_a_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With DOCKER_HOST on rootless Docker or on Podman's socket, the same test holds for those."""
    (tmp_path / "test_code.py").write_text("def test_it():\n    pass\n")
    monkeypatch.setenv("DOCKER_HOST", os.environ.get("DOCKER_HOST") or "unix:///var/run/docker.sock")
    with DockerRunner(tmp_path, Limits(memory_mib=256, processes=64), image=os.environ.get("EGCFG_IMAGE")) as runner:
        assert runner.unlimited is not None
        assert not set(runner.engine.lacks) - set(runner.unlimited)
        assert bool(runner.unlimited) == any("does not limit" in note for note in runner.notes)
        assert runner.mounts == (not any("cannot mount" in note for note in runner.notes))
        sandbox = runner._start(None)
        sandbox.close()
        seen = sandbox.hello.limits
        if "memory" not in runner.unlimited and seen.get("memory"):
            assert int(seen["memory"]) == 256 << 20
        if "processes" not in runner.unlimited and seen.get("processes"):
            assert int(seen["processes"]) == runner.engine.processes(runner._limits)


@pytest.mark.docker
def test_without_mounts_a_warm_session_works_on_copies(tmp_path: Path) -> None:
    (tmp_path / "attack.py").write_text("def target(x):\n    return x\n")
    (tmp_path / "test_attack.py").write_text("from attack import target\n\ndef test_it():\n    assert target(1) == 2\n")
    with DockerRunner(tmp_path, Limits(memory_mib=256, processes=64, workers=1)) as runner:
        runner.mounts = False
        with runner.open_session(Target("attack.py", "target", 1), ["test_attack.py::test_it"]) as session:
            runs = session.execute([b"def target(x):\n    return 2\n", b"def target(x):\n    return 3\n"])
            assert session.level == "swap"
            assert [run.passed for run in runs] == [True, False]
            seen = [about for name in list(runner._containers) if (about := runner._container(name))]
            assert seen
            assert not any(mount["Type"] == "bind" for about in seen for mount in about["Mounts"])
