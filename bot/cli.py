"""The `egcfg-fix` command: flags in, files and an exit code out. What it finds and repairs is decided elsewhere.

Progress and errors go to standard error, the result to standard output; with --json that is exactly one document.
The model, torch and Docker are imported by the pipeline when they are used, so `--help` stays fast.
"""

from __future__ import annotations

import contextlib
import errno
import importlib
import os
import shlex
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import click

from bot import __version__
from bot.config import Config, Publishing, declarations
from bot.errors import (
    EXIT_ENVIRONMENT,
    EXIT_INTERRUPTED,
    EXIT_NOT_REPAIRED,
    EXIT_OK,
    EXIT_USAGE,
    ConfigError,
    EgcfgError,
    RepositoryError,
    exit_code_of,
)
from bot.execution_log import log
from bot.interruption import interruptible
from bot.journal import FILE, Fanout, Journal, find_run, read
from bot.json_documents import dumps, error_document, find_document, repair_document
from bot.markup import printable
from bot.patch_file import changes, patch_file
from bot.precedence import in_ci, load, load_publishing
from bot.records import Discovery, Emit, Patch, Repair
from bot.wording import commit_message
from runners.runner import RunnerError

if TYPE_CHECKING:
    from bot.pipeline import Group, Outcome
    from bot.recorded import Earlier
    from bot.report import Run
    from bot.terminal import Terminal

FULL_DISK = (errno.ENOSPC, errno.EDQUOT)
FIND = (
    "tests", "junit_xml", "lf", "base", "runner", "unsafe_local", "python", "image", "dockerfile", "setup_command",
    "build_timeout", "project", "runtime", "memory", "cpus", "suspects", "test_timeout", "suite_timeout", "pytest_args",
    "allow_paths", "flake_runs", "exclude",
)  # fmt: skip
ENV = ("runner", "unsafe_local", "python", "image", "dockerfile", "setup_command", "build_timeout", "project")
EPILOG = """\
\b
Exit status:
    0  nothing fails any more: all was repaired, or nothing failed
    1  something still fails
    2  wrong usage or configuration, or a path that cannot be worked on
    3  the environment lacks something (Docker, pytest, a model, disk space),
       or egcfg-fix itself failed; the message says which
  130  interrupted; the repository is as it was

`publish` exits with 1 when something of the bundle was not published, and says why.

Every setting is also an environment variable, EGCFG_<NAME> (EGCFG_TEST_TIMEOUT), and most are keys of [tool.egcfg-fix]
in pyproject.toml. A flag wins over the environment, that over the file. Settings about this machine (--model,
--revision, --device, --dtype, --runner, --unsafe-local, --python, --image, --memory, --cpus, --workers) are never
taken from the file, which belongs to the repository.
"""


class Pipeline(Protocol):
    """What the command needs of `bot.pipeline`."""

    def find(self, root: Path, config: Config, emit: Emit) -> tuple[Discovery, list[Group]]: ...

    def repair(self, root: Path, config: Config, emit: Emit, *, earlier: Earlier | None = None) -> Outcome: ...

    def combined(self, repairs: Sequence[Repair]) -> Mapping[str, bytes]: ...


@dataclass(slots=True)
class State:
    """What one invocation knows: for the commands, and for whoever reports that they failed."""

    pipeline: Pipeline | None = None
    json: bool = False
    verbosity: int = 0
    log: str = ""  # the journal, once there is one
    changed: str = ""  # what was done to the repository, once it was

    def loaded(self) -> Pipeline:
        return self.pipeline or importlib.import_module("bot.pipeline")


def main(arguments: Sequence[str] | None = None, *, pipeline: Pipeline | None = None) -> int:
    """Run the command and return its exit code. `pipeline` stands in for `bot.pipeline`."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    state = State(pipeline, json="--json" in given)
    for stream in (sys.stdout, sys.stderr):
        if reconfigure := getattr(stream, "reconfigure", None):
            reconfigure(errors="backslashreplace")
    try:
        code = program.main(given, prog_name="egcfg-fix", standalone_mode=False, obj=state)
    except (click.Abort, KeyboardInterrupt):
        said = f"Interrupted; {state.changed or 'the repository is as it was'}."
        return _failed(state, "Interrupted", said, "", EXIT_INTERRUPTED)
    except click.ClickException as error:
        return _misused(state, error)
    except (EgcfgError, RunnerError) as error:
        return _failed(state, type(error).__name__, error.message, error.hint, exit_code_of(error))
    except Exception as error:
        return _broken(state, error)
    return code if isinstance(code, int) else EXIT_OK


def _misused(state: State, error: click.ClickException) -> int:
    if state.json:
        return _failed(state, "UsageError", error.format_message(), "egcfg-fix --help lists the options.", EXIT_USAGE)
    error.show()
    return EXIT_USAGE


def _broken(state: State, error: Exception) -> int:
    """Report an exception nobody foresaw: the world's, if the disk is full, else ours."""
    if isinstance(error, OSError) and error.errno in FULL_DISK:
        where = os.fsdecode(error.filename) if error.filename else "the disk"
        hint = "Free some space; TMPDIR says where the sandbox's copies go."
        return _failed(state, "DiskFull", f"No space is left on the device ({where}).", hint, EXIT_ENVIRONMENT)
    if state.verbosity > 0:
        traceback.print_exception(error)
    if isinstance(error, OSError) and error.filename and error.strerror:
        said = f"{os.fsdecode(error.filename)}: {error.strerror}."
        return _failed(state, type(error).__name__, said, "Check that it exists and may be used.", EXIT_ENVIRONMENT)
    said = f"egcfg-fix itself failed: {type(error).__name__}: {error}"
    hint = "Please report it, with that log." if state.log else "-v shows where."
    return _failed(state, type(error).__name__, said, hint, EXIT_ENVIRONMENT)


def _failed(state: State, name: str, message: str, hint: str, code: int) -> int:

    with contextlib.suppress(OSError):
        click.echo(printable(f"Error: {message}" if code != EXIT_INTERRUPTED else message), err=True)
        if hint:
            click.echo(printable(f"  {hint}"), err=True)
        if state.log:
            click.echo(printable(f"  Log: {state.log}"), err=True)
        if state.json:
            click.echo(dumps(error_document(name, message, hint, exit_code=code, log=state.log)))
    return code


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110}, epilog=EPILOG)
@click.version_option(__version__, prog_name="egcfg-fix")
def program() -> None:
    """Repair failing pytest tests.

    Finds the failing tests of a repository, works out which functions are to blame, and regenerates their bodies with a
    local code model that is guided by what each half-written body does when the tests run it, in a sandbox.
    """


def _settings(
    *only: str, kind: type[Config | Publishing] = Config
) -> Callable[[Callable[..., int]], Callable[..., int]]:
    """Add the flags of the settings, as `bot.config` declares them."""

    def decorate(command: Callable[..., int]) -> Callable[..., int]:
        for one in reversed(declarations(kind)):
            if only and one.field not in only:
                continue
            if one.kind.switch:
                command = click.option(one.flag, one.field, is_flag=True, default=None, help=one.help)(command)
            else:
                multiple, metavar = one.kind.multiple, one.kind.metavar
                option = click.option(one.flag, one.field, multiple=multiple, metavar=metavar, help=one.help)
                command = option(command)
        return command

    return decorate


def _output(command: Callable[..., int]) -> Callable[..., int]:
    """Add the argument and the flags that all commands share."""
    for decorate in (
        click.option(
            "-v", "--verbose", count=True, help="Show more: each line written, the signals; -vv each execution."
        ),
        click.option("-q", "--quiet", is_flag=True, help="Show only the result."),
        click.option(
            "--json", is_flag=True, expose_value=False, help="Write the result to standard output as one JSON document."
        ),
        click.argument("path", default=".", type=click.Path(path_type=Path)),
    ):
        command = decorate(command)
    return command


@program.command(epilog=EPILOG)
@_output
@click.option("--apply", is_flag=True, help="Write the repaired files into the working tree.")
@click.option("--allow-dirty", is_flag=True, help="With --apply: also into files that have uncommitted changes.")
@click.option(
    "--branch", metavar="NAME", help="Commit the repair on a new branch; working tree and index stay as they are."
)
@click.option(
    "--patch", metavar="FILE", type=click.Path(path_type=Path, dir_okay=False), help="Also write the patch here."
)
@click.option(
    "--resume", metavar="RUN", help='Go on from an earlier run: its folder, the name of that, or "last" for the newest.'
)
@_settings()
@click.pass_obj
def repair(
    state: State,
    /,
    path: Path,
    *,
    quiet: bool,
    verbose: int,
    apply: bool,
    allow_dirty: bool,
    branch: str | None,
    patch: Path | None,
    resume: str | None,
    **flags: Any,
) -> int:
    """Find the failing tests in PATH (default: the current folder) and repair them.

    Nothing in the repository is changed unless --apply or --branch says so: the patch, a report and the journal of the
    run are written to .egcfg-fix/runs in it.
    """
    delivery = Delivery(apply, allow_dirty, branch, patch)
    delivery.check_flags()
    state.verbosity = -1 if quiet else verbose
    root, config = _configured(path, flags)
    delivery.check(root)
    known = _earlier(root, resume) if resume else None
    with _run(state, "repair", root, config, _dirty(root) if apply else ()) as run:
        with run.terminal, contextlib.redirect_stdout(sys.stderr):
            outcome = run.pipeline.repair(root, config, run.emit, earlier=known)
            patches = _patches(run.pipeline, outcome)
        _tests_exist(outcome.discovery)
        code = EXIT_OK if outcome.all_repaired else EXIT_NOT_REPAIRED
        written, advice = _deliver(state, run, root, config, outcome, patches, delivery, code)
        _show(
            state,
            lambda: repair_document(outcome, run.about(written), exit_code=code),
            lambda out: run.terminal.outcome(out, outcome, patches),
            advice,
        )
    return code


@program.command(epilog=EPILOG)
@_output
@_settings(*FIND)
@click.pass_obj
def find(state: State, /, path: Path, *, quiet: bool, verbose: int, **flags: Any) -> int:
    """Show the failing tests in PATH (default: the current folder) and the functions to blame; repair nothing.

    No model is loaded. Exits with 1 when a test fails.
    """
    state.verbosity = -1 if quiet else verbose
    root, config = _configured(path, flags)
    with _run(state, "find", root, config, hide=("failure", "ranking")) as run:
        with run.terminal, contextlib.redirect_stdout(sys.stderr):
            discovery, groups = run.pipeline.find(root, config, run.emit)
        _tests_exist(discovery)
        code = EXIT_NOT_REPAIRED if discovery.failures else EXIT_OK
        _show(
            state,
            lambda: find_document(discovery, groups, run.about({}), exit_code=code),
            lambda out: run.terminal.findings(out, discovery, groups),
            [],
        )
    return code


@program.command(epilog=EPILOG)
@click.argument("run", type=click.Path(path_type=Path))
@click.option("-q", "--quiet", is_flag=True, help="Show only the result.")
@click.option("--json", is_flag=True, expose_value=False, help="Write the result as one JSON document.")
@click.option("--dry-run", is_flag=True, help="Check the bundle and say what would be published; ask GitHub nothing.")
@_settings(kind=Publishing)
@click.pass_obj
def publish(state: State, /, run: Path, *, quiet: bool, dry_run: bool, **flags: Any) -> int:
    """Open or update the pull requests for RUN, the folder that `egcfg-fix repair` wrote.

    Needs no checkout. Every patch is checked again: it may replace bodies of functions and nothing else. The token is
    read from GH_TOKEN or GITHUB_TOKEN. Run it again with the same folder after a failure: it goes on where it stopped.
    """
    from bot import publishing

    state.verbosity = -1 if quiet else 0
    token = publishing.take_token(os.environ)
    settings = load_publishing(flags, os.environ)
    if settings.mode == "push" and not settings.base:
        raise ConfigError("--mode push needs --base.", hint="A bundle does not decide to which branch is pushed.")

    def tell(text: str) -> None:
        if not quiet:
            click.echo(printable(text), err=True)

    outcome = publishing.run(run, settings, token, tell, dry_run=dry_run)
    if state.json:
        click.echo(dumps(outcome.document))
    else:
        for line in outcome.lines:
            click.echo(printable(line))
    return EXIT_OK if outcome.all_published else EXIT_NOT_REPAIRED


@program.command(name="env", epilog=EPILOG)
@_output
@click.option("--no-build", is_flag=True, help="Only show what was found; build nothing.")
@_settings(*ENV)
@click.pass_obj
def environment(state: State, /, path: Path, *, quiet: bool, verbose: int, no_build: bool, **flags: Any) -> int:
    """Show what the tests in PATH (default: the current folder) need, from which files, and build the image for it.

    With --runner local: which interpreter is used and what it lacks. No test is run.
    """
    from bot import environment as work

    state.verbosity = -1 if quiet else verbose
    root, config = _configured(path, flags)
    plan = work.plan(root, config)
    if not state.json and not quiet:
        click.echo("\n".join(map(printable, work.plan_lines(plan, everything=verbose > 0))))

    def tell(text: str) -> None:
        if not quiet:
            click.echo(printable(text), err=True)

    with interruptible():
        found = None if no_build else work.provide(root, config, plan, tell)
    _show(
        state,
        lambda: work.document(plan, found),
        lambda _out: click.echo("\n".join(map(printable, work.result_lines(found)))),
        [],
    )
    return EXIT_OK if found is None or found.usable else EXIT_ENVIRONMENT


def _configured(path: Path, flags: Mapping[str, Any]) -> tuple[Path, Config]:
    """Return the folder to work on, a sub-project's if one is named, and the settings of the repository."""
    root = _checkout(path)
    config = load(root, flags, os.environ)
    if config.project:
        project = _checkout(root / config.project)
        if not project.is_relative_to(root):
            raise RepositoryError(f"{config.project} lies outside {root}.", hint="Name a folder of the repository.")
        root = project
    return root, config


def _checkout(path: Path) -> Path:
    """Return the folder to work on, or say why it cannot be."""
    if not path.exists():
        raise RepositoryError(f"{path} does not exist.", hint="Give the repository's folder.")
    if not path.is_dir():
        raise RepositoryError(f"{path} is not a folder.", hint=f"Give the repository's folder, and --tests {path}.")
    if not os.access(path, os.R_OK | os.X_OK):
        raise RepositoryError(f"{path} may not be read.", hint="Check its permissions.")
    return path.resolve()


def _earlier(root: Path, name: str) -> Earlier:
    """Return what the run of this name tells; its journal may have been cut off at any byte."""
    from bot.recorded import earlier

    folder = find_run(root, os.environ, name)
    try:
        return earlier(read(folder / FILE))
    except ValueError as error:
        raise RepositoryError(
            f"{folder / FILE} cannot be read: {error}.", hint="Run without --resume; nothing else is lost."
        ) from error


def _dirty(root: Path) -> list[str]:
    from bot.git import is_dirty

    return is_dirty(root)


def _tests_exist(discovery: Discovery) -> None:
    if not discovery.collected and not discovery.failures:
        raise RepositoryError(
            "No tests were collected.", hint="Name some with --tests, or check testpaths in pytest's configuration."
        )


# One run: its journal, its terminal, its interruption


@dataclass(slots=True)
class Running:
    """A run under way."""

    pipeline: Pipeline
    journal: Journal
    terminal: Terminal
    emit: Emit
    command: str
    commit: str
    changed: Sequence[str]

    def about(self, written: Mapping[str, str]) -> Run:
        from bot.report import Run

        records = read(self.journal.path)
        folder = str(self.journal.folder)
        return Run(folder, self.command, self.commit, tuple(self.changed), dict(written), records)


@contextlib.contextmanager
def _run(
    state: State, command: str, root: Path, config: Config, changed: Sequence[str] = (), *, hide: Sequence[str] = ()
) -> Iterator[Running]:
    from bot import git, terminal

    commit = git.head(root)
    with Journal.create(root, os.environ) as journal, interruptible():
        state.log = str(journal.path)
        view = terminal.Terminal(
            terminal.console(sys.stderr, os.environ),
            verbosity=state.verbosity,
            hide=hide,
            in_ci=in_ci(os.environ),
        )
        emit = Fanout(journal, view)
        arguments = shlex.join(["egcfg-fix", command, *config.arguments()])
        journal("run", command=arguments, version=__version__, commit=commit, dirty=list(changed))
        if journal.elsewhere:
            emit("note", text=f"{journal.elsewhere}. The files of this run are in {journal.folder}.")
        if changed:
            emit("note", text=f"Uncommitted changes in {_some(changed)}.")
        yield Running(state.loaded(), journal, view, emit, arguments, commit, changed)


def _some(paths: Sequence[str]) -> str:
    return ", ".join(paths[:5]) + (f" and {len(paths) - 5} more files" if len(paths) > 5 else "")


# What is done with the patches


@dataclass(frozen=True, slots=True)
class Delivery:
    """Where the user wants the repair."""

    apply: bool
    allow_dirty: bool
    branch: str | None
    patch: Path | None

    def check_flags(self) -> None:
        if self.apply and self.branch is not None:
            raise click.UsageError(
                "--apply and --branch exclude each other: one changes the working tree, one spares it."
            )
        if self.allow_dirty and not self.apply:
            raise click.UsageError("--allow-dirty means nothing without --apply.")

    def check(self, root: Path) -> None:
        """Refuse before the search what would fail after it."""
        if self.branch is not None:
            from bot.git import check_branch

            check_branch(root, self.branch)
        if self.patch is not None and not os.access(self.patch.parent, os.W_OK):
            raise click.UsageError(f"--patch {self.patch}: the folder does not exist or may not be written.")


def _patches(pipeline: Pipeline, outcome: Outcome) -> tuple[Patch, ...]:
    return changes(outcome.repairs, pipeline.combined(outcome.repairs))


def _deliver(
    state: State,
    run: Running,
    root: Path,
    config: Config,
    outcome: Outcome,
    patches: Sequence[Patch],
    delivery: Delivery,
    code: int,
) -> tuple[dict[str, str], list[str]]:
    """Write the run's files, then do what the user asked for. Return (what -> where, lines for people)."""
    from bot import git, report

    folder = run.journal.folder
    written = {
        "journal": str(run.journal.path),
        "report": str(folder / "report.md"),
        "result": str(folder / "result.json"),
        "bundle": str(folder / "bundle.json"),
    }
    advice: list[str] = []
    if patches:
        (folder / "fix.patch").write_bytes(patch_file(patches))
        written["patch"] = str(folder / "fix.patch")
    try:
        if patches and delivery.patch is not None:
            delivery.patch.write_bytes(patch_file(patches))
            written["patch"] = str(delivery.patch.resolve())
            advice.append(f"The patch is in {delivery.patch}.")
        if patches and delivery.apply:
            written["applied"] = ", ".join(git.apply(root, patches, allow_dirty=delivery.allow_dirty))
            state.changed = f"the repair was written into {written['applied']}"
            advice.append(f"Written: {written['applied']}.")
        if patches and delivery.branch is not None:
            message = commit_message(outcome, patches)
            written["commit"] = git.create_branch(root, delivery.branch, patches, message)
            written["branch"] = delivery.branch
            state.changed = f"the repair is on branch {delivery.branch}"
            advice.append(f"Committed as {written['commit'][:10]}; to see it: git show {delivery.branch}")
    except RepositoryError as error:
        raise RepositoryError(
            error.message, hint=f"{error.hint} The patch itself is in {folder / 'fix.patch'}."
        ) from error
    finally:
        about = run.about(written)
        (folder / "report.md").write_text(report.markdown(outcome, about), encoding="utf-8")
        (folder / "report.html").write_text(report.html(outcome, about), encoding="utf-8")
        (folder / "result.json").write_text(dumps(repair_document(outcome, about, exit_code=code)) + "\n")
        _bundle(run, root, config, outcome, about)
    if patches and not (delivery.apply or delivery.branch or delivery.patch):
        advice.append(
            f"Nothing in the repository was changed. To take the patch: {_how_to_apply(root, folder / 'fix.patch')}"
        )
    if any("budget is spent" in repair.reason for repair in outcome.repairs if not repair.published):
        advice.append(
            "To search on where this run stopped, add --resume last and a larger budget, such as --budget 20m."
        )
    return written, [*advice, f"Report: {_near(folder / 'report.md')}"]


def _bundle(run: Running, root: Path, config: Config, outcome: Outcome, about: Run) -> None:
    """Write what `publish` takes."""
    from bot import bundle, git

    source = bundle.source_of(os.environ, commit=run.commit, branch=git.branch(root), folder=git.folder(root))
    bundle.write(
        run.journal.folder,
        source,
        outcome.discovery,
        outcome.repairs,
        lambda repairs: changes(repairs, run.pipeline.combined(repairs)),
        whole=not (config.tests or config.junit_xml or config.lf),
        command=run.command,
        environment=outcome.environment,
        log=log(about.records),
    )


def _how_to_apply(root: Path, patch: Path) -> str:
    here = root == Path.cwd()
    return shlex.join(["git", *([] if here else ["-C", str(root)]), "apply", _near(patch) if here else str(patch)])


def _near(path: Path) -> str:
    """Return `path` as seen from the current folder, when it lies in it."""
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)


def _show(
    state: State, document: Callable[[], Mapping[str, Any]], show: Callable[[Any], None], advice: Sequence[str]
) -> None:
    """Write the result to standard output; a reader that has gone away is no failure."""
    from bot import terminal

    try:
        if state.json:
            click.echo(dumps(document()))
        else:
            show(terminal.console(sys.stdout, os.environ))
            for line in advice:
                click.echo(printable(line))
        sys.stdout.flush()
    except (BrokenPipeError, SystemExit):  # rich turns the one into the other
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
