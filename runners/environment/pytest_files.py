"""Reads pytest's configuration for the plugins it cannot do without: pytest stops at an option it does not know."""

from __future__ import annotations

import configparser
import re
import shlex
from itertools import pairwise

from runners.environment.declared import Declared, Need, Rank, requirement
from runners.environment.files import Files, strings, table

_OPTIONS = {  # an option in addopts, or a setting -> the plugin that has it
    r"--(no-)?cov\b.*": "pytest-cov",
    r"-n\w*|--numprocesses.*|--dist.*|--maxprocesses.*": "pytest-xdist",
    r"--timeout\b.*|--timeout-method.*": "pytest-timeout",
    r"--benchmark-.*": "pytest-benchmark",
    r"--asyncio-mode.*": "pytest-asyncio",
    r"--reruns\b.*": "pytest-rerunfailures",
    r"--doctest-plus.*|--doctest-rst": "pytest-doctestplus",
    r"--mypy\b.*": "pytest-mypy",
    r"--flake8": "pytest-flake8",
    r"--black": "pytest-black",
    r"--ruff(-format)?": "pytest-ruff",
    r"--randomly-.*": "pytest-randomly",
    r"--random-order.*": "pytest-random-order",
    r"--mpl.*": "pytest-mpl",
    r"--snapshot-.*": "syrupy",
    r"--html.*": "pytest-html",
    r"--ds\b.*|--reuse-db|--create-db|--nomigrations|--no-migrations": "pytest-django",
}
_SETTINGS = {
    "asyncio_mode": "pytest-asyncio",
    "asyncio_default_fixture_loop_scope": "pytest-asyncio",
    "timeout": "pytest-timeout",
    "timeout_method": "pytest-timeout",
    "django_settings_module": "pytest-django",
    "mock_use_standalone_module": "pytest-mock",
    "env": "pytest-env",
    "doctest_plus": "pytest-doctestplus",
    "qt_api": "pytest-qt",
}


def read(files: Files) -> Declared:
    """Return the plugins that the first configuration file pytest would take asks for, by name, option or setting."""
    for name, section in (("pytest.ini", "pytest"), (".pytest.ini", "pytest"), ("pyproject.toml", "")):
        found = _read(files, name, section)
        if found is not None:
            return found
    for name, section in (("tox.ini", "pytest"), ("setup.cfg", "tool:pytest")):
        found = _read(files, name, section)
        if found is not None:
            return found
    return Declared()


def _read(files: Files, name: str, section: str) -> Declared | None:
    settings = _settings(files, name, section)
    if not settings:
        return None
    origin = files.path(name) or name
    wanted = [line for line in _lines(settings.get("required_plugins", "")) if requirement(line) is not None]
    try:
        options = shlex.split(settings.get("addopts", ""))
    except ValueError:
        options = []
    for option in options:
        wanted += [plugin for pattern, plugin in _OPTIONS.items() if re.fullmatch(pattern, option)]
    wanted += [plugin for setting, plugin in _SETTINGS.items() if setting in settings]
    wanted += [word for before, word in pairwise(options) if before == "-p" and _plugin(word)]
    needs = tuple(Need(line, origin, Rank.TESTS) for line in dict.fromkeys(wanted))
    return Declared(needs=needs, said={origin: f"{len(needs)} plugins of pytest"} if needs else {})


def _plugin(word: str) -> bool:
    return re.fullmatch(r"pytest[-_][\w-]+", word) is not None


def _settings(files: Files, name: str, section: str) -> dict[str, str]:
    if name == "pyproject.toml":
        tool = table(table(files.toml(name).get("tool")).get("pytest"))
        found = {**tool, **table(tool.get("ini_options"))}
        return {key.lower(): " ".join(strings(v)) if isinstance(v, list) else str(v) for key, v in found.items()}
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    try:
        parser.read_string(files.text(name) or "")
    except configparser.Error:
        return {}
    return dict(parser.items(section)) if parser.has_section(section) else {}


def _lines(text: str) -> list[str]:
    return re.split(r"\s+(?=[A-Za-z])", text.strip()) if text.strip() else []
