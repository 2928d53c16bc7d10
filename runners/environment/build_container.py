"""The container in which a stage of the image is made, and the host's half of the work in it.

Its root has what package managers need and no more; credentials, caches and sources lie on mounts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from docker.errors import DockerException
from docker.types import LogConfig, Mount

from runners.environment import python_version
from runners.environment.build import Build, BuildLog
from runners.environment.plan import Plan
from runners.leftovers import LABEL
from runners.runner import EnvironmentFailed, SandboxLost
from runners.streams import SocketStream
from runners.wire import BOOTSTRAP, ENTRYPOINT, Channel

_SECRET, _CACHE = "/run/egcfg-fix", "/var/cache/egcfg-fix"
_CAPABILITIES = ["CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "SETGID", "SETUID"]  # what apt-get and pip need as root
_PROCESSES = 2048


@contextmanager
def build_container(client: Any, image: str, owner: Mapping[str, str], *, network: bool) -> Iterator[str]:
    """Yield the id of a new container that waits for `work`; afterwards it is gone. owner: labels for a sweep."""
    api = client.api
    made = api.create_container(
        image,
        entrypoint=list(ENTRYPOINT),
        command=["-s", "-c", BOOTSTRAP],
        stdin_open=True,
        user="0:0",
        working_dir="/",
        labels={LABEL: "build", **owner},
        network_disabled=not network,
        use_config_proxy=False,  # its passwords would become part of the container's configuration
        host_config=api.create_host_config(
            **({} if network else {"network_mode": "none"}),
            cap_drop=["ALL"],
            cap_add=_CAPABILITIES,
            security_opt=["no-new-privileges:true"],
            pids_limit=_PROCESSES,
            tmpfs={
                _SECRET: "rw,noexec,nosuid,nodev,size=16m,mode=0700",
                "/repo": "rw,exec,nosuid,nodev,size=2g,mode=0755",
                "/siblings": "rw,exec,nosuid,nodev,size=1g,mode=0755",
                "/tmp": "rw,exec,nosuid,nodev,size=2g,mode=1777",
            },
            mounts=[Mount(_CACHE, None, type="volume")],
            log_config=LogConfig(type="none"),
        ),
    )
    try:
        yield str(made["Id"])
    finally:
        with suppress(DockerException, OSError):
            api.remove_container(made["Id"], force=True, v=True)


def work(
    client: Any, container: str, build: Build, name: str, request: Mapping[str, Any], plan: Plan | None
) -> dict[str, Any]:
    """Run one request in a container and return its last reply. Raises EnvironmentFailed."""
    api = client.api
    wire = api.attach_socket(container, params={"stdin": 1, "stdout": 1, "stderr": 1, "stream": 1})
    connection = getattr(wire, "_sock", wire)
    api.start(container)
    channel = Channel(SocketStream(connection, lambda: _state(client, container), lambda: None))
    try:
        source = Path(__file__).with_name("install.py").read_bytes()
        channel.send_bytes(len(source).to_bytes(4, "big") + source, 60)
        hello = channel.expect("hello", min(max(build.left, 1.0), 300.0))
        _check_python(str(hello.get("version", ""))[:30], plan)
        channel.send(request, 300)
        while (reply := channel.receive(max(build.left, 0.01))).get("k") != "done":
            if reply.get("k") == "failed":
                raise build.failed(name, plan, str(hello.get("version", "")))
            _said(build.log, reply)
        api.wait(container, timeout=300)
        return reply
    except SandboxLost as error:
        if build.left <= 0:
            raise build.timed_out(name) from error
        raise build.failed(name, plan, "", error.message) from error
    finally:
        for part in (getattr(wire, "_response", None), wire):
            with suppress(OSError, ValueError, AttributeError):
                part.close()  # type: ignore[union-attr]
        channel.close()


def _said(log: BuildLog, reply: Mapping[str, Any]) -> None:
    text = reply.get("t")
    if not isinstance(text, str):
        return
    if reply.get("k") == "log":
        log.write(text)
    elif reply.get("k") == "step":
        log.write(f"== {text[:200]}\n")


def _state(client: Any, container: str) -> str:
    try:
        state = client.api.inspect_container(container)["State"]
    except (DockerException, OSError, KeyError):
        return "the engine no longer knows the container"
    if state.get("OOMKilled"):
        return "it ran out of memory: MemoryError"
    return "" if state.get("Running") else f"exit status {state.get('ExitCode')}"


def _check_python(version: str, plan: Plan | None) -> None:
    if plan is None or python_version.allows(plan.python, version):
        return
    raise EnvironmentFailed(
        f"The project needs Python {', '.join(plan.python)}, and the image has {version}.",
        hint=f"Set EGCFG_BASE_IMAGE to an image that has it, such as python:{plan.version}-slim, or name an image "
        "of your own with --image.",
        cause="python",
    )
