"""Every setting, declared once: its name, kind, default and help. Flags, environment and file all read from here.

Precedence: flag > environment (EGCFG_<NAME>) > [tool.egcfg-fix] in the repository's pyproject.toml > default.

The file belongs to the repository, and anyone who can open a pull request can change it. So it may say what to test
and how long to search, but nothing about this machine: which model runs, on which device, and how the sandbox confines
the tests. Those settings are `trusted_only`; a file that has one is refused, everywhere and not only in CI.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
import re
import shlex
import stat
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from bot.errors import ConfigError
from bot.records import Budget

TABLE = "tool.egcfg-fix"
PREFIX = "EGCFG_"
ELSEWHERE = frozenset({"EGCFG_BASE_IMAGE"})  # variables of ours that are no settings: runners/environment reads it
FILE_LIMIT = 1 << 20  # bytes of pyproject.toml that are read

Read = Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class Kind:
    """How one kind of value is read. Both readers raise ValueError, whose text completes "It must be ...".

    text: from a flag or the environment. value: from TOML, already typed.
    """

    metavar: str
    text: Read
    value: Read
    multiple: bool = False  # a flag that may be repeated; each use is one item
    switch: bool = False  # a flag without a value


@dataclass(frozen=True, slots=True)
class Declaration:
    """One setting."""

    field: str  # attribute of Config
    kind: Kind
    default: Any
    help: str
    trusted_only: bool

    @property
    def key(self) -> str:
        return self.field.replace("_", "-")

    @property
    def flag(self) -> str:
        return f"--{self.key}"

    @property
    def variable(self) -> str:
        return PREFIX + self.field.upper()


def _string(says: str = "text", pattern: str = r".*", metavar: str = "TEXT") -> Kind:
    def read(given: Any) -> str:
        if not isinstance(given, str) or "\0" in given or re.fullmatch(pattern, given, re.DOTALL) is None:
            raise ValueError(says)
        return given

    return Kind(metavar, read, read)


def _choice(*allowed: str) -> Kind:
    says = "one of " + ", ".join(allowed)

    def read(given: Any) -> str:
        if given not in allowed:
            raise ValueError(says)
        return str(given)

    return Kind("[" + "|".join(allowed) + "]", read, read)


def _switch() -> Kind:
    words = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}

    def text(given: str) -> bool:
        if given.lower() not in words:
            raise ValueError("true or false")
        return words[given.lower()]

    def value(given: Any) -> bool:
        if not isinstance(given, bool):
            raise ValueError("true or false")
        return given

    return Kind("", text, value, switch=True)


def _whole(low: int, high: int) -> Kind:
    says = f"a whole number from {low} to {high}"

    def value(given: Any) -> int:
        if isinstance(given, bool) or not isinstance(given, int) or not low <= given <= high:
            raise ValueError(says)
        return given

    def text(given: str) -> int:
        if re.fullmatch(r"[+-]?\d{1,18}", given.strip()) is None:
            raise ValueError(says)
        return value(int(given))

    return Kind("N", text, value)


def _number(low: float, high: float, *, above: bool = False, metavar: str = "X") -> Kind:
    says = f"a number {'above' if above else 'from'} {low:g} {'and at most' if above else 'to'} {high:g}"

    def value(given: Any) -> float:
        if isinstance(given, bool) or not isinstance(given, (int, float)) or not math.isfinite(given):
            raise ValueError(says)
        if given > high or given < low or (above and given == low):
            raise ValueError(says)
        return float(given)

    def text(given: str) -> float:
        try:
            number = float(given)
        except ValueError:
            raise ValueError(says) from None
        return value(number)

    return Kind(metavar, text, value)


def _several(item: Kind, split: Callable[[str], Sequence[str]], *, multiple: bool = True, metavar: str = "") -> Kind:
    """Return the kind of a list of `item`. In the environment the items stand in one text, cut by `split`."""

    def text(given: str) -> tuple[Any, ...]:
        try:
            parts = split(given)
        except ValueError as error:
            raise ValueError(f"readable ({error})") from None
        return tuple(item.text(part) for part in parts)

    def value(given: Any) -> tuple[Any, ...]:
        if isinstance(given, list):
            return tuple(item.value(part) for part in given)
        if isinstance(given, str) and not multiple:
            return text(given)
        try:
            return (item.value(given),)
        except ValueError as error:
            raise ValueError(f"a list, each item {error}") from None

    return Kind(metavar or item.metavar, text, value, multiple=multiple)


def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip()]


def _commas(text: str) -> list[str]:
    return [part for part in re.split(r"[\s,]+", text) if part]


UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}
BUDGET_SAYS = 'a time such as "120s", or limits such as "seconds=300,executions=4000,tokens=none"'


def parse_budget(given: Any) -> Budget:
    """Return the budget written as "120s", "5m", "seconds=300,tokens=20000", a number of seconds or a TOML table.

    A limit that is not named keeps its default; "none" lifts it. Raises ValueError for anything else.
    """
    if isinstance(given, str):
        text = given.strip()
        given = dict(_pair(part) for part in _commas(text)) if "=" in text else {"seconds": text}
    elif isinstance(given, (int, float)) and not isinstance(given, bool):
        given = {"seconds": given}
    if not isinstance(given, dict) or not given:
        raise ValueError(BUDGET_SAYS)
    names = {f.name for f in dataclasses.fields(Budget)}
    if unknown := [str(name) for name in given if name not in names]:
        raise ValueError(f"{BUDGET_SAYS}; it has no limit {unknown[0]!r}{nearest(unknown[0], names)}")
    return Budget(**{name: _limit(name, value) for name, value in given.items()})


def _pair(part: str) -> tuple[str, str]:
    name, found, value = part.partition("=")
    if not found:
        raise ValueError(BUDGET_SAYS)
    return name.strip(), value.strip()


def _limit(name: str, given: Any) -> Any:
    if given == "none":
        return None
    if isinstance(given, str):
        match = re.fullmatch(r"(\d{1,12}(?:\.\d{1,6})?)\s*([a-z]*)", given)
        if match is None or match[2] not in (UNITS if name == "seconds" else {""}):
            raise ValueError(f'{BUDGET_SAYS}; {given!r} is not a number of {name} and not "none"')
        given = float(match[1]) * UNITS[match[2]]
    if isinstance(given, bool) or not isinstance(given, (int, float)) or not math.isfinite(given) or given <= 0:
        raise ValueError(f"{BUDGET_SAYS}; {name} must be above 0")
    if name == "seconds":
        return float(given)
    if given != int(given):
        raise ValueError(f"{BUDGET_SAYS}; {name} must be a whole number")
    return int(given)


def budget_text(budget: Budget) -> str:
    """Return `budget` in the form `parse_budget` reads, without the limits that have their default."""
    limits = [(f.name, getattr(budget, f.name)) for f in dataclasses.fields(Budget)]
    default = Budget()
    limits = [(name, limit) for name, limit in limits if limit != getattr(default, name)] or limits[:1]
    return ",".join(f"{name}={'none' if limit is None else f'{limit:.15g}'}" for name, limit in limits)


DEFAULT_BUDGET = Budget()
BUDGET = Kind("BUDGET", parse_budget, parse_budget)
NODE_ID = _string("a pytest node id, such as tests/test_stack.py::test_pop", r"[^-\s].*", "NODEID")
DEVICE = _string("auto, cpu, mps, cuda or cuda:N", r"auto|cpu|mps|cuda(:\d{1,2})?", "DEVICE")


BRANCH = _string("the name of a branch", r"(?![-/.])[^\s~^:?*\[\\\x00-\x20\x7f]*(?<![/.])|", "BRANCH")
LOGIN = _string("a login", r"[A-Za-z0-9][\w.-]*(\[bot\])?", "LOGIN")
WORD = _string("a name", r"\S(.{0,48}\S)?", "NAME")
REPOSITORY_HELP = "Where to publish. GITHUB_REPOSITORY by default; a bundle that names another is refused."


def _lines_or_commas(text: str) -> list[str]:
    return [part.strip() for part in re.split(r"[\n,]", text) if part.strip()]


def _setting(default: Any, kind: Kind, text: str, *, trusted_only: bool = False) -> Any:
    return field(default=default, metadata={"kind": kind, "help": text, "trusted_only": trusted_only})


@dataclass(frozen=True, slots=True)
class Config:
    """All settings of one run."""

    tests: tuple[str, ...] = _setting(
        (), _several(NODE_ID, _lines), "Repair only this failing test; repeatable. In the environment one a line."
    )
    junit_xml: tuple[str, ...] = _setting(
        (),
        _several(_string("the path of a file", r"[^-].*", "FILE"), _lines),
        "Take the failing tests from the JUnit XML of a finished run, and run no more than is needed; repeatable.",
        trusted_only=True,
    )
    lf: bool = _setting(False, _switch(), "Take the failing tests from pytest's cache: those that failed last.")
    base: str = _setting(
        "",
        _string("a commit, branch or tag", r"[^-\s]\S*|", "REF"),
        "Blame functions first that changed since the merge base with this commit, branch or tag.",
    )
    model: str = _setting(
        "embedded",
        _string("a name, a directory or a URL", r"\S.*", "MODEL"),
        'The code model: "embedded", a Hugging Face id, a directory, an OpenAI-compatible server, or "none".',
        trusted_only=True,
    )
    revision: str = _setting(
        "",
        _string("a revision: letters, digits and ._/-", r"[\w./-]*", "REV"),
        "The model's revision: a commit, tag or branch.",
        trusted_only=True,
    )
    device: str = _setting("auto", DEVICE, "Where the model runs: auto, cpu, mps, cuda or cuda:N.", trusted_only=True)
    dtype: str = _setting(
        "auto",
        _choice("auto", "float32", "bfloat16", "float16", "int8"),
        "Precision of the weights.",
        trusted_only=True,
    )
    runner: str = _setting(
        "auto",
        _choice("auto", "docker", "local"),
        "The sandbox: docker, local (bubblewrap), or auto, the first that works.",
        trusted_only=True,
    )
    unsafe_local: bool = _setting(
        False,
        _switch(),
        "Run the tests and the model's code on this machine WITHOUT a sandbox. Never allowed in CI.",
        trusted_only=True,
    )
    python: str = _setting(
        "",
        _string("an interpreter: its path or its version", metavar="PYTHON"),
        "The interpreter that runs the repository's tests.",
        trusted_only=True,
    )
    image: str = _setting(
        "",
        _string("the name of a Docker image", r"[A-Za-z0-9][\w./:@-]*|", "IMAGE"),
        "The Docker image in which the tests run, instead of one built from the repository.",
        trusted_only=True,
    )
    runtime: str = _setting(
        "",
        _string("the name of a runtime of the engine, such as runsc", r"[\w.-]*", "NAME"),
        "What the Docker Engine runs containers with, such as gVisor's runsc; else the engine's default.",
        trusted_only=True,
    )
    dockerfile: str = _setting(
        "",
        _string("a file", r"[^\0]*", "FILE"),
        "A Dockerfile of yours, built with the repository as its context, in place of the image of egcfg-fix.",
        trusted_only=True,
    )
    setup_command: str = _setting(
        "",
        _string(metavar="COMMAND"),
        "Run by a shell as root, with the network, in a copy of the repository before its dependencies are installed.",
        trusted_only=True,
    )
    build_timeout: float = _setting(
        900.0, _number(0, 86400, above=True, metavar="SECONDS"), "Time for building the image.", trusted_only=True
    )
    project: str = _setting(
        "",
        _string("a folder of the repository, such as packages/core", r"(?!/)(?!(.*/)?\.\.(/|$)).*", "FOLDER"),
        "The sub-project to work on, in a repository of several. The others stay available to it.",
        trusted_only=True,
    )
    memory: int = _setting(1024, _whole(64, 1 << 20), "Memory of the sandbox, in MiB.", trusted_only=True)
    cpus: float = _setting(
        1.0, _number(0, 256, above=True), "CPUs that one sandbox may use, where there is Docker.", trusted_only=True
    )
    workers: int = _setting(
        0,
        _whole(0, 64),
        "Sandboxes that try bodies at the same time; 0 means one for each CPU, at most 4.",
        trusted_only=True,
    )
    gamma: tuple[float, ...] | None = _setting(
        None,
        _several(_number(0, 20), _commas),
        "Guidance scale; repeatable, tried in order. Without it the portfolio is tried, from 0 (the plain model) up.",
    )
    candidates: int = _setting(3, _whole(1, 64), "Continuations sampled for each line (s).")
    horizon: int = _setting(3, _whole(1, 64), "Lines of a continuation (d).")
    temperature: float = _setting(0.8, _number(0, 5, above=True), "Temperature of the continuations (t).")
    seed: int = _setting(0, _whole(0, (1 << 31) - 1), "Seed of everything random.")
    budget: Budget = _setting(  # noqa: RUF009 - a Budget is frozen
        DEFAULT_BUDGET,
        BUDGET,
        'What the search may use: "120s", "5m" or "seconds=300,executions=4000,tokens=20000,positions=none".',
    )
    suspects: int = _setting(5, _whole(1, 50), "Functions tried for each group of failures, at most.")
    test_timeout: float = _setting(30.0, _number(0, 3600, above=True, metavar="SECONDS"), "Time for one test.")
    suite_timeout: float = _setting(
        600.0, _number(0, 86400, above=True, metavar="SECONDS"), "Time for the whole suite."
    )
    pytest_args: tuple[str, ...] = _setting(
        (),
        _several(_string(metavar="ARGS"), shlex.split, multiple=False),
        'More arguments for pytest, inside the sandbox, as one quoted text: "-p no:randomly -x".',
    )
    repair: str = _setting(
        "code",
        _choice("code", "tests"),
        'What is rewritten: "code", or the failing "tests" themselves where an intended change left them behind.',
        trusted_only=True,
    )
    allow_paths: tuple[str, ...] = _setting(
        (),
        _several(_string("a glob, such as src/*", r"\S.*", "GLOB"), _lines),
        "Only files that match may be changed; repeatable. Without it all may that are no tests.",
    )
    flake_runs: int = _setting(
        1, _whole(1, 100), "Times that a failing test must fail again in a fresh process, else it is flaky."
    )
    holdout: float = _setting(
        0.5, _number(0, 0.9), "Share of the failing tests that never steer the search and only judge what it finds."
    )
    exclude: tuple[str, ...] = _setting(
        (),
        _several(_string("a glob, such as src/generated/*", r"\S.*", "GLOB"), _lines),
        "Files that are never changed; repeatable. In the environment one a line.",
    )

    def described(self) -> dict[str, str]:
        """Return key -> text of every setting that differs from its default, in a form the flags accept."""
        return {
            one.key: _as_text(getattr(self, one.field))
            for one in declarations()
            if getattr(self, one.field) != one.default
        }

    def arguments(self) -> list[str]:
        """Return the command line arguments that give these settings."""
        given: list[str] = []
        for one in declarations():
            value = getattr(self, one.field)
            if value == one.default:
                continue
            if one.kind.switch:
                given.append(one.flag)
            elif one.kind.multiple:
                given += [f"{one.flag}={_as_text(item)}" for item in value]
            else:
                given.append(f"{one.flag}={_as_text(value)}")
        return given


@dataclass(frozen=True, slots=True)
class Publishing:
    """All settings of `publish`. None of them is ever taken from a repository."""

    repository: str = _setting(
        "", _string("owner/name", r"[A-Za-z0-9][A-Za-z0-9_.-]*/[A-Za-z0-9._-]+|", "OWNER/NAME"), REPOSITORY_HELP
    )
    api_url: str = _setting(
        "https://api.github.com",
        _string("a URL", r"https?://\S+", "URL"),
        "GitHub's API; on an Enterprise server https://HOST/api/v3. GITHUB_API_URL by default.",
    )
    server_url: str = _setting(
        "https://github.com",
        _string("a URL", r"https?://\S+", "URL"),
        "GitHub itself, for --transport git. GITHUB_SERVER_URL by default.",
    )
    mode: str = _setting(
        "pull-request",
        _choice("pull-request", "stacked", "push"),
        "A pull request of its own, one stacked on the failing pull request, or a commit pushed to that one's branch.",
    )
    group: str = _setting(
        "function", _choice("function", "run"), "One pull request for each function, or one for the run."
    )
    base: str = _setting("", BRANCH, "The branch to repair; the one whose tests failed by default.")
    branch_prefix: str = _setting("egcfg-fix", BRANCH, "First part of the names of our branches.")
    draft: bool = _setting(False, _switch(), "Open pull requests as drafts.")
    labels: tuple[str, ...] = _setting((), _several(WORD, _lines_or_commas), "Label of a new pull request; repeatable.")
    assignees: tuple[str, ...] = _setting((), _several(LOGIN, _commas), "Person it is assigned to; repeatable.")
    reviewers: tuple[str, ...] = _setting((), _several(LOGIN, _commas), "Person asked for a review; repeatable.")
    team_reviewers: tuple[str, ...] = _setting(
        (), _several(LOGIN, _commas), "Team asked for a review, by its short name; repeatable."
    )
    max_open_prs: int = _setting(5, _whole(1, 1000), "With so many of ours open, no new one is opened.")
    transport: str = _setting(
        "api",
        _choice("api", "git"),
        "How commits get there: through the API, where GitHub signs them, or by git push.",
    )
    dispatch_workflow: str = _setting(
        "",
        _string("a workflow's file name", r"[\w.-]*", "FILE"),
        "Workflow started on our branch, since a push with a workflow's own token starts none.",
    )
    no_comment: bool = _setting(False, _switch(), "Do not tell the failing pull request where its repair is.")
    allow_tests: bool = _setting(False, _switch(), "Also publish repairs of stale tests; they are labelled.")
    exclude: tuple[str, ...] = _setting(
        (), _several(_string("a glob", r"\S.*", "GLOB"), _lines), "Files that are never changed; repeatable."
    )


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


def _as_text(value: Any) -> str:
    if isinstance(value, Budget):
        return budget_text(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        return shlex.join(f"{item:g}" if isinstance(item, float) else str(item) for item in value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def declarations(settings: type[Config | Publishing] = Config) -> tuple[Declaration, ...]:
    """Return every setting of a command, in the order of its help page; those of `repair` and `find` by default."""
    return tuple(
        Declaration(f.name, f.metadata["kind"], f.default, f.metadata["help"], f.metadata["trusted_only"])
        for f in dataclasses.fields(settings)
    )


def nearest(word: str, known: Sequence[str] | set[str]) -> str:
    """Return '; did you mean "..."?' with the known word closest to `word`, or ""."""
    close = difflib.get_close_matches(word, sorted(known), n=1, cutoff=0.5)
    return f'; did you mean "{close[0]}"?' if close else ""


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
                f"The environment variable {variable} is no setting{nearest(variable, set(known))}",
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
                f"{origin}: there is no such setting{nearest(key, set(known))}",
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
