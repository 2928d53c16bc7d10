"""The harness in a container (docker SDK): no network, no root, capped memory, time and processes.

The harness is process 1 and talks over the container's own stdin and stdout. Files come as a tar on that channel
(cold) or as a read-only mount of a copy that only the host writes (warm). What the engine really granted is checked.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import docker
from docker.errors import APIError, DockerException, ImageNotFound, NotFound
from docker.types import LogConfig, Mount, Ulimit
from docker.utils import version_gte

from runners.cold import run_suite
from runners.engine import CPU, PROCESSES, examined, not_granted
from runners.environment.build import Progress, silent
from runners.environment.image import Builder
from runners.environment.image_store import Image, made_files
from runners.environment.plan import Plan, make_plan, workspace_top
from runners.environment.wanted import Wanted, supply
from runners.leftovers import LABEL, OWNER, abandoned, owner
from runners.runner import (
    DockerUnavailable,
    Limits,
    RunnerError,
    SandboxLost,
    Session,
    SuiteRequest,
    SuiteRun,
    Target,
    TestRun,
)
from runners.shared_folders import shared_folders
from runners.streams import SocketStream
from runners.variables import variables
from runners.warm import WarmSession
from runners.wire import ENTRYPOINT, INTERPRETER_FLAGS, Channel, Hello
from runners.worker import Job
from runners.workspace import Workspace

_INSIDE = "/repo"
_USER = 10001
_SHARED = 8  # sandboxes that may each have all their processes, where only their sum can be limited
_HINT_FULL = "Free some space on the engine's disk (`docker system df` shows what uses it), then run again."
_HINT = "Start Docker (see `docker version`), or use --runner local with bubblewrap."


class DockerRunner:
    """Runs tests in containers of one image."""

    kind = "docker"
    isolated = True

    def __init__(
        self,
        root: Path,
        limits: Limits,
        image: str | None = None,
        base: str | None = None,
        timeout_s: float = 60.0,
        pytest_args: Sequence[str] = (),
        runtime: str = "",
        wanted: Wanted | None = None,
        progress: Progress = silent,
    ) -> None:
        """Find or build the image and make the copy.

        image, base: short for the same fields of `wanted`, what the user wants of the environment; without an image
        of the user's one is built with the repository's dependencies. progress: told what takes long.
        pytest_args: more arguments for every run of pytest, cold and warm.
        runtime: what the engine runs containers with, such as gVisor's "runsc"; "" is the engine's default.
        Raises DockerUnavailable when no engine answers, lacks the runtime or refuses, EnvironmentFailed when something
        cannot be installed.
        """
        self.notes: list[str] = []
        self.runtime = runtime
        self.unlimited: tuple[str, ...] | None = ()  # what the user was told is not limited; None until it is known
        wanted = wanted or Wanted()
        wanted = replace(wanted, image=image or wanted.image, base=base or wanted.base)
        self._limits, self._root, self._arguments = limits, Path(root).resolve(), tuple(pytest_args)
        self._client = _connect(timeout_s)
        self._containers: set[str] = set()
        self.mounts = True  # whether the engine can mount our folders
        try:
            with _explained("The engine does not answer"):
                sweep(self._client)
                self.engine = examined(self._client.info(), self._client.version(), runtime)
                self._shared = shared_folders(self._container)
            self._workspace = Workspace(self._root, self._shared.place(os.environ))
        except BaseException:
            self._client.close()
            raise
        try:
            self.environment, self.plan = provide(self._client, self._root, self._workspace, wanted, progress)
            self.image = self.environment.tag
            self.notes += [*self.engine.notes(), *self.environment.notes]
            if not self.engine.usual or os.environ.get("DOCKER_HOST"):
                self._try()
        except BaseException:
            self.close()
            raise

    def run_suite(self, request: SuiteRequest) -> SuiteRun:
        """Run tests in a fresh container on a fresh copy of the repository.

        Raises DockerUnavailable when the engine goes away meanwhile: what was running then says nothing of the tests.
        """
        suite = run_suite(self._start, self._workspace, self._limits, request.with_args(self._arguments))
        if not suite.complete:
            with _explained("The engine went away while the tests ran"):
                self._client.ping()
        return suite

    def open_session(
        self, target: Target, node_ids: Sequence[str], guarding: Sequence[str] = (), known: Sequence[TestRun] = ()
    ) -> Session:
        """Start a warm container in which variants of `target` meet `node_ids`, and `guarding` if these pass."""
        job = Job(self._start, self._workspace, self._limits, target, node_ids, self._arguments, guarding, known)
        return WarmSession(job, self.mounts)

    def close(self) -> None:
        """Remove containers and copies."""
        for name in list(self._containers):
            self._remove(name)
        self._workspace.close()
        self._client.close()

    def __enter__(self) -> DockerRunner:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _try(self) -> None:
        """Start one sandbox to see what it has, and say before anything runs what it has not."""
        self.unlimited = None
        try:
            sandbox = self._start(self._workspace.snapshot)
        except RunnerError as error:
            sandbox = self._start(None)  # raises too when it was not the folder
            self.mounts = False
            self.notes.append(
                f"The engine cannot mount folders of this machine, so every sandbox gets a copy: {error.message}"
            )
        sandbox.close()
        self.unlimited = tuple(sandbox.unlimited)
        if self.unlimited:
            self.notes.append(self.engine.unlimited(self.unlimited))

    def _start(self, overlay: Path | None, *, warm: bool = False) -> DockerSandbox:
        with _explained("The engine did not start the sandbox"):
            made = self._client.api.create_container(
                self.image,
                entrypoint=list(ENTRYPOINT),
                command=list(INTERPRETER_FLAGS),
                stdin_open=True,
                user=f"{_USER}:{_USER}",
                working_dir="/",
                environment=variables("/tmp", warm=warm),
                labels={LABEL: "1", OWNER: owner()},
                host_config=self._host_config(overlay),
                network_disabled=True,
                hostname="sandbox",
                use_config_proxy=False,  # the client's settings may hold a proxy with its password
            )
        name = str(made["Id"])
        self._containers.add(name)
        wire: Any = None
        try:
            with _explained("The engine did not start the sandbox"):
                wire = self._client.api.attach_socket(name, params={"stdin": 1, "stdout": 1, "stderr": 1, "stream": 1})
                self._client.api.start(name)
                granted = self._client.api.inspect_container(name).get("HostConfig") or {}
            sandbox = DockerSandbox(self, name, wire)
        except BaseException:
            _hang_up(wire)
            self._remove(name)
            raise
        sandbox.unlimited = not_granted(self.engine, granted, made.get("Warnings") or (), sandbox.hello.limits)
        complaint = _weakness(sandbox.hello) or self._unforeseen(sandbox.unlimited)
        if complaint:
            sandbox.close()
            raise DockerUnavailable(f"The engine does not isolate containers: {complaint}.", hint=_HINT)
        return sandbox

    def _unforeseen(self, unlimited: Sequence[str]) -> str:
        """Say what a sandbox is not limited in although nobody was told; "" while the first one is tried."""
        if self.unlimited is None:
            return ""
        more = [what for what in unlimited if what not in self.unlimited]
        return f"their {' and '.join(more)} is without limit" if more else ""

    def _host_config(self, overlay: Path | None) -> Any:
        limits = self._limits
        room = self.engine.folder
        tmpfs = {"/tmp": room(max(64, limits.memory_mib // 2))}  # files in memory count as memory
        mounts = []
        if overlay is None:
            tmpfs[_INSIDE] = room(limits.memory_mib)
        else:
            mounts.append(Mount(_INSIDE, self._shared.seen(overlay), type="bind", read_only=True))
        return self._client.api.create_host_config(
            network_mode="none",
            read_only=True,
            cap_drop=["ALL"],
            security_opt=["no-new-privileges:true"],
            pids_limit=self.engine.processes(limits),
            mem_limit=f"{limits.memory_mib}m",
            memswap_limit=f"{limits.memory_mib}m",
            nano_cpus=None if CPU in self.engine.lacks else int(limits.cpus * 1e9),  # Docker would refuse
            ipc_mode="private",
            shm_size="16m",
            tmpfs=tmpfs,
            mounts=mounts,
            ulimits=[Ulimit(name=name, soft=most, hard=most) for name, most in self._ulimits()],
            log_config=LogConfig(type="none"),
            cgroupns="private" if version_gte(self._client.api.api_version, "1.41") else None,
            runtime=self.runtime or None,
        )

    def _ulimits(self) -> list[tuple[str, int]]:
        fixed = [("nofile", 1024), ("core", 0)]
        if self.engine.product == "Podman":  # it would set a million itself, which it may not be allowed to
            fixed.append(("nproc", _SHARED * self.engine.processes(self._limits)))
        return fixed

    def shared_processes(self) -> int:
        """Return how many processes the sandboxes of this engine may have together, 0 when each has its own limit.

        The kernel counts by user where there are no control groups, and the sandboxes of an engine are one user.
        """
        lacks = PROCESSES in (*self.engine.lacks, *(self.unlimited or ()))
        return _SHARED * self._limits.processes if lacks else 0

    def _container(self, name: str) -> dict[str, Any] | None:
        try:
            return dict(self._client.api.inspect_container(name))
        except NotFound:
            return None

    def _remove(self, name: str) -> None:
        """Remove a container; one that the engine does not remove now is tried again when the runner is closed."""
        try:
            self._client.api.remove_container(name, force=True, v=True)
        except NotFound:
            self._containers.discard(name)
        except (DockerException, OSError):
            return
        self._containers.discard(name)

    def _last_words(self, name: str) -> str:
        try:
            state = self._client.api.inspect_container(name)["State"]
        except (DockerException, OSError, KeyError):
            return "the engine no longer knows it or does not answer"
        if state.get("OOMKilled"):
            return f"it ran out of memory ({self._limits.memory_mib} MiB)"
        return "" if state.get("Running") else f"its exit status was {state.get('ExitCode')}"


class DockerSandbox:
    """One container with the harness in it."""

    def __init__(self, runner: DockerRunner, name: str, wire: Any) -> None:
        self.root = _INSIDE
        self.unlimited: Sequence[str] = ()  # what the engine does not limit in it
        connection: socket.socket = getattr(wire, "_sock", wire)
        self._wire = wire
        stream = SocketStream(connection, lambda: runner._last_words(name), lambda: runner._remove(name))
        self.channel = Channel(stream)
        try:
            self.hello: Hello = self.channel.boot(root=_INSIDE, tmp="/tmp", was="", processes=runner.shared_processes())
        except SandboxLost:
            self.close()
            raise

    def close(self) -> None:
        """Kill and remove the container."""
        _hang_up(self._wire)
        self.channel.close()


def provide(
    client: Any, root: Path, workspace: Workspace, wanted: Wanted, progress: Progress = silent
) -> tuple[Image, Plan | None]:
    """Return the image for the project at `root` and the plan that it was built by; generated files join the copy.

    The image is the user's own, or built once from the repository's files and found again by their hash.
    """
    if wanted.image:
        return Image(_named_image(client, wanted.image)), None
    top = wanted.top or workspace_top(root)
    plan = make_plan(root, top)
    packages = supply(os.environ, plan.indexes)
    builder = Builder(client, {OWNER: owner()}, replace(wanted, top=top), packages, progress)
    image = builder.provide(plan, workspace.snapshot)
    with _explained("The engine does not give the generated files"):
        workspace.add(made_files(client, image))
    return image, plan


def sweep(client: Any) -> None:
    """Remove containers whose owner, a process of this machine, is gone."""
    for container in client.api.containers(all=True, filters={"label": LABEL}):
        if abandoned(container.get("Labels", {}).get(OWNER, "")):
            with suppress(DockerException):
                client.api.remove_container(container["Id"], force=True, v=True)


def engine_version(timeout_s: float = 10.0) -> str:
    """Return the version of the Docker Engine. Raises DockerUnavailable when none answers."""
    client = _connect(timeout_s)
    try:
        with _explained("The engine does not answer"):
            return str(client.version().get("Version", ""))
    finally:
        client.close()


def _connect(timeout_s: float) -> Any:
    with _explained("No Docker Engine answers"):
        host = os.environ.get("DOCKER_HOST") or "unix:///var/run/docker.sock"
        if host.startswith("unix://"):  # the SDK leaks its socket when nobody listens
            with socket.socket(socket.AF_UNIX) as probe:
                probe.settimeout(timeout_s)
                probe.connect(host.removeprefix("unix://"))
        client = docker.from_env(timeout=int(timeout_s))
        try:
            client.ping()
        except BaseException:
            client.close()
            raise
    return client


def _hang_up(wire: Any) -> None:
    """Close what `attach_socket` returned, and the response that holds the connection of its request."""
    for part in (getattr(wire, "_response", None), wire):
        with suppress(OSError, ValueError, AttributeError):
            part.close()  # type: ignore[union-attr]


def _named_image(client: Any, image: str) -> str:
    with _explained(f"The image {image} cannot be had"):
        if not _known(client, image):
            client.images.pull(image)
    return image


def _known(client: Any, tag: str) -> bool:
    try:
        client.images.get(tag)
    except ImageNotFound:
        return False
    return True


@contextmanager
def _explained(what: str) -> Iterator[None]:
    try:
        yield
    except RunnerError:
        raise
    except (DockerException, OSError) as error:
        full = "no space left" in str(error).lower()
        raise DockerUnavailable(f"{what}: {_short(error)}", hint=_HINT_FULL if full else _HINT) from error


def _short(error: BaseException) -> str:
    said = error.explanation if isinstance(error, APIError) and error.explanation else str(error)
    return " ".join(str(said).split())[:300]


def _weakness(hello: Hello) -> str:
    """Say what the engine did not grant; "" when the container is as asked for."""
    status = hello.status
    if hello.uid == 0:
        return "the tests would run as root"
    if int(status.get("CapEff") or "1", 16) or int(status.get("CapBnd") or "1", 16):
        return "capabilities were not dropped"
    if status.get("NoNewPrivs") != "1":
        return "new privileges are not ruled out"
    if any(name.startswith(("eth", "en", "wl", "tap")) for name in hello.interfaces):
        return "there is a network"
    return ""
