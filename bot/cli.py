"""The `egcfg-fix` command: flags in, files and an exit code out. What it finds and repairs is decided elsewhere.

Commands import what they do their work with, the pipeline imports the model, torch and Docker, so `--help` stays fast.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bot import __version__
from bot.config import Config, Publishing, declarations
from bot.errors import EXIT_ENVIRONMENT, EXIT_NOT_REPAIRED, EXIT_OK, ConfigError, RepositoryError
from bot.interruption import interruptible
from bot.invocation import Invocation, Pipeline, failed, show
from bot.journal import FILE, find_run, read
from bot.json_documents import dumps, find_document, repair_document
from bot.markup import printable
from bot.patch_file import changes
from bot.precedence import load, load_publishing
from bot.records import Discovery

if TYPE_CHECKING:
    from bot.recorded import Earlier

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


def main(arguments: Sequence[str] | None = None, *, pipeline: Pipeline | None = None) -> int:
    """Run the command and return its exit code. `pipeline` stands in for `bot.pipeline`."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    call = Invocation(pipeline, json="--json" in given)
    for stream in (sys.stdout, sys.stderr):
        if reconfigure := getattr(stream, "reconfigure", None):
            reconfigure(errors="backslashreplace")
    try:
        code = program.main(given, prog_name="egcfg-fix", standalone_mode=False, obj=call)
    except (KeyboardInterrupt, Exception) as error:
        return failed(call, error)
    return code if isinstance(code, int) else EXIT_OK


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
    call: Invocation,
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
    from bot.delivery import Delivery, deliver
    from bot.git import is_dirty
    from bot.running import running

    delivery = Delivery(apply, allow_dirty, branch, patch)
    delivery.check_flags()
    call.verbosity = -1 if quiet else verbose
    root, config = _configured(path, flags)
    delivery.check(root)
    known = _earlier(root, resume) if resume else None
    with running(call, "repair", root, config, is_dirty(root) if apply else ()) as run:
        with run.terminal, contextlib.redirect_stdout(sys.stderr):
            outcome = run.pipeline.repair(root, config, run.emit, earlier=known)
            patches = changes(outcome.repairs, run.pipeline.combined(outcome.repairs))
        _tests_exist(outcome.discovery)
        code = EXIT_OK if outcome.all_repaired else EXIT_NOT_REPAIRED
        written, advice = deliver(call, run, delivery, outcome, patches, exit_code=code)
        show(
            call,
            lambda: repair_document(outcome, run.about(written), exit_code=code),
            lambda out: run.terminal.outcome(out, outcome, patches),
            advice,
        )
    return code


@program.command(epilog=EPILOG)
@_output
@_settings(*FIND)
@click.pass_obj
def find(call: Invocation, /, path: Path, *, quiet: bool, verbose: int, **flags: Any) -> int:
    """Show the failing tests in PATH (default: the current folder) and the functions to blame; repair nothing.

    No model is loaded. Exits with 1 when a test fails.
    """
    from bot.running import running

    call.verbosity = -1 if quiet else verbose
    root, config = _configured(path, flags)
    with running(call, "find", root, config, hide=("failure", "ranking")) as run:
        with run.terminal, contextlib.redirect_stdout(sys.stderr):
            discovery, groups = run.pipeline.find(root, config, run.emit)
        _tests_exist(discovery)
        code = EXIT_NOT_REPAIRED if discovery.failures else EXIT_OK
        show(
            call,
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
def publish(call: Invocation, /, run: Path, *, quiet: bool, dry_run: bool, **flags: Any) -> int:
    """Open or update the pull requests for RUN, the folder that `egcfg-fix repair` wrote.

    Needs no checkout. Every patch is checked again: it may replace bodies of functions and nothing else. The token is
    read from GH_TOKEN or GITHUB_TOKEN. Run it again with the same folder after a failure: it goes on where it stopped.
    """
    from bot import publishing

    call.verbosity = -1 if quiet else 0
    token = publishing.take_token(os.environ)
    settings = load_publishing(flags, os.environ)
    if settings.mode == "push" and not settings.base:
        raise ConfigError("--mode push needs --base.", hint="A bundle does not decide to which branch is pushed.")

    def tell(text: str) -> None:
        if not quiet:
            click.echo(printable(text), err=True)

    outcome = publishing.run(run, settings, token, tell, dry_run=dry_run)
    if call.json:
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
def environment(call: Invocation, /, path: Path, *, quiet: bool, verbose: int, no_build: bool, **flags: Any) -> int:
    """Show what the tests in PATH (default: the current folder) need, from which files, and build the image for it.

    With --runner local: which interpreter is used and what it lacks. No test is run.
    """
    from bot import environment as work

    call.verbosity = -1 if quiet else verbose
    root, config = _configured(path, flags)
    plan = work.plan(root, config)
    if not call.json and not quiet:
        click.echo("\n".join(map(printable, work.plan_lines(plan, everything=verbose > 0))))

    def tell(text: str) -> None:
        if not quiet:
            click.echo(printable(text), err=True)

    with interruptible():
        found = None if no_build else work.provide(root, config, plan, tell)
    show(
        call,
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


def _tests_exist(discovery: Discovery) -> None:
    if not discovery.collected and not discovery.failures:
        raise RepositoryError(
            "No tests were collected.", hint="Name some with --tests, or check testpaths in pytest's configuration."
        )
