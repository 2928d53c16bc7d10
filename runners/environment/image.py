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
import json
import subprocess
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from runners.environment import project_files
from runners.environment.build import Build, Progress, silent
from runners.environment.build_container import build_container, work
from runners.environment.docker_build import docker_build, dockerfile_text, same_machine, uv_program
from runners.environment.image_store import Image, about, commit, explained, known, pulled
from runners.environment.plan import Plan
from runners.environment.wanted import Supply, Wanted, base_image
from runners.runner import EnvironmentFailed
from runners.workspace import git_environment

REPOSITORY = "egcfg-fix/env"
_VERSION_VARIABLES = (  # of build back ends that would ask git
    *("SETUPTOOLS_SCM_PRETEND_VERSION", "PDM_BUILD_SCM_VERSION", "PBR_VERSION", "UV_DYNAMIC_VERSIONING_BYPASS"),
    *("POETRY_DYNAMIC_VERSIONING_BYPASS", "VERSIONINGIT_FALLBACK_VERSION"),
)


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
        self._build = Build(supply, wanted.timeout_s, progress)
        self._built = False

    def provide(self, plan: Plan, project: Path) -> Image:
        """Return the image for `plan`; `project` is a copy of the project's folder without secrets.

        Raises EnvironmentFailed when something cannot be installed, DockerUnavailable when the engine refuses.
        """
        before = self._client.api.timeout
        self._client.api.timeout = max(int(self._wanted.timeout_s), 60)  # committing a large image takes long
        try:
            with explained():
                image = self._stages(plan, project)
        finally:
            self._client.api.timeout = before
        notes = (*plan.notes, *image.notes)
        return replace(image, notes=notes, built=self._built, seconds=self._build.seconds, log=self._build.log.path)

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
        identity = pulled(self._client, base, self._build.progress)
        dockerfile = dockerfile_text()
        uv = uv_program() if same_machine(self._client) else None
        size = uv.stat().st_size if uv else 0
        tag = _tag("ground", base, identity, dockerfile.decode(), size)
        if known(self._client, tag) is None:
            self._build.progress(f"Preparing {base}")
            files = {"Dockerfile": dockerfile, "tools/README": b"Tools of egcfg-fix.\n"}
            if uv:
                files["tools/uv"] = uv.read_bytes()
            arguments = {"BASE_IMAGE": base}
            docker_build(self._client, self._build, files, tag, arguments, network="none", what=f"on {base}")
            self._built = True
        return tag

    def _users_own(self, project: Path) -> str:
        path = Path(self._wanted.dockerfile)
        try:
            text = path.read_bytes()
        except OSError as error:
            raise EnvironmentFailed(f"{path} cannot be read: {error.strerror}.", hint="Check --dockerfile.") from error
        files = project_files.whole(project)
        tag = _tag("dockerfile", text.decode("utf-8", "replace"), _digest(files))
        if known(self._client, tag) is None:
            self._build.progress(f"Building {path.name}")
            name = ".egcfg.Dockerfile"
            given, what = {**files, name: text}, f"from {path}"
            docker_build(self._client, self._build, given, tag, {}, network=None, what=what, file=name)
            self._built = True
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
            "attempts": list(plan.attempts()),
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
        found = known(self._client, tag)
        if found is not None:
            return found
        self._build.progress(f"Installing: {name}")
        self._build.log.begin(name)
        with build_container(self._client, image, self._owner, network=network) as container:
            reply = work(self._client, container, self._build, name, {**request, "files": _packed(files)}, plan)
            made = about(reply, tuple(self._build.remarks(reply)))
            commit(self._client, container, tag, made)
        self._built = True
        return replace(made, tag=tag)


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


def _tag(*parts: object) -> str:
    digest = hashlib.sha256(json.dumps(parts, sort_keys=True).encode())
    digest.update(Path(__file__).with_name("install.py").read_bytes())
    return f"{REPOSITORY}:{digest.hexdigest()[:24]}"


def _digest(files: Mapping[str, bytes]) -> str:
    parts = [(name, hashlib.sha256(content).hexdigest()) for name, content in sorted(files.items())]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _packed(files: Mapping[str, bytes] | None) -> str:
    return base64.b64encode(project_files.archive(files or {})).decode()
