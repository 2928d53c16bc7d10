"""Every setting, declared once: its name, kind, default and help. Flags, environment and file all read from here.

The file belongs to the repository, and anyone who can open a pull request can change it. So it may say what to test
and how long to search, but nothing about this machine: which model runs, on which device, and how the sandbox confines
the tests. Those settings are `trusted_only`; a file that has one is refused, everywhere and not only in CI.
"""

from __future__ import annotations

import dataclasses
import shlex
from dataclasses import dataclass, field
from typing import Any

from bot.budget_text import budget_text, parse_budget
from bot.records import Budget
from bot.value_kinds import Kind, choice, commas, lines, lines_or_commas, number, several, string, switch, whole

PREFIX = "EGCFG_"
ELSEWHERE = frozenset({"EGCFG_BASE_IMAGE"})  # variables of ours that are no settings: runners/environment reads it

DEFAULT_BUDGET = Budget()
BUDGET = Kind("BUDGET", parse_budget, parse_budget)
NODE_ID = string("a pytest node id, such as tests/test_stack.py::test_pop", r"[^-\s].*", "NODEID")
DEVICE = string("auto, cpu, mps, cuda or cuda:N", r"auto|cpu|mps|cuda(:\d{1,2})?", "DEVICE")
BRANCH = string("the name of a branch", r"(?![-/.])[^\s~^:?*\[\\\x00-\x20\x7f]*(?<![/.])|", "BRANCH")
LOGIN = string("a login", r"[A-Za-z0-9][\w.-]*(\[bot\])?", "LOGIN")
WORD = string("a name", r"\S(.{0,48}\S)?", "NAME")
REPOSITORY_HELP = "Where to publish. GITHUB_REPOSITORY by default; a bundle that names another is refused."


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


def _setting(default: Any, kind: Kind, text: str, *, trusted_only: bool = False) -> Any:
    return field(default=default, metadata={"kind": kind, "help": text, "trusted_only": trusted_only})


@dataclass(frozen=True, slots=True)
class Config:
    """All settings of one run."""

    tests: tuple[str, ...] = _setting(
        (), several(NODE_ID, lines), "Repair only this failing test; repeatable. In the environment one a line."
    )
    junit_xml: tuple[str, ...] = _setting(
        (),
        several(string("the path of a file", r"[^-].*", "FILE"), lines),
        "Take the failing tests from the JUnit XML of a finished run, and run no more than is needed; repeatable.",
        trusted_only=True,
    )
    lf: bool = _setting(False, switch(), "Take the failing tests from pytest's cache: those that failed last.")
    base: str = _setting(
        "",
        string("a commit, branch or tag", r"[^-\s]\S*|", "REF"),
        "Blame functions first that changed since the merge base with this commit, branch or tag.",
    )
    model: str = _setting(
        "embedded",
        string("a name, a directory or a URL", r"\S.*", "MODEL"),
        'The code model: "embedded", a Hugging Face id, a directory, an OpenAI-compatible server, or "none".',
        trusted_only=True,
    )
    revision: str = _setting(
        "",
        string("a revision: letters, digits and ._/-", r"[\w./-]*", "REV"),
        "The model's revision: a commit, tag or branch.",
        trusted_only=True,
    )
    device: str = _setting("auto", DEVICE, "Where the model runs: auto, cpu, mps, cuda or cuda:N.", trusted_only=True)
    dtype: str = _setting(
        "auto",
        choice("auto", "float32", "bfloat16", "float16", "int8"),
        "Precision of the weights.",
        trusted_only=True,
    )
    runner: str = _setting(
        "auto",
        choice("auto", "docker", "local"),
        "The sandbox: docker, local (bubblewrap), or auto, the first that works.",
        trusted_only=True,
    )
    unsafe_local: bool = _setting(
        False,
        switch(),
        "Run the tests and the model's code on this machine WITHOUT a sandbox. Never allowed in CI.",
        trusted_only=True,
    )
    python: str = _setting(
        "",
        string("an interpreter: its path or its version", metavar="PYTHON"),
        "The interpreter that runs the repository's tests.",
        trusted_only=True,
    )
    image: str = _setting(
        "",
        string("the name of a Docker image", r"[A-Za-z0-9][\w./:@-]*|", "IMAGE"),
        "The Docker image in which the tests run, instead of one built from the repository.",
        trusted_only=True,
    )
    runtime: str = _setting(
        "",
        string("the name of a runtime of the engine, such as runsc", r"[\w.-]*", "NAME"),
        "What the Docker Engine runs containers with, such as gVisor's runsc; else the engine's default.",
        trusted_only=True,
    )
    dockerfile: str = _setting(
        "",
        string("a file", r"[^\0]*", "FILE"),
        "A Dockerfile of yours, built with the repository as its context, in place of the image of egcfg-fix.",
        trusted_only=True,
    )
    setup_command: str = _setting(
        "",
        string(metavar="COMMAND"),
        "Run by a shell as root, with the network, in a copy of the repository before its dependencies are installed.",
        trusted_only=True,
    )
    build_timeout: float = _setting(
        900.0, number(0, 86400, above=True, metavar="SECONDS"), "Time for building the image.", trusted_only=True
    )
    project: str = _setting(
        "",
        string("a folder of the repository, such as packages/core", r"(?!/)(?!(.*/)?\.\.(/|$)).*", "FOLDER"),
        "The sub-project to work on, in a repository of several. The others stay available to it.",
        trusted_only=True,
    )
    memory: int = _setting(1024, whole(64, 1 << 20), "Memory of the sandbox, in MiB.", trusted_only=True)
    cpus: float = _setting(
        1.0, number(0, 256, above=True), "CPUs that one sandbox may use, where there is Docker.", trusted_only=True
    )
    workers: int = _setting(
        0,
        whole(0, 64),
        "Sandboxes that try bodies at the same time; 0 means one for each CPU, at most 4.",
        trusted_only=True,
    )
    gamma: tuple[float, ...] | None = _setting(
        None,
        several(number(0, 20), commas),
        "Guidance scale; repeatable, tried in order. Without it the portfolio is tried, from 0 (the plain model) up.",
    )
    candidates: int = _setting(3, whole(1, 64), "Continuations sampled for each line (s).")
    horizon: int = _setting(3, whole(1, 64), "Lines of a continuation (d).")
    temperature: float = _setting(0.8, number(0, 5, above=True), "Temperature of the continuations (t).")
    seed: int = _setting(0, whole(0, (1 << 31) - 1), "Seed of everything random.")
    budget: Budget = _setting(  # noqa: RUF009 - a Budget is frozen
        DEFAULT_BUDGET,
        BUDGET,
        'What the search may use: "120s", "5m" or "seconds=300,executions=4000,tokens=20000,positions=none".',
    )
    suspects: int = _setting(5, whole(1, 50), "Functions tried for each group of failures, at most.")
    test_timeout: float = _setting(30.0, number(0, 3600, above=True, metavar="SECONDS"), "Time for one test.")
    suite_timeout: float = _setting(600.0, number(0, 86400, above=True, metavar="SECONDS"), "Time for the whole suite.")
    pytest_args: tuple[str, ...] = _setting(
        (),
        several(string(metavar="ARGS"), shlex.split, multiple=False),
        'More arguments for pytest, inside the sandbox, as one quoted text: "-p no:randomly -x".',
    )
    repair: str = _setting(
        "code",
        choice("code", "tests"),
        'What is rewritten: "code", or the failing "tests" themselves where an intended change left them behind.',
        trusted_only=True,
    )
    allow_paths: tuple[str, ...] = _setting(
        (),
        several(string("a glob, such as src/*", r"\S.*", "GLOB"), lines),
        "Only files that match may be changed; repeatable. Without it all may that are no tests.",
    )
    flake_runs: int = _setting(
        1, whole(1, 100), "Times that a failing test must fail again in a fresh process, else it is flaky."
    )
    holdout: float = _setting(
        0.5, number(0, 0.9), "Share of the failing tests that never steer the search and only judge what it finds."
    )
    exclude: tuple[str, ...] = _setting(
        (),
        several(string("a glob, such as src/generated/*", r"\S.*", "GLOB"), lines),
        "Files that are never changed; repeatable. In the environment one a line.",
    )

    @property
    def whole_suite(self) -> bool:
        """True when no test is chosen, so that a run tells of all of them."""
        return not (self.tests or self.junit_xml or self.lf)

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
        "", string("owner/name", r"[A-Za-z0-9][A-Za-z0-9_.-]*/[A-Za-z0-9._-]+|", "OWNER/NAME"), REPOSITORY_HELP
    )
    api_url: str = _setting(
        "https://api.github.com",
        string("a URL", r"https?://\S+", "URL"),
        "GitHub's API; on an Enterprise server https://HOST/api/v3. GITHUB_API_URL by default.",
    )
    server_url: str = _setting(
        "https://github.com",
        string("a URL", r"https?://\S+", "URL"),
        "GitHub itself, for --transport git. GITHUB_SERVER_URL by default.",
    )
    mode: str = _setting(
        "pull-request",
        choice("pull-request", "stacked", "push"),
        "A pull request of its own, one stacked on the failing pull request, or a commit pushed to that one's branch.",
    )
    group: str = _setting(
        "function", choice("function", "run"), "One pull request for each function, or one for the run."
    )
    base: str = _setting("", BRANCH, "The branch to repair; the one whose tests failed by default.")
    branch_prefix: str = _setting("egcfg-fix", BRANCH, "First part of the names of our branches.")
    draft: bool = _setting(False, switch(), "Open pull requests as drafts.")
    labels: tuple[str, ...] = _setting((), several(WORD, lines_or_commas), "Label of a new pull request; repeatable.")
    assignees: tuple[str, ...] = _setting((), several(LOGIN, commas), "Person it is assigned to; repeatable.")
    reviewers: tuple[str, ...] = _setting((), several(LOGIN, commas), "Person asked for a review; repeatable.")
    team_reviewers: tuple[str, ...] = _setting(
        (), several(LOGIN, commas), "Team asked for a review, by its short name; repeatable."
    )
    max_open_prs: int = _setting(5, whole(1, 1000), "With so many of ours open, no new one is opened.")
    transport: str = _setting(
        "api",
        choice("api", "git"),
        "How commits get there: through the API, where GitHub signs them, or by git push.",
    )
    dispatch_workflow: str = _setting(
        "",
        string("a workflow's file name", r"[\w.-]*", "FILE"),
        "Workflow started on our branch, since a push with a workflow's own token starts none.",
    )
    no_comment: bool = _setting(False, switch(), "Do not tell the failing pull request where its repair is.")
    allow_tests: bool = _setting(False, switch(), "Also publish repairs of stale tests; they are labelled.")
    exclude: tuple[str, ...] = _setting(
        (), several(string("a glob", r"\S.*", "GLOB"), lines), "Files that are never changed; repeatable."
    )


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
