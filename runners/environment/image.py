"""Makes the image in which a repository's tests run, in stages that are each found again by the name of their inputs.

    ground        the base image with uv, once for each base (Dockerfile; no network)
    setup         the user's own command, if there is one (network, no credentials)
    dependencies  what the plan lists (network and credentials; no code of the repository)
    project       the repository's package, installed in place (code of the repository; no network, no credentials)

A stage is a container that is committed when its work is done. What it works on comes over its standard input, and
credentials, caches and sources lie on mounts, which are no part of the image. So no layer, history or configuration
ever holds them, with BuildKit and without, and the stages that run the repository's code never see them.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from docker.errors import APIError, DockerException, ImageNotFound, NotFound
from docker.types import LogConfig, Mount

from runners.environment import failure, project_files, python_version
from runners.environment.declared import Rank
from runners.environment.plan import Plan
from runners.environment.wanted import Supply, Wanted, base_image
from runners.runner import DockerUnavailable, EnvironmentFailed, RunnerError, SandboxLost
from runners.streams import SocketStream
from runners.wire import BOOTSTRAP, Channel
from runners.workspace import git_environment

REPOSITORY = "egcfg-fix/env"
LABEL = "egcfg-fix.sandbox"
_IMAGE = "egcfg-fix.image"  # not LABEL: containers take over their image's labels, and a sweep goes by that one
_ABOUT = "egcfg-fix.environment"  # label of an image: JSON about what is in it
_SECRET, _CACHE, _MADE = "/run/egcfg-fix", "/var/cache/egcfg-fix", "/usr/local/share/egcfg-fix/made"
_START = (
    'p=$(command -v python || command -v python3) || { echo "no python in this image" >&2; exit 127; }; exec "$p" "$@"'
)
_CAPABILITIES = ["CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "SETGID", "SETUID"]  # what apt-get and pip need as root
_ENVIRONMENT = ["HOME=/tmp", "LANG=C.UTF-8", "PYTHONDONTWRITEBYTECODE=1"]
_PROCESSES = 2048
_LOG_KEPT = 400_000  # characters, for the explanation of a failure
_VERSION_VARIABLES = (  # of build back ends that would ask git
    *("SETUPTOOLS_SCM_PRETEND_VERSION", "PDM_BUILD_SCM_VERSION", "PBR_VERSION", "UV_DYNAMIC_VERSIONING_BYPASS"),
    *("POETRY_DYNAMIC_VERSIONING_BYPASS", "VERSIONINGIT_FALLBACK_VERSION"),
)

Progress = Callable[[str], None]


def silent(_text: str) -> None:
    """Tell nobody."""


@dataclass(frozen=True, slots=True)
class Image:
    """An image, and what is known of it."""

    tag: str
    python: str = ""
    installed: Mapping[str, str] = field(default_factory=dict)  # distribution -> version
    made: tuple[str, ...] = ()  # files that the project's build left beside its sources
    notes: tuple[str, ...] = ()
    built: bool = False  # False when every stage was found
    seconds: float = 0.0
    log: str = ""  # the file with the build's output, when something was built


class BuildLog:
    """The output of a build, without secrets: all of it in a file, the end of a stage's in memory."""

    def __init__(self, folder: Path, supply: Supply) -> None:
        self._supply = supply
        self.text = ""
        self.path = ""
        self._folder = folder

    def begin(self, stage: str) -> None:
        """Start the text of another stage, so that its failure is not explained by what came before."""
        self.write(f"== {stage}\n")
        self.text = ""

    def write(self, text: str) -> None:
        """Add output. A log that cannot be written is no reason to stop."""
        text = self._supply.masked(text)
        self.text = (self.text + text)[-_LOG_KEPT:]
        with suppress(OSError):
            if not self.path:
                self._folder.mkdir(parents=True, exist_ok=True)
                self.path = str(self._folder / f"{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.log")
            with open(self.path, "a", encoding="utf-8") as file:
                file.write(text)


def log_folder(environment: Mapping[str, str]) -> Path:
    """Return the folder for the logs of builds."""
    state = environment.get("XDG_STATE_HOME") or os.path.join(environment.get("HOME") or "/nonexistent", ".local/state")
    return Path(state, "egcfg-fix", "builds")


class Builder:
    """Builds or finds the image for one plan."""

    def __init__(
        self,
        client: Any,
        owner: Mapping[str, str],
        wanted: Wanted,
        supply: Supply,
        progress: Progress = silent,
    ) -> None:
        """client: of the docker SDK. owner: labels by which a sweep finds containers that a crash left behind."""
        self._client, self._owner, self._wanted, self._supply = client, dict(owner), wanted, supply
        self._progress = progress
        self._start = time.monotonic()
        self._deadline = self._start + wanted.timeout_s
        self._log = BuildLog(log_folder(os.environ), supply)
        self._built = False
        self._notes: list[str] = []

    def provide(self, plan: Plan, project: Path) -> Image:
        """Return the image for `plan`; `project` is a copy of the project's folder without secrets.

        Raises EnvironmentFailed when something cannot be installed, DockerUnavailable when the engine refuses.
        """
        before = self._client.api.timeout
        self._client.api.timeout = max(int(self._wanted.timeout_s), 60)  # committing a large image takes long
        try:
            with _explained():
                image = self._stages(plan, project)
        finally:
            self._client.api.timeout = before
        seconds = time.monotonic() - self._start
        notes = (*plan.notes, *self._notes, *image.notes)
        return replace(image, notes=notes, built=self._built, seconds=seconds, log=self._log.path)

    def _stages(self, plan: Plan, project: Path) -> Image:
        if self._wanted.dockerfile:
            return Image(self._users_own(project))
        image = Image(self._ground(plan))
        if self._wanted.setup_command:
            image = self._setup(image, project)
        image = self._dependencies(image, plan)
        if plan.editable or plan.siblings:
            image = self._project(image, plan, project)
        return image

    # Stages

    def _ground(self, plan: Plan) -> str:
        base = base_image(self._wanted.base, plan.version)
        identity = self._pulled(base)
        dockerfile = dockerfile_text()
        uv = _uv() if self._same_machine() else None
        size = uv.stat().st_size if uv else 0
        tag = _tag("ground", base, identity, dockerfile.decode(), size)
        if self._known(tag) is None:
            self._progress(f"Preparing {base}")
            files = {"Dockerfile": dockerfile, "tools/README": b"Tools of egcfg-fix.\n"}
            if uv:
                files["tools/uv"] = uv.read_bytes()
            self._docker_build(_context(files), tag, {"BASE_IMAGE": base}, network="none", what=f"on {base}")
        return tag

    def _users_own(self, project: Path) -> str:
        path = Path(self._wanted.dockerfile)
        try:
            text = path.read_bytes()
        except OSError as error:
            raise EnvironmentFailed(f"{path} cannot be read: {error.strerror}.", hint="Check --dockerfile.") from error
        files = project_files.whole(project)
        tag = _tag("dockerfile", text.decode("utf-8", "replace"), _digest(files))
        if self._known(tag) is None:
            self._progress(f"Building {path.name}")
            name = ".egcfg.Dockerfile"
            self._docker_build(_context({**files, name: text}), tag, {}, network=None, what=f"from {path}", file=name)
        return tag

    def _setup(self, image: Image, project: Path) -> Image:
        files = project_files.whole(project)
        request = {"op": "setup", "command": self._wanted.setup_command}
        key = project_files.outline(project)  # what a command installs seldom hangs on the body of a function
        tag = _tag("setup", image.tag, request, _digest(key))
        return self._stage("setup-command", image.tag, tag, request, network=True, files=files)

    def _dependencies(self, image: Image, plan: Plan) -> Image:
        request = {
            "op": "install",
            "attempts": list(_attempts(plan)),
            "build": list(plan.build),
        }
        tag = _tag("dependencies", image.tag, request, self._supply.identity)
        supply = {"variables": dict(self._supply.variables), "files": dict(self._supply.files)}
        return self._stage("dependencies", image.tag, tag, {**request, "supply": supply}, network=True, plan=plan)

    def _project(self, image: Image, plan: Plan, project: Path) -> Image:
        siblings = self._sibling_files(plan)
        variables = dict.fromkeys(_VERSION_VARIABLES, project_files.version(project, _described(project)))
        proxies = {"UV_NO_CONFIG": "1"}
        request = {
            "op": "project",
            "siblings": list(plan.siblings),
            "editable": plan.editable,
            "variables": variables | proxies,
        }
        attempts = (project_files.outline, project_files.whole) if plan.editable else (lambda _: {},)
        for number, files in enumerate(attempts):
            content = {**files(project), **siblings}
            wish = {**request, "last": number == len(attempts) - 1}
            tag = _tag("project", image.tag, wish, _digest(content))
            try:
                found = self._stage("project", image.tag, tag, wish, network=False, files=content)
                return replace(found, notes=(*image.notes, *found.notes))
            except EnvironmentFailed as error:
                if wish["last"] or error.cause == "timeout":
                    raise
        return image

    def _sibling_files(self, plan: Plan) -> dict[str, bytes]:
        top = self._wanted.top
        return {
            f".egcfg-siblings/{folder}/{name}": content
            for folder in (plan.siblings if top else ())
            for name, content in project_files.whole(Path(str(top)) / folder).items()
        }

    # One stage

    def _stage(
        self,
        name: str,
        image: str,
        tag: str,
        request: Mapping[str, Any],
        *,
        network: bool,
        files: Mapping[str, bytes] | None = None,
        plan: Plan | None = None,
    ) -> Image:
        """Return the image that a stage makes; from the engine's store if it is there."""
        known = self._known(tag)
        if known is not None:
            return known
        self._progress(f"Installing: {name}")
        self._log.begin(name)
        container = self._container(image, network)
        try:
            reply = self._work(container, name, {**request, "files": _packed(files)}, plan)
            image_about = _about(reply, tuple(self._remarks(reply)))
            self._commit(container, tag, image_about)
        finally:
            with suppress(DockerException, OSError):
                self._client.api.remove_container(container, force=True, v=True)
        self._built = True
        return replace(image_about, tag=tag)

    def _container(self, image: str, network: bool) -> str:
        api = self._client.api
        made = api.create_container(
            image,
            entrypoint=["/bin/sh", "-c", _START, "sh"],
            command=["-s", "-c", BOOTSTRAP],
            stdin_open=True,
            user="0:0",
            working_dir="/",
            labels={LABEL: "build", **self._owner},
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
        return str(made["Id"])

    def _work(self, container: str, name: str, request: Mapping[str, Any], plan: Plan | None) -> dict[str, Any]:
        """Run one request in a container and return its last reply. Raises EnvironmentFailed."""
        api = self._client.api
        wire = api.attach_socket(container, params={"stdin": 1, "stdout": 1, "stderr": 1, "stream": 1})
        connection = getattr(wire, "_sock", wire)
        api.start(container)
        channel = Channel(SocketStream(connection, lambda: self._state(container), lambda: None))
        try:
            source = Path(__file__).with_name("install.py").read_bytes()
            channel.send_bytes(len(source).to_bytes(4, "big") + source, 60)
            hello = channel.expect("hello", min(max(self._left(), 1.0), 300.0))
            self._check_python(str(hello.get("version", ""))[:30], plan)
            channel.send(request, 300)
            while (reply := channel.receive(max(self._left(), 0.01))).get("k") != "done":
                if reply.get("k") == "failed":
                    raise self._failed(name, plan, str(hello.get("version", "")))
                self._said(reply)
            api.wait(container, timeout=300)
            return reply
        except SandboxLost as error:
            if self._left() <= 0:
                raise self._timed_out(name) from error
            raise self._failed(name, plan, "", error.message) from error
        finally:
            for part in (getattr(wire, "_response", None), wire):
                with suppress(OSError, ValueError, AttributeError):
                    part.close()  # type: ignore[union-attr]
            channel.close()

    def _said(self, reply: Mapping[str, Any]) -> None:
        text = reply.get("t")
        if not isinstance(text, str):
            return
        if reply.get("k") == "log":
            self._log.write(text)
        elif reply.get("k") == "step":
            self._log.write(f"== {text[:200]}\n")

    def _commit(self, container: str, tag: str, about: Image) -> None:
        document = {"python": about.python, "installed": dict(about.installed), "made": list(about.made)}
        repository, _, name = tag.partition(":")
        self._client.api.commit(
            container,
            repository=repository,
            tag=name,
            conf={
                "User": "10001:10001",
                "WorkingDir": "/",
                "Cmd": ["python3"],
                "Entrypoint": [],
                "Env": _ENVIRONMENT,
                "Labels": {_IMAGE: "1", _ABOUT: json.dumps({**document, "notes": list(about.notes)})},
            },
        )

    def _docker_build(
        self,
        context: bytes,
        tag: str,
        arguments: Mapping[str, str],
        *,
        network: str | None,
        what: str,
        file: str = "Dockerfile",
    ) -> None:
        lines = self._client.api.build(
            fileobj=io.BytesIO(context),
            custom_context=True,
            dockerfile=file,
            tag=tag,
            buildargs=dict(arguments),
            labels={_IMAGE: "1"},
            rm=True,
            forcerm=True,
            network_mode=network,
            use_config_proxy=False,
            decode=True,
        )
        try:
            for line in lines:
                if self._left() <= 0:
                    raise self._timed_out("image")
                if "error" in line:
                    self._log.write(str(line["error"]))
                    raise self._failed(f"image {what}", None, "")
                self._log.write(str(line.get("stream", "")))
        finally:
            lines.close()  # an engine stops a build that nobody listens to
        self._built = True

    # What can go wrong

    def _check_python(self, version: str, plan: Plan | None) -> None:
        if plan is None or python_version.allows(plan.python, version):
            return
        raise EnvironmentFailed(
            f"The project needs Python {', '.join(plan.python)}, and the image has {version}.",
            hint=f"Set EGCFG_BASE_IMAGE to an image that has it, such as python:{plan.version}-slim, or name an image "
            "of your own with --image.",
            cause="python",
        )

    def _failed(self, name: str, plan: Plan | None, python: str, said: str = "") -> EnvironmentFailed:
        cause = failure.explain(self._log.text + said, python=python, wanted=plan.version if plan else "")
        likely = f" Likely cause: {cause.text}." if cause.text else ""
        tail = failure.tail(self._log.text)
        lines = f"\n{tail}" if tail else ""
        detail = f" {self._supply.masked(said)}" if said else ""
        where = f" The whole log is {self._log.path}." if self._log.path else ""
        return EnvironmentFailed(
            f"The environment for the tests could not be built ({name}).{likely}{detail}{lines}",
            hint=f"{cause.hint}{where}",
            cause=cause.name,
        )

    def _timed_out(self, name: str) -> EnvironmentFailed:
        where = f" The log so far is {self._log.path}." if self._log.path else ""
        return EnvironmentFailed(
            f"The environment for the tests was not built within {self._wanted.timeout_s:.0f} s ({name}).",
            hint=f"Allow more with --build-timeout, or give an image that has the packages with --image.{where}",
            cause="timeout",
        )

    def _left(self) -> float:
        return self._deadline - time.monotonic()

    def _remarks(self, reply: Mapping[str, Any]) -> Iterator[str]:
        attempt = reply.get("attempt")
        if isinstance(attempt, str) and attempt != _EVERYTHING:
            yield f"Not everything could be installed together; installed was {attempt[:200]}."
        for line in _strings(reply.get("dropped")):
            yield f"{self._supply.masked(line)} could not be installed and was left out."
        if reply.get("backend") is False:
            yield "The build back end could not be installed, so the project is on the path but not installed."
        if reply.get("project") is False:
            cause = failure.explain(self._log.text)
            why = f" Likely cause: {cause.text}." if cause.text else ""
            yield f"The project itself could not be installed in place; its modules are found all the same.{why}"
        for folder in _strings(reply.get("lost")):
            yield f"{folder}, on which the project depends, could not be installed."

    # The engine

    def _state(self, container: str) -> str:
        try:
            state = self._client.api.inspect_container(container)["State"]
        except (DockerException, OSError, KeyError):
            return "the engine no longer knows the container"
        if state.get("OOMKilled"):
            return "it ran out of memory: MemoryError"
        return "" if state.get("Running") else f"exit status {state.get('ExitCode')}"

    def _pulled(self, image: str) -> str:
        """Return the identity of an image, after pulling it if it is not here."""
        try:
            return str(self._client.images.get(image).id)
        except ImageNotFound:
            self._progress(f"Pulling {image}")
        try:
            return str(self._client.images.pull(image).id)
        except (DockerException, OSError) as error:
            raise DockerUnavailable(
                f"The base image {image} cannot be had: {_short(error)}",
                hint=f"Pull {image}, set EGCFG_BASE_IMAGE to an image that is here, or name one with --image.",
            ) from error

    def _known(self, tag: str) -> Image | None:
        try:
            labels = self._client.images.get(tag).labels
        except (ImageNotFound, NotFound):
            return None
        try:
            document = json.loads(labels.get(_ABOUT) or "{}")
        except ValueError:
            document = {}
        return replace(_about(document, tuple(_strings(document.get("notes")))), tag=tag)

    def _same_machine(self) -> bool:
        """Say whether a program of this machine can run in the engine's containers."""
        about = self._client.version()
        return bool(about.get("Os") == sys.platform and _architecture(platform.machine()) == about.get("Arch"))


_EVERYTHING = "everything, with the locked versions"


def _attempts(plan: Plan) -> Iterator[dict[str, Any]]:
    """Yield what is tried, in order; the later ones leave more to be tried one by one."""
    pins = list(plan.pins)
    everything = list(plan.lines())
    tried: list[tuple[list[str], list[str]]] = []
    for name, rank, with_pins in (
        (_EVERYTHING, Rank.WISHED, pins),
        ("everything, without the locked versions", Rank.WISHED, []),
        ("what the tests need", Rank.TESTS, []),
        ("what the project declares", Rank.PROJECT, []),
    ):
        lines = list(plan.lines(rank))
        if (lines, with_pins) not in tried:
            tried.append((lines, with_pins))
            singles = [line for line in everything if line not in lines]
            yield {"name": name, "lines": lines, "pins": with_pins, "singles": singles}


def made_files(client: Any, image: Image) -> dict[str, bytes]:
    """Return the files that the project's build left beside its sources, path in the project -> content."""
    if not image.made:
        return {}
    container = client.api.create_container(image.tag, command=["true"], network_disabled=True, use_config_proxy=False)
    try:
        stream, _ = client.api.get_archive(container["Id"], _MADE)
        data = io.BytesIO(b"".join(stream))
    finally:
        with suppress(DockerException, OSError):
            client.api.remove_container(container["Id"], force=True, v=True)
    found = {}
    with tarfile.open(fileobj=data) as archive:
        for member in archive:
            name = member.name.partition("/")[2]
            file = archive.extractfile(member) if member.isfile() and name in image.made else None
            if file is not None:
                found[name] = file.read()
    return found


def dockerfile_text() -> bytes:
    """Return our Dockerfile: beside the package in an installation, at the top of a checkout."""
    package = Path(__file__).resolve().parents[1]
    installed = package / "Dockerfile"
    return (installed if installed.is_file() else package.parent / "Dockerfile").read_bytes()


def _uv() -> Path | None:
    """Return uv's program: one file, which is what lets it work in a container of another making."""
    found = shutil.which("uv", path=os.path.dirname(sys.executable)) or shutil.which("uv")
    if found is None or not os.path.isfile(found):
        return None
    with open(found, "rb") as file:
        return Path(found) if file.read(4) == b"\x7fELF" else None  # no script that starts another


def _described(project: Path) -> list[str]:
    command = ["git", "-c", "safe.directory=*", "-C", str(project), "describe", "--tags"]
    try:
        done = subprocess.run(
            command,
            env=git_environment(),
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.SubprocessError, UnicodeDecodeError):
        return []
    return done.stdout.splitlines()


def _about(document: Mapping[str, Any], notes: tuple[str, ...]) -> Image:
    """Return what a stage or a label says of an image; it comes from a container, so every field is checked."""
    installed = document.get("installed")
    pairs = installed.items() if isinstance(installed, dict) else ()
    names = {str(k)[:100]: str(v)[:60] for k, v in list(pairs)[:2000] if isinstance(k, str) and isinstance(v, str)}
    made = (name for name in _strings(document.get("made")) if not name.startswith("/") and ".." not in name.split("/"))
    python = document.get("python")
    version = python if isinstance(python, str) and re.fullmatch(r"[\w.+-]{1,30}", python) else ""
    return Image("", version, names, tuple(made), notes)


def _strings(value: object) -> list[str]:
    return [item[:500] for item in value[:1000] if isinstance(item, str)] if isinstance(value, list) else []


def _tag(*parts: object) -> str:
    digest = hashlib.sha256(json.dumps(parts, sort_keys=True).encode())
    digest.update(Path(__file__).with_name("install.py").read_bytes())
    return f"{REPOSITORY}:{digest.hexdigest()[:24]}"


def _digest(files: Mapping[str, bytes]) -> str:
    parts = [(name, hashlib.sha256(content).hexdigest()) for name, content in sorted(files.items())]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _packed(files: Mapping[str, bytes] | None) -> str:
    return base64.b64encode(project_files.archive(files or {})).decode()


def _context(files: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(content), 0o755 if name == "tools/uv" else 0o644
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def _architecture(machine: str) -> str:
    return {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm"}.get(machine, machine)


def _short(error: BaseException) -> str:
    said = error.explanation if isinstance(error, APIError) and error.explanation else str(error)
    return " ".join(str(said).split())[:300]


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except RunnerError:
        raise
    except (DockerException, OSError) as error:
        full = "No space left" in str(error)
        hint = "Free some space where Docker keeps images (`docker system df`)." if full else "See `docker version`."
        raise DockerUnavailable(f"The engine could not build the environment: {_short(error)}", hint=hint) from error
