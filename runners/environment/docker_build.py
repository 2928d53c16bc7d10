"""What `docker build` makes of a Dockerfile: of ours, with uv beside it, and of the user's own."""

from __future__ import annotations

import io
import os
import platform
import shutil
import sys
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from runners.environment.build import Build
from runners.environment.image_store import IMAGE


def dockerfile_text() -> bytes:
    """Return our Dockerfile: beside the package in an installation, at the top of a checkout."""
    package = Path(__file__).resolve().parents[1]
    installed = package / "Dockerfile"
    return (installed if installed.is_file() else package.parent / "Dockerfile").read_bytes()


def uv_program() -> Path | None:
    """Return uv's program: one file, which is what lets it work in a container of another making."""
    found = shutil.which("uv", path=os.path.dirname(sys.executable)) or shutil.which("uv")
    if found is None or not os.path.isfile(found):
        return None
    with open(found, "rb") as file:
        return Path(found) if file.read(4) == b"\x7fELF" else None  # no script that starts another


def same_machine(client: Any) -> bool:
    """Say whether a program of this machine can run in the engine's containers."""
    about = client.version()
    return bool(about.get("Os") == sys.platform and _architecture(platform.machine()) == about.get("Arch"))


def _context(files: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(content), 0o755 if name == "tools/uv" else 0o644
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def docker_build(
    client: Any,
    build: Build,
    files: Mapping[str, bytes],
    tag: str,
    arguments: Mapping[str, str],
    *,
    network: str | None,
    what: str,
    file: str = "Dockerfile",
) -> None:
    """Build `file` among `files` as `tag`. network: "none", or None for the engine's own. what: told when it fails.

    Raises EnvironmentFailed.
    """
    lines = client.api.build(
        fileobj=io.BytesIO(_context(files)),
        custom_context=True,
        dockerfile=file,
        tag=tag,
        buildargs=dict(arguments),
        labels={IMAGE: "1"},
        rm=True,
        forcerm=True,
        network_mode=network,
        use_config_proxy=False,
        decode=True,
    )
    try:
        for line in lines:
            if build.left <= 0:
                raise build.timed_out("image")
            if "error" in line:
                build.log.write(str(line["error"]))
                raise build.failed(f"image {what}", None, "")
            build.log.write(str(line.get("stream", "")))
    finally:
        lines.close()  # an engine stops a build that nobody listens to


def _architecture(machine: str) -> str:
    return {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm"}.get(machine, machine)
