"""Which of our folders the engine can mount, on one machine and from inside a job's container."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import docker
import pytest

import runners
from runners.docker import DockerRunner
from runners.environment.wanted import base_image
from runners.runner import DockerUnavailable, Limits
from runners.shared_folders import SharedFolders, shared_folders


def test_on_one_machine_every_folder_is_the_same() -> None:
    shared = shared_folders(lambda _name: None)
    assert shared == SharedFolders()
    assert shared.place({}) is None
    assert shared.seen(Path("/a/b")) == "/a/b"


def test_a_container_that_has_our_machines_name_by_chance_is_not_ours() -> None:
    about = {"Id": "0" * 64, "State": {"Running": True}, "Mounts": []}
    assert shared_folders(lambda name: about if name == socket.gethostname() else None) == SharedFolders()


def test_inside_a_container_paths_are_those_of_the_engines_machine(tmp_path: Path) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    shared = SharedFolders(((str(tmp_path), "/home/ci/jobs"), (str(inner), "/data")))
    assert shared.seen(tmp_path / "x") == "/home/ci/jobs/x"
    assert shared.seen(inner / "x" / "y") == "/data/x/y"
    assert shared.place({"RUNNER_TEMP": str(inner), "TMPDIR": "/nowhere"}) == inner
    with pytest.raises(DockerUnavailable) as caught:
        shared.seen(Path("/elsewhere"))
    assert "TMPDIR" in caught.value.hint
    with pytest.raises(DockerUnavailable, match="shares no writable folder"):
        SharedFolders(()).place({})


SCRIPT = """
import sys
from pathlib import Path
from runners.docker import DockerRunner
from runners.runner import Limits, Target
limits = Limits(suite_timeout_s=120, test_timeout_s=5, memory_mib=512, processes=64)
with DockerRunner(Path("/code"), limits, image=sys.argv[1]) as runner:
    with runner.open_session(Target("attack.py", "target", 1), ["test_attack.py::test_it"]) as session:
        runs = session.execute([b"def target(x):\\n    return 2\\n", b"def target(x):\\n    return 3\\n"])
        print("outcomes", session.level, [run.passed for run in runs])
"""


@pytest.mark.docker
def test_a_warm_session_works_from_inside_a_jobs_container(tmp_path: Path) -> None:
    code, shared = tmp_path / "code", tmp_path / "shared"
    code.mkdir()
    shared.mkdir()
    (code / "attack.py").write_text("def target(x):\n    return x\n")
    (code / "test_attack.py").write_text("from attack import target\ndef test_it():\n    assert target(1) == 2\n")
    with DockerRunner(code, Limits()) as runner:
        image = runner.image
    packages = Path(docker.__file__).parents[1]
    ours = Path(runners.__file__).parents[1]
    client = docker.from_env()
    try:
        said = client.containers.run(  # of the base image: ours have the label by which lost containers are found
            base_image(),
            ["python3", "-c", SCRIPT, image],
            user="0:0",
            volumes={
                "/var/run/docker.sock": {"bind": "/var/run/docker.sock", "mode": "rw"},
                str(packages): {"bind": "/packages", "mode": "ro"},
                str(ours): {"bind": "/ours", "mode": "ro"},
                str(code): {"bind": "/code", "mode": "ro"},
                str(shared): {"bind": "/__w/_temp", "mode": "rw"},
            },
            environment={"PYTHONPATH": "/ours:/packages", "RUNNER_TEMP": "/__w/_temp", "TMPDIR": "/tmp"},
            network_disabled=True,
            remove=True,
            stderr=True,
        ).decode()
    finally:
        client.close()
    assert "outcomes swap [True, False]" in said
    assert os.listdir(shared) == []
