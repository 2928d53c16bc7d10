"""Which tests the user means by a report of a finished run, or by pytest's own memory of the last one: reads the files.

`--junit-xml` files lie anywhere on this machine. The last failures lie in the repository's pytest cache, wherever its
configuration puts that; the cache is only followed inside the repository.
"""

from __future__ import annotations

import configparser
import json
import stat
import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path

from bot.errors import ConfigError
from bot.junit import MAX_BYTES, JunitCase, Mapped, address, mapped, parse

Earlier = Callable[[Sequence[str]], Mapped]  # the collected node ids -> which of them an earlier run means
CONFIGURATIONS = (  # where pytest looks, in its order; the first that has the table counts
    ("pytest.toml", "pytest"),
    (".pytest.toml", "pytest"),
    ("pytest.ini", "pytest"),
    (".pytest.ini", "pytest"),
    ("pyproject.toml", "tool.pytest"),
    ("tox.ini", "pytest"),
    ("setup.cfg", "tool:pytest"),
)


def earlier_run(
    root: Path, *, junit_xml: Sequence[str] = (), last_failed: bool = False, pytest_args: Sequence[str] = ()
) -> Earlier | None:
    """Return what maps collected tests to an earlier run's, None if the user named no such run.

    Raises ConfigError for a file that cannot be read or understood, and where pytest remembers no failure.
    """
    cases = [case for name in junit_xml for case in parse(_read(Path(name)), name)]
    if junit_xml:
        return lambda collected: mapped(cases, collected)
    if not last_failed:
        return None
    names = _last_failed(root, cache_folder(root, pytest_args))
    return lambda collected: mapped([JunitCase(*address(name), outcome="failed") for name in names], collected)


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            if not stat.S_ISREG(path.stat().st_mode):
                raise ConfigError(f"{path} is no file.", hint="Give the file that pytest --junit-xml wrote.")
            return file.read(MAX_BYTES + 1)
    except OSError as error:
        hint = "Give the file that pytest --junit-xml wrote."
        raise ConfigError(f"{path} cannot be read: {error.strerror}.", hint=hint) from None


def _last_failed(root: Path, folder: Path) -> list[str]:
    path = folder / "v" / "cache" / "lastfailed"
    hint = "Run pytest in the repository first, or leave --lf out: then the whole suite is run."
    if not path.resolve().is_relative_to(root.resolve()):
        raise ConfigError(
            f"pytest's cache ({folder}) lies outside the repository.", hint="Name the tests with --tests."
        )
    if not path.is_file():
        raise ConfigError(f"pytest remembers no failure: there is no {path.relative_to(root)}.", hint=hint)
    try:
        known = json.loads(_read(path))
    except (ValueError, RecursionError):
        known = None
    if not isinstance(known, dict):
        raise ConfigError(f"{path.relative_to(root)} is not what pytest writes there.", hint=hint)
    return [str(name) for name, failed in known.items() if failed]


def cache_folder(root: Path, pytest_args: Sequence[str] = ()) -> Path:
    """Return pytest's cache folder for the repository: of the arguments, else of its configuration, else the usual."""
    given = _of_arguments(pytest_args)
    for name, table in CONFIGURATIONS if given is None else ():
        settings = _settings(root / name, table)
        if settings is not None:
            given = str(settings.get("cache_dir") or "") or _of_arguments(_words(settings.get("addopts")))
            break
    return root / (given or ".pytest_cache")


def _of_arguments(arguments: Sequence[str]) -> str | None:
    found = None
    for before, argument in zip(["", *arguments], arguments, strict=False):
        text = argument if before in ("-o", "--override-ini") else argument.removeprefix("--override-ini=")
        if text.startswith("cache_dir="):
            found = text.removeprefix("cache_dir=").strip()
    return found


def _words(options: object) -> list[str]:
    return (
        options.split() if isinstance(options, str) else [str(o) for o in options] if isinstance(options, list) else []
    )


def _settings(path: Path, table: str) -> dict[str, object] | None:
    """Return the settings of a table, None if the file has no such table."""
    try:
        text = path.read_text(encoding="utf-8") if path.is_file() else ""
        if path.suffix == ".toml":
            content: object = tomllib.loads(text)
            for name in table.split("."):
                content = content.get(name) if isinstance(content, dict) else None
            nested = content.get("ini_options") if isinstance(content, dict) and table.startswith("tool") else None
            return nested if isinstance(nested, dict) else content if isinstance(content, dict) else None
        parser = configparser.ConfigParser(interpolation=None, strict=False)
        parser.read_string(text)
        if table in parser:
            return dict(parser[table])
        return {} if path.name in ("pytest.ini", ".pytest.ini") and path.is_file() else None
    except (OSError, ValueError, configparser.Error):  # pytest will complain of it itself
        return None
