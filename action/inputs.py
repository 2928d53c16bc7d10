"""The inputs of the action, as action.yml passes them: one variable each, an empty one was not given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from bot import config
from bot.errors import ConfigError

COMMANDS = ("repair", "gate", "publish")  # of each choice the first is the default
FAIL_ON = ("error", "none", "unfixed")
PUBLISHING_MODES = ("pull-request", "stacked", "push")
MODES = ("patch", "report", *PUBLISHING_MODES)
# Settings of `repair` that no workflow can ask for. The input `base` is that of publishing; what a pull request changed
# is known without it.
NOT_OFFERED = frozenset({"unsafe_local", "base"})
FROM_THE_RUNNER = frozenset({"repository", "api_url", "server_url"})  # settings of `publish` that the runner knows
OWN = frozenset(  # inputs that are no settings of the command line
    {
        *("command", "working-directory", "fail-on", "token", "subject", "allow-forks", "run", "dry-run"),
        *("model-cache", "gpu-memory"),
    }
)


def variable(name: str) -> str:
    """Return the variable in which action.yml passes the input `name`."""
    return "INPUT_" + name.upper().replace("-", "_")


def given(environment: Mapping[str, str], name: str) -> str:
    return environment.get(variable(name), "").strip()


def choice(environment: Mapping[str, str], name: str, allowed: Sequence[str]) -> str:
    """Return one of the words an input may have, the first of them by default. Raises ConfigError for another."""
    word = given(environment, name) or allowed[0]
    if word not in allowed:
        raise ConfigError(f"{name}: {word!r} is not usable.", hint=f"It must be one of {', '.join(allowed)}.")
    return word


def switch(environment: Mapping[str, str], name: str) -> bool:
    return choice(environment, name, ("false", "true")) == "true"


def whole(environment: Mapping[str, str], name: str) -> int | None:
    """Return the number an input gives, or None. Raises ConfigError for anything else."""
    text = given(environment, name)
    if not text:
        return None
    if not text.isdecimal() or not text.isascii() or len(text) > 9:
        raise ConfigError(f"{name}: {text!r} is not usable.", hint="It must be a whole number.")
    return int(text)


def flags(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the settings of a repair, in the form `precedence.load` takes flags. Running unconfined is not offered."""
    return _settings(environment, config.Config, NOT_OFFERED)


def publishing_flags(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the settings of publishing; a mode that publishes nothing is none of them."""
    found = _settings(environment, config.Publishing, FROM_THE_RUNNER)
    if found.get("mode") not in PUBLISHING_MODES:
        found.pop("mode", None)
    return found


def _settings(
    environment: Mapping[str, str],
    kind: type[config.Config | config.Publishing],
    left_out: frozenset[str],
) -> dict[str, str]:
    settings = [one for one in config.declarations(kind) if one.field not in left_out]
    found = {one.field: given(environment, one.key) for one in settings}
    return {name: value for name, value in found.items() if value}


def names() -> tuple[set[str], set[str]]:
    """Return the names of the inputs that are settings of a repair, and of those that are settings of publishing."""
    repairing = {one.key for one in config.declarations() if one.field not in NOT_OFFERED}
    publishing = {one.key for one in config.declarations(config.Publishing) if one.field not in FROM_THE_RUNNER}
    return repairing, publishing


def working_directory(environment: Mapping[str, str], workspace: Path) -> Path:
    """Return the folder to repair; it must be a folder inside the workspace, links followed."""
    name = given(environment, "working-directory") or "."
    root = (workspace / name).resolve()
    if not root.is_relative_to(workspace) or not root.is_dir():
        raise ConfigError(
            f"working-directory: {name!r} is no folder of the workspace.",
            hint="Give a path relative to the workspace, and check the repository out first.",
        )
    return root
