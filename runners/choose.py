"""Decides which sandbox to use when the caller leaves it open: Docker, then bubblewrap, bare only by permission."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

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
) -> Runner:
    """Return a runner for the repository at `root`; close it when done.

    kind "auto" takes Docker if an engine answers and an image can be had, else bubblewrap, else, only with
    `unsafe_local`, no sandbox at all. Raises a RunnerError with a hint when nothing works.
    """
    from runners.local import LocalRunner

    if kind == "local":
        return LocalRunner(root, limits, python=python, unsafe=unsafe_local, pytest_args=pytest_args)
    from runners.docker import DockerRunner

    if kind == "docker":
        return DockerRunner(root, limits, image=image, pytest_args=pytest_args, runtime=runtime)
    if kind != "auto":
        raise RunnerError(f"There is no runner {kind!r}.", hint="Use docker, local or auto.")
    if python is None:  # an interpreter of this machine cannot be used in a container
        try:
            return DockerRunner(root, limits, image=image, pytest_args=pytest_args, runtime=runtime)
        except RunnerError as error:
            if image is not None or runtime:
                raise
            refused = error
    else:
        refused = RunnerError("an interpreter of this machine was named with --python")
    try:
        return LocalRunner(root, limits, python=python, unsafe=unsafe_local, pytest_args=pytest_args)
    except (SandboxUnavailable, InterpreterMissing) as error:
        raise type(error)(
            f"{error.message} Docker cannot be used either: {refused.message}",
            hint=" ".join(part for part in (error.hint, refused.hint) if part),
        ) from error
