"""Where settings come from, and which wins: flag > environment (EGCFG_<NAME>) > [tool.egcfg-fix] > default.

What is not usable is answered with where it came from and what would be right; an unknown name with the nearest known.
"""

from __future__ import annotations

import stat
import tomllib
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from bot.config import ELSEWHERE, PREFIX, Config, Declaration, Publishing, declarations
from bot.errors import ConfigError, nearest
from bot.value_kinds import Read

TABLE = "tool.egcfg-fix"
FILE_LIMIT = 1 << 20  # bytes of pyproject.toml that are read


def load(root: Path, flags: Mapping[str, Any], environment: Mapping[str, str]) -> Config:
    """Return the settings for the repository at `root`.

    flags: Config field -> text, tuple of texts (repeatable flags) or bool, as click hands them over; None and () mean
    not given. environment: only its EGCFG_ variables are read (an empty one counts as not given), and CI.
    Raises ConfigError, which says where the wrong value came from.
    """
    chosen = _from_file(root / "pyproject.toml")
    chosen.update(_from_environment(environment))
    chosen.update(_from_flags(flags))
    config = Config(**chosen)
    _check(config, environment)
    return config


def load_publishing(flags: Mapping[str, Any], environment: Mapping[str, str]) -> Publishing:
    """Return the settings of `publish` from flags and environment, where GitHub's own variables come last."""
    github = {"repository": "GITHUB_REPOSITORY", "api_url": "GITHUB_API_URL", "server_url": "GITHUB_SERVER_URL"}
    known = {one.field: one for one in declarations(Publishing)}
    chosen = {
        name: _read(known[name].kind.text, environment[variable], f"environment variable {variable}")
        for name, variable in github.items()
        if environment.get(variable, "").strip()
    }
    chosen.update(_from_environment(environment, Publishing))
    chosen.update(_from_flags(flags, Publishing))
    return Publishing(**chosen)


def _read(reader: Read, given: Any, origin: str) -> Any:
    try:
        return reader(given)
    except ValueError as error:
        shown = given if len(str(given)) <= 80 else f"{str(given)[:80]}..."
        raise ConfigError(f"{origin}: {shown!r} is not usable.", hint=f"It must be {error}.") from None


def _from_flags(flags: Mapping[str, Any], settings: type[Config | Publishing] = Config) -> dict[str, Any]:
    chosen: dict[str, Any] = {}
    for one in declarations(settings):
        given = flags.get(one.field)
        if given is None or given == ():
            continue
        if isinstance(given, bool):
            chosen[one.field] = given
        elif isinstance(given, tuple):  # a repeated flag: each use is one item, never split
            chosen[one.field] = _read(partial(_items, one), given, one.flag)
        else:
            chosen[one.field] = _read(one.kind.text, given, one.flag)
    return chosen


def _items(one: Declaration, given: tuple[str, ...]) -> tuple[Any, ...]:
    """Return a repeatable flag's items. Numbers may share one use ("0,1"); node ids and globs are taken whole."""
    if one.field == "gamma":
        return tuple(item for text in given for item in one.kind.text(text))
    return tuple(one.kind.value(text)[0] for text in given)


def _from_environment(environment: Mapping[str, str], settings: type[Config | Publishing] = Config) -> dict[str, Any]:
    """Return what the environment sets for one command; a variable that is no setting of any command is an error."""
    mine = {one.variable: one for one in declarations(settings)}
    known = {one.variable: one for kind in (Config, Publishing) for one in declarations(kind)}
    chosen: dict[str, Any] = {}
    for variable, given in sorted(environment.items()):
        if not variable.startswith(PREFIX) or variable in ELSEWHERE:
            continue
        if variable not in known:
            raise ConfigError(
                f"The environment variable {variable} is no setting{nearest(variable, known)}",
                hint="Unset it or correct its name; egcfg-fix repair --help lists the settings.",
            )
        if given.strip() and variable in mine:
            one = mine[variable]
            chosen[one.field] = _read(one.kind.text, given, f"environment variable {variable}")
    return chosen


def _from_file(path: Path) -> dict[str, Any]:
    table = _table(path)
    known = {one.key: one for one in declarations()}
    chosen: dict[str, Any] = {}
    for key, given in table.items():
        origin = f"pyproject.toml, [{TABLE}], {key}"
        if key not in known:
            raise ConfigError(
                f"{origin}: there is no such setting{nearest(key, known)}",
                hint="egcfg-fix repair --help lists the settings.",
            )
        one = known[key]
        if one.trusted_only:
            raise ConfigError(
                f"{origin}: this setting is not taken from the repository.",
                hint="It decides what runs on this machine and how it is confined, and any pull request can change "
                f"that file. Remove the line; give {one.flag} or set {one.variable} instead.",
            )
        chosen[one.field] = _read(one.kind.value, given, origin)
    return chosen


def _table(path: Path) -> Mapping[str, Any]:
    try:
        if not stat.S_ISREG(path.lstat().st_mode):  # never follows a link, never waits for a pipe
            return {}
        data = path.read_bytes()
    except OSError:
        return {}
    if len(data) > FILE_LIMIT:
        raise ConfigError("pyproject.toml is larger than 1 MiB.", hint="It is not read at that size.")
    try:
        content = tomllib.loads(data.decode("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ConfigError(
            f"pyproject.toml cannot be read: {error}", hint="Correct it; pytest would not read it either."
        ) from None
    tools = content.get("tool", {})
    table = tools.get("egcfg-fix", {}) if isinstance(tools, dict) else {}
    if not isinstance(table, dict):
        raise ConfigError(f"pyproject.toml: [{TABLE}] is not a table.", hint=f"Write a [{TABLE}] section.")
    return table


def _check(config: Config, environment: Mapping[str, str]) -> None:
    """Refuse settings that contradict each other."""
    if config.unsafe_local and in_ci(environment):
        raise ConfigError(
            "--unsafe-local is never allowed in CI.",
            hint="There the code under test comes from pull requests. Use Docker or bubblewrap.",
        )
    if config.unsafe_local and config.runner == "docker":
        raise ConfigError("--unsafe-local and --runner docker contradict each other.", hint="Leave one of the two out.")
    for one in ("image", "dockerfile", "setup_command", "runtime") if config.runner == "local" else ():
        if getattr(config, one):
            flag = f"--{one.replace('_', '-')}"
            raise ConfigError(f"{flag} needs Docker, but --runner is local.", hint="Use --runner docker.")
    if config.image and (config.dockerfile or config.setup_command):
        raise ConfigError(
            "--image is used as it is, so --dockerfile and --setup-command mean nothing beside it.",
            hint="Leave one of them out; a Dockerfile may start FROM your image.",
        )
    if config.dockerfile and config.setup_command:
        raise ConfigError(
            "--dockerfile and --setup-command exclude each other.", hint="Put the command into the Dockerfile."
        )
    if config.revision and (config.model in ("embedded", "none") or "://" in config.model):
        raise ConfigError(
            f'--revision means nothing for the model "{config.model}".', hint="It belongs to a Hugging Face id."
        )


def in_ci(environment: Mapping[str, str]) -> bool:
    """True on a CI machine: GitHub, GitLab and most others set CI."""
    return any(
        environment.get(name, "").lower() not in ("", "0", "false") for name in ("CI", "GITHUB_ACTIONS", "GITLAB_CI")
    )
