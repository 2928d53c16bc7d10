"""What the engine keeps: an image under its tag, and in a label what is known of it.

Labels and archives come from containers in which code of the repository ran, so every field is checked.
"""

from __future__ import annotations

import io
import json
import re
import tarfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Any

from docker.errors import APIError, DockerException, ImageNotFound, NotFound

from runners.runner import DockerUnavailable, RunnerError

IMAGE = "egcfg-fix.image"  # not the label of containers: they take over their image's, and a sweep goes by that one
_ABOUT = "egcfg-fix.environment"  # label of an image: JSON about what is in it
_MADE = "/usr/local/share/egcfg-fix/made"
_ENVIRONMENT = ["HOME=/tmp", "LANG=C.UTF-8", "PYTHONDONTWRITEBYTECODE=1"]


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


def known(client: Any, tag: str) -> Image | None:
    """Return an image of the store with what its label says of it, or None."""
    try:
        labels = client.images.get(tag).labels
    except (ImageNotFound, NotFound):
        return None
    try:
        document = json.loads(labels.get(_ABOUT) or "{}")
    except ValueError:
        document = {}
    return replace(about(document, tuple(short_strings(document.get("notes")))), tag=tag)


def commit(client: Any, container: str, tag: str, image: Image) -> None:
    """Keep a container as an image, with what is known of it as a label."""
    document = {"python": image.python, "installed": dict(image.installed), "made": list(image.made)}
    repository, _, name = tag.partition(":")
    client.api.commit(
        container,
        repository=repository,
        tag=name,
        conf={
            "User": "10001:10001",
            "WorkingDir": "/",
            "Cmd": ["python3"],
            "Entrypoint": [],
            "Env": _ENVIRONMENT,
            "Labels": {IMAGE: "1", _ABOUT: json.dumps({**document, "notes": list(image.notes)})},
        },
    )


def pulled(client: Any, image: str, progress: Callable[[str], None]) -> str:
    """Return the identity of an image, after pulling it if it is not here."""
    try:
        return str(client.images.get(image).id)
    except ImageNotFound:
        progress(f"Pulling {image}")
    try:
        return str(client.images.pull(image).id)
    except (DockerException, OSError) as error:
        raise DockerUnavailable(
            f"The base image {image} cannot be had: {short(error)}",
            hint=f"Pull {image}, set EGCFG_BASE_IMAGE to an image that is here, or name one with --image.",
        ) from error


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


def about(document: Mapping[str, Any], notes: tuple[str, ...]) -> Image:
    """Return what a stage or a label says of an image; it comes from a container, so every field is checked."""
    installed = document.get("installed")
    pairs = installed.items() if isinstance(installed, dict) else ()
    names = {str(k)[:100]: str(v)[:60] for k, v in list(pairs)[:2000] if isinstance(k, str) and isinstance(v, str)}
    made = (
        name for name in short_strings(document.get("made")) if not name.startswith("/") and ".." not in name.split("/")
    )
    python = document.get("python")
    version = python if isinstance(python, str) and re.fullmatch(r"[\w.+-]{1,30}", python) else ""
    return Image("", version, names, tuple(made), notes)


def short_strings(value: object) -> list[str]:
    """Return the strings of a list that comes from a container, cut to a length; of anything else none."""
    return [item[:500] for item in value[:1000] if isinstance(item, str)] if isinstance(value, list) else []


@contextmanager
def explained() -> Iterator[None]:
    """Turn errors of the engine into DockerUnavailable."""
    try:
        yield
    except RunnerError:
        raise
    except (DockerException, OSError) as error:
        full = "No space left" in str(error)
        hint = "Free some space where Docker keeps images (`docker system df`)." if full else "See `docker version`."
        raise DockerUnavailable(f"The engine could not build the environment: {short(error)}", hint=hint) from error


def short(error: BaseException) -> str:
    """Return what the engine says of an error, on one line."""
    said = error.explanation if isinstance(error, APIError) and error.explanation else str(error)
    return " ".join(str(said).split())[:300]
