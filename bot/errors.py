"""Every error a user can meet, each with its exit code and a hint that says what to do next.

A repair that fails is a result, not an error. These exceptions mean that the world is wrong: no engine, no pytest,
a broken configuration. The command line prints `message` and `hint` and exits with `exit_code`.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection

from runners.runner import RunnerError

EXIT_OK = 0  # nothing fails any more
EXIT_NOT_REPAIRED = 1  # something still fails
EXIT_USAGE = 2  # usage or configuration, the code click itself uses
EXIT_ENVIRONMENT = 3  # the environment is missing something: engine, pytest, model, disk space
EXIT_INTERRUPTED = 130  # Ctrl-C, as shells have it


class EgcfgError(Exception):
    """An error with a message for people, a hint and an exit code."""

    exit_code = EXIT_ENVIRONMENT

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class ConfigError(EgcfgError):
    """A setting is unknown, malformed or contradicts another."""

    exit_code = EXIT_USAGE


class RepositoryError(EgcfgError):
    """The path given is not a repository that can be worked on."""

    exit_code = EXIT_USAGE


class EventError(EgcfgError):
    """A workflow is set up so that it would be dangerous, or its event is not one that can be worked on."""

    exit_code = EXIT_USAGE


class BundleError(EgcfgError):
    """The folder to publish is not what a repair run wrote."""

    exit_code = EXIT_USAGE


class PublishError(EgcfgError):
    """GitHub, or the way to it, does not let us publish; what was repaired is still in the bundle."""


class PreflightError(EgcfgError):
    """The machine lacks what the settings ask of it, such as a GPU with enough free memory."""


class ModelError(EgcfgError):
    """The language model cannot be loaded or has no room for the prompt."""


class ModelMissing(ModelError):
    """No model weights at the place named."""


def exit_code_of(error: BaseException) -> int:
    """Return the exit code for `error`: its own, or the environment's for anything a runner raises."""
    if isinstance(error, EgcfgError):
        return error.exit_code
    if isinstance(error, RunnerError):
        return EXIT_ENVIRONMENT
    raise TypeError(f"not an error of this project: {type(error).__name__}")


def nearest(word: str, known: Collection[str]) -> str:
    """Return '; did you mean "..."?' with the known word closest to `word`, or ""."""
    close = difflib.get_close_matches(word, sorted(known), n=1, cutoff=0.5)
    return f'; did you mean "{close[0]}"?' if close else ""
