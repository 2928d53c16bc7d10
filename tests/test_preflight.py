"""The machine before a repair: GPUs as a driver's tool lists them, and what is done when there is none, or none free.

nvidia-smi is stood in for by a program on PATH that prints what the real one prints; asking it is real.
"""

from __future__ import annotations

import os
from dataclasses import replace

import pytest

from action import preflight
from action.preflight import cache_variables, check, visible, weights_mib
from bot.config import Config
from bot.errors import PreflightError
from runners.runner import DockerUnavailable

TWO = """0, GPU-aaaa1111-0000, NVIDIA H200, 143771, 1200
1, GPU-bbbb2222-0000, NVIDIA H200, 143771, 143000"""
MIB = 1 << 20


@pytest.fixture
def smi(tmp_path):
    """Return a function that puts an nvidia-smi on PATH, and gives the environment with it."""

    def put(gpus, *, status=0, held="", environment=None):
        folder = tmp_path / "bin"
        folder.mkdir(exist_ok=True)
        script = folder / "nvidia-smi"
        lists = f"case $1 in *compute-apps*) cat <<'E'\n{held}\nE\n;; *) cat <<'E'\n{gpus}\nE\n;; esac"
        script.write_text(f"#!/bin/sh\n{lists}\nexit {status}\n")
        script.chmod(0o755)
        return {"PATH": f"{folder}:{os.defpath}"} | (environment or {})

    return put


def asked(config, environment, *, engine=lambda: "20.10", cuda=True):
    return check(config, environment, engine=engine, torch_sees_cuda=lambda: cuda)


AUTO = Config(model="embedded")


def test_the_gpu_with_most_free_memory_is_taken(smi):
    machine = asked(AUTO, smi(TWO))
    assert (machine.config.device, machine.gpu.free_mib, machine.said) == ("cuda:1", 143000, ())


def test_a_full_gpu_means_the_cpu_with_a_warning_that_says_who_holds_it(smi):
    environment = smi(TWO, held="4711, python3, 141000", environment={"INPUT_GPU_MEMORY": "143500"})
    machine = asked(AUTO, environment)
    assert (machine.config.device, machine.gpu) == ("cpu", None)
    [said] = machine.said
    assert said.level == "warning"
    for part in ("GPU 1", "143000 MiB of 143771 MiB free", "143500", "4711, python3, 141000"):
        assert part in said.message


@pytest.mark.parametrize(
    ("gpus", "status", "cuda", "config", "said"),
    [
        (TWO, 0, True, replace(AUTO, device="cuda:0"), "1200 MiB"),
        (TWO, 0, True, replace(AUTO, device="cuda:7"), "no GPU cuda:7"),
        (TWO, 0, False, replace(AUTO, device="cuda"), "PyTorch cannot use it"),
        ("No devices were found", 0, True, replace(AUTO, device="cuda"), "lists no GPU"),
        ("couldn't communicate with the NVIDIA driver", 9, True, replace(AUTO, device="cuda"), "NVIDIA driver"),
    ],
)
def test_a_gpu_that_is_insisted_on_and_cannot_be_had_is_an_error(smi, gpus, status, cuda, config, said):
    environment = smi(gpus, status=status, environment={"INPUT_GPU_MEMORY": "2000"})
    with pytest.raises(PreflightError, match=said) as caught:
        asked(config, environment, cuda=cuda)
    assert "leave `device` out" in caught.value.hint
    machine = asked(AUTO, smi(gpus, status=status, environment={"INPUT_GPU_MEMORY": "200000"}), cuda=cuda)
    assert (machine.config.device, len(machine.said)) == ("cpu", 1)


def test_a_machine_without_a_driver_is_left_to_the_cpu_in_silence(tmp_path):
    environment = {"PATH": str(tmp_path)}
    assert asked(AUTO, environment) == preflight.Machine(AUTO, None, ())
    with pytest.raises(PreflightError, match="not installed"):
        asked(replace(AUTO, device="cuda"), environment)


@pytest.mark.parametrize(
    "config",
    [replace(AUTO, device="cpu"), Config(model="none"), Config(model="http://x/v1"), replace(AUTO, dtype="int8")],
)
def test_what_needs_no_gpu_asks_for_none(config):
    assert asked(config, {"PATH": "/nowhere"}) == preflight.Machine(config, None, ())


@pytest.mark.parametrize(
    ("shown", "names"),
    [(None, ["a", "b"]), ("1,0", ["b", "a"]), ("GPU-bbbb", ["b"]), ("", []), ("0,9,1", ["a"]), ("-1", [])],
)
def test_gpus_are_numbered_as_cuda_numbers_them(smi, shown, names):
    found, complaint = visible(smi(TWO) | ({} if shown is None else {"CUDA_VISIBLE_DEVICES": shown}))
    assert complaint == ""
    assert [gpu.uuid[4] for gpu in found] == names
    assert [gpu.index for gpu in found] == list(range(len(names)))


def test_an_engine_that_does_not_answer_is_an_error_only_where_docker_is_named():
    def silent():
        raise DockerUnavailable("No Docker Engine answers.", hint="Start it.")

    config = Config(model="none")
    [said] = asked(config, {}, engine=silent).said
    assert "bubblewrap" in said.message
    assert asked(replace(config, runner="local"), {}, engine=silent).said == ()
    for named in (replace(config, runner="docker"), replace(config, image="python:3.11")):
        with pytest.raises(DockerUnavailable):
            asked(named, {}, engine=silent)


@pytest.mark.docker
def test_the_engine_here_answers_with_its_version():
    assert preflight._ask_engine()[0].isdigit()


def test_the_weights_on_disk_say_how_much_memory_is_needed(tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "a.safetensors").write_bytes(b"")
    os.truncate(tmp_path / "model" / "a.safetensors", 1000 * MIB)
    assert weights_mib(Config(model=str(tmp_path / "model")), {}) == preflight.CONTEXT_MIB + 1200
    blob = tmp_path / "home/hub/models--org--name/snapshots/1"
    blob.mkdir(parents=True)
    (blob / "b.safetensors").symlink_to(tmp_path / "model" / "a.safetensors")
    assert weights_mib(Config(model="org/name"), {"HF_HOME": str(tmp_path / "home")}) == preflight.CONTEXT_MIB + 1200
    assert weights_mib(Config(model="org/other"), {"HF_HOME": str(tmp_path / "home")}) == preflight.CONTEXT_MIB


def test_models_are_kept_where_jobs_do_not_end_them(tmp_path):
    tools = {"RUNNER_TOOL_CACHE": "/tools"}
    assert cache_variables({}) == {}
    assert cache_variables(tools)["HF_HOME"] == "/tools/egcfg-fix/models"
    assert cache_variables(tools | {"HF_HOME": "/mine"})["HF_HOME"] == "/mine"
    assert cache_variables(tools | {"HF_HOME": "/mine", "INPUT_MODEL_CACHE": "/input"})["HF_HOME"] == "/input"


def test_the_hub_is_not_asked_for_a_pinned_model_that_is_there(tmp_path):
    commit = "a" * 40
    given = {"INPUT_MODEL_CACHE": str(tmp_path), "INPUT_MODEL": "org/name", "INPUT_REVISION": commit}
    assert "HF_HUB_OFFLINE" not in cache_variables(given)
    snapshot = tmp_path / "hub/models--org--name/snapshots" / commit
    snapshot.mkdir(parents=True)
    (snapshot / "model.safetensors").write_bytes(b"")
    assert cache_variables(given)["HF_HUB_OFFLINE"] == "1"
    for wrong in ({"INPUT_REVISION": "main"}, {"INPUT_MODEL": "../../org/name"}):
        assert "HF_HUB_OFFLINE" not in cache_variables(given | wrong)
