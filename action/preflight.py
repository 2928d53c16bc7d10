"""What the machine must have before a repair begins: a Docker Engine that answers, a GPU with free memory, a cache.

Asked once, at the start, so that a job fails in its first seconds with a sentence that says what to do, and not in its
last. A GPU that is not there, not usable or full is no failure unless `device` insists on one: the CPU is used, and the
job says so.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from action.annotations import Annotation
from action.inputs import whole
from bot.config import Config
from bot.errors import PreflightError
from runners.runner import RunnerError

SMI_TIMEOUT_S = 60  # a driver that has lost its GPU can take long to say so
QUERY = "index,uuid,name,memory.total,memory.free"
CONTEXT_MIB = 1024  # a CUDA context, activations and the keys and values of one repair
ROOM = 1.2  # of the weights' size: they are read in pieces
CUDA = "import sys, torch; sys.exit(0 if torch.cuda.is_available() else 1)"


@dataclass(frozen=True, slots=True)
class Gpu:
    """One GPU as the driver tells it."""

    index: int
    uuid: str
    name: str
    total_mib: int
    free_mib: int


@dataclass(frozen=True, slots=True)
class Machine:
    """What was found out, and what is done about it."""

    config: Config  # with the device that is used
    gpu: Gpu | None  # on which the model runs
    said: tuple[Annotation, ...]


def check(
    config: Config,
    environment: Mapping[str, str],
    *,
    engine: Callable[[], str] | None = None,
    torch_sees_cuda: Callable[[], bool] | None = None,
) -> Machine:
    """Return what the machine offers to this configuration. Raises PreflightError and RunnerError.

    engine, torch_sees_cuda: asked instead of the Docker Engine and this interpreter's torch.
    """
    said = _engine(config, engine or _ask_engine)
    if config.model == "none" or "://" in config.model or config.device in ("cpu", "mps") or config.dtype == "int8":
        return Machine(config, None, said)
    gpus, complaint = visible(environment)
    insists = config.device.startswith("cuda")
    wanted = [gpu for gpu in gpus if config.device in ("auto", "cuda") or config.device == f"cuda:{gpu.index}"]
    need = whole(environment, "gpu-memory")
    need = weights_mib(config, environment) if need is None else need
    if not complaint and not wanted:
        complaint = f"There is no GPU {config.device}; nvidia-smi lists {len(gpus)}."
    best = max(wanted, key=lambda gpu: gpu.free_mib, default=None)
    if best is not None and best.free_mib < need:
        complaint = (
            f"GPU {best.index} ({best.name}) has {best.free_mib} MiB of {best.total_mib} MiB free, and the model needs "
            f"about {need} MiB.{_holders(environment)}"
        )
    if best is not None and not complaint and not (torch_sees_cuda or _torch_sees_cuda)():
        complaint = (
            f"nvidia-smi sees {best.name}, but PyTorch cannot use it: its build has no CUDA, or the driver is too old."
        )
    if not complaint and best is not None:
        return Machine(replace(config, device=f"cuda:{best.index}"), best, said)
    if insists:
        raise PreflightError(
            complaint, hint="Free it, name another with `device`, or leave `device` out, and the CPU is used."
        )
    if not gpus and not environment.get("NVIDIA_VISIBLE_DEVICES") and "not installed" in complaint:
        return Machine(config, None, said)  # a machine without a GPU: nothing to complain of
    warning = Annotation("warning", "The CPU is used", f"{complaint} The model runs on the CPU, which is slower.")
    return Machine(replace(config, device="cpu"), None, (*said, warning))


# The engine


def _engine(config: Config, ask: Callable[[], str]) -> tuple[Annotation, ...]:
    if config.runner == "local":
        return ()
    try:
        ask()
    except RunnerError as error:
        if config.runner == "docker" or config.image:
            raise
        text = f"{error.message} The tests run in bubblewrap, with an interpreter of this machine."
        return (Annotation("warning", "Docker is not used", text),)
    return ()


def _ask_engine() -> str:
    from runners.docker import engine_version

    return engine_version()


# GPUs


def visible(environment: Mapping[str, str]) -> tuple[list[Gpu], str]:
    """Return the GPUs that CUDA will number 0, 1, ..., with those numbers, and why there are none."""
    lines, complaint = _smi(environment, f"--query-gpu={QUERY}")
    gpus = []
    for line in lines:
        parts = [part.strip() for part in line.split(",")]
        if len(parts) == 5 and parts[0].isdecimal() and parts[3].isdecimal() and parts[4].isdecimal():
            gpus.append(Gpu(int(parts[0]), parts[1], parts[2], int(parts[3]), int(parts[4])))
    if not gpus and not complaint:
        complaint = "nvidia-smi lists no GPU that can be used."
    return _numbered(gpus, environment.get("CUDA_VISIBLE_DEVICES")), complaint


def _numbered(gpus: Sequence[Gpu], shown: str | None) -> list[Gpu]:
    """Return what CUDA_VISIBLE_DEVICES leaves of them, numbered as CUDA does; unset shows all."""
    if shown is None:
        return list(gpus)
    chosen: list[Gpu] = []
    for name in shown.split(","):
        found = [gpu for gpu in gpus if name.strip() == str(gpu.index) or _same(gpu.uuid, name.strip())]
        if not found:
            break  # CUDA, too, ignores what follows a name it does not know
        chosen.append(replace(found[0], index=len(chosen)))
    return chosen


def _same(uuid: str, name: str) -> bool:
    return len(name) > 4 and uuid.lower().startswith(name.lower())


def _smi(environment: Mapping[str, str], query: str) -> tuple[list[str], str]:
    command = ["nvidia-smi", query, "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(
            command,
            env={"PATH": environment.get("PATH", os.defpath), "CUDA_DEVICE_ORDER": "PCI_BUS_ID"},
            capture_output=True,
            text=True,
            errors="replace",
            timeout=SMI_TIMEOUT_S,
            check=False,
        )
    except FileNotFoundError:
        return [], "nvidia-smi is not installed, so there is no NVIDIA driver here."
    except subprocess.TimeoutExpired:
        return [], f"nvidia-smi did not answer within {SMI_TIMEOUT_S} s: the driver hangs."
    except OSError as error:
        return [], f"nvidia-smi cannot be run: {error.strerror}."
    if done.returncode != 0:
        said = " ".join((done.stdout + done.stderr).split())[:300]
        return [], f"nvidia-smi failed: {said or f'status {done.returncode}'}."
    return done.stdout.splitlines(), ""


def _holders(environment: Mapping[str, str]) -> str:
    """Return who holds GPU memory: a process that has died can leave it taken, with the GPU itself idle."""
    lines, _ = _smi(environment, "--query-compute-apps=pid,process_name,used_memory")
    named = [", ".join(part.strip() for part in line.split(",")[:3]) for line in lines if line.strip()]
    return f" It is held by (process, name, MiB): {'; '.join(named[:5])}." if named else ""


def _torch_sees_cuda() -> bool:
    from bot.models.huggingface import cuda_is_usable

    return cuda_is_usable()


# The model


def weights_mib(config: Config, environment: Mapping[str, str]) -> int:
    """Return what the model's weights on disk need of GPU memory, in MiB; little when they are not here yet."""
    place = Path(config.model)
    if config.model == "embedded":
        return CONTEXT_MIB
    if not place.is_dir():
        cache = environment.get("HF_HUB_CACHE") or os.path.join(environment.get("HF_HOME", ""), "hub")
        place = Path(cache, "models--" + config.model.replace("/", "--"), "snapshots")
    sizes: dict[str, int] = {}
    for file in place.rglob("*.safetensors") if place.is_dir() else ():
        try:
            sizes[str(file.resolve())] = file.stat().st_size
        except OSError:
            continue
    return CONTEXT_MIB + int(sum(sizes.values()) * ROOM) // (1 << 20)


def cache_variables(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that keep downloaded models where they survive the job.

    The place is the input `model-cache`, else HF_HOME where the runner's owner has set it, else a folder of the
    runner's tool cache. With the model there at a pinned commit, the hub is not asked at all.
    """
    tools = environment.get("RUNNER_TOOL_CACHE", "")
    home = environment.get("INPUT_MODEL_CACHE", "").strip() or environment.get("HF_HOME", "")
    if not home and tools:
        home = os.path.join(tools, "egcfg-fix", "models")
    if not home:
        return {}
    variables = {"HF_HOME": os.path.abspath(home), "HF_HUB_DISABLE_TELEMETRY": "1"}
    name, revision = (environment.get(f"INPUT_{key}", "").strip() for key in ("MODEL", "REVISION"))
    if re.fullmatch(r"[\w.-]+/[\w.-]+", name) and re.fullmatch(r"[0-9a-f]{40}", revision):
        snapshot = Path(home, "hub", f"models--{name.replace('/', '--')}", "snapshots", revision)
        if any(snapshot.glob("*.safetensors")):
            variables["HF_HUB_OFFLINE"] = "1"
    return variables
