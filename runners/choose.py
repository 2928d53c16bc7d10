"""Decides which sandbox to use when the caller leaves it open: Docker, then bubblewrap, bare only by permission."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

from runners.environment.wanted import Wanted
from runners.runner import InterpreterMissing, Limits, Runner, RunnerError, SandboxUnavailable

RunnerKind = Literal["docker", "local", "auto"]


def open_runner(
    kind: RunnerKind,
    root: Path,
    limits: Limits,
    *,
    unsafe_local: bool = False,
    python: str | None = None,
    image: str | None = None,
    pytest_args: Sequence[str] = (),
    runtime: str = "",
    wanted: Wanted | None = None,
    progress: Callable[[str], None] | None = None,
) -> Runner:
    """Return a runner for the repository at `root`; close it when done.

    kind "auto" takes Docker if an engine answers and an image can be had, else bubblewrap, else, only with
    `unsafe_local`, no sandbox at all. wanted: what the user wants of the image. progress: told what takes long.
    Raises a RunnerError with a hint when nothing works.
    """
    from runners.local import LocalRunner

    if kind == "local":
        return LocalRunner(root, limits, python=python, unsafe=unsafe_local, pytest_args=pytest_args)
    from runners.docker import DockerRunner

    wanted = replace(wanted or Wanted(), image=image or (wanted.image if wanted else ""))
    tell = progress or (lambda _text: None)
    if kind == "docker":
        if python and re.fullmatch(r"3\.\d+", python):  # a version; a path of this machine means nothing there
            wanted = replace(wanted, base=wanted.base or f"python:{python}-slim")
        return DockerRunner(root, limits, pytest_args=pytest_args, runtime=runtime, wanted=wanted, progress=tell)
    if kind != "auto":
        raise RunnerError(f"There is no runner {kind!r}.", hint="Use docker, local or auto.")
    if python is None:  # an interpreter of this machine cannot be used in a container
        try:
            return DockerRunner(root, limits, pytest_args=pytest_args, runtime=runtime, wanted=wanted, progress=tell)
        except RunnerError as error:
            if runtime or wanted.image or wanted.dockerfile or wanted.setup_command:
                raise
            refused = error
            tell(f"Docker is not used: {error.message.splitlines()[0]}")
    else:
        refused = RunnerError("an interpreter of this machine was named with --python")
    try:
        return LocalRunner(root, limits, python=python, unsafe=unsafe_local, pytest_args=pytest_args)
    except (SandboxUnavailable, InterpreterMissing) as error:
        raise type(error)(
            f"{error.message} Docker cannot be used either: {refused.message}",
            hint=" ".join(part for part in (error.hint, refused.hint) if part),
        ) from error
