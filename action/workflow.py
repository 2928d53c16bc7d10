"""GitHub Actions: the entry point of action.yml, for each of its commands.

repair: asks the gate what the event is about, checks the machine, repairs, and writes report, patch and bundle; has no
token. gate: only asks the gate, with a token that can read, and hands the answer to another job. publish: opens pull
requests for a bundle; has the token, and runs nothing of the repository.

A composite action gets no INPUT_ variables of its own accord; action.yml maps them one by one.
"""

from __future__ import annotations

import os
import shlex
import signal
import sys
from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TextIO, cast

from action import events, preflight
from action.annotations import Annotation, annotated, append, command, failed, group, output, result_outputs, summary
from action.events import Skip, Surroundings
from action.inputs import (
    COMMANDS,
    FAIL_ON,
    MODES,
    PUBLISHING_MODES,
    choice,
    flags,
    given,
    switch,
    working_directory,
)
from action.subject import Subject, from_text, parse, to_text
from bot import __version__, bundle, config, git, journal, precedence, report, terminal
from bot.errors import (
    EXIT_INTERRUPTED,
    EXIT_NOT_REPAIRED,
    EXIT_OK,
    ConfigError,
    EgcfgError,
    EventError,
    RepositoryError,
    exit_code_of,
)
from bot.markup import words
from bot.patch_file import changes
from bot.pipeline import Outcome, combined, repair
from bot.records import Emit
from bot.run_files import write_bundle, write_patch, write_report
from runners.runner import RunnerError

Repairing = Callable[[Path, config.Config, Emit], Outcome]
Checking = Callable[[config.Config, Mapping[str, str]], preflight.Machine]


@dataclass(frozen=True, slots=True)
class Job:
    """One call of the action: what it reads and where it writes."""

    environment: MutableMapping[str, str]
    stream: TextIO
    repair: Repairing
    check: Checking
    ask: events.Ask | None = None

    def say(self, annotation: Annotation) -> None:
        print(command(annotation), file=self.stream, flush=True)

    def put(self, outputs: Mapping[str, str]) -> None:
        append(self.environment, "GITHUB_OUTPUT", "".join(f"{output(name, text)}\n" for name, text in outputs.items()))


def main(
    environment: MutableMapping[str, str] | None = None,
    stream: TextIO | None = None,
    *,
    repair: Repairing = repair,
    check: Checking = preflight.check,
    ask: events.Ask | None = None,
) -> int:
    """Do what the environment asks for; return the step's exit status. `repair` is the pipeline's."""
    job = Job(os.environ if environment is None else environment, stream or sys.stdout, repair, check, ask)
    try:
        fail_on = choice(job.environment, "fail-on", FAIL_ON)
        called = choice(job.environment, "command", COMMANDS)
    except ConfigError as error:
        job.say(failed(error))
        return error.exit_code
    try:
        status = {"repair": run, "gate": gate, "publish": _publish}[called](job)
    except Skip as skip:
        _skipped(job, skip)
        return EXIT_OK
    except KeyboardInterrupt:
        job.say(Annotation("warning", "egcfg-fix", "Interrupted. The journal tells how far it got."))
        return EXIT_INTERRUPTED
    except (EgcfgError, RunnerError) as error:
        job.say(failed(error))
        append(job.environment, "GITHUB_STEP_SUMMARY", f"### egcfg-fix did not run\n\n{words(error.message)}\n")
        return EXIT_OK if fail_on == "none" else exit_code_of(error)
    return status if fail_on == "unfixed" or called == "publish" else EXIT_OK


def _skipped(job: Job, skip: Skip) -> None:
    """Say why nothing is done. That is no failure: a check turns red for what its author can mend."""
    text = " ".join(part for part in (skip.reason, skip.hint) if part)
    job.say(Annotation("warning" if skip.hint else "notice", "egcfg-fix does nothing here", text))
    job.put({"skipped": skip.reason})
    append(job.environment, "GITHUB_STEP_SUMMARY", f"### egcfg-fix did nothing\n\n{words(text)}\n")


# gate: what is this event about?


def gate(job: Job) -> int:
    """Put out the subject of the event, for the jobs that need it."""
    found = _subject(job, job.ask or _api(job))
    text = f"Pull request {found.pull_request}" if found.pull_request else f"Branch {found.branch}"
    job.say(Annotation("notice", "egcfg-fix", f"{text} at {found.commit}."))
    job.put({"skipped": "", "subject": to_text(found), "commit": found.commit})
    return EXIT_OK


def _subject(job: Job, ask: events.Ask | None) -> Subject:
    """Return what this job is about: what the gate of another job has found, or what the event itself tells."""
    around = Surroundings.read(job.environment)
    if text := given(job.environment, "subject"):
        return from_text(text, around.repository)
    path = job.environment.get("GITHUB_EVENT_PATH", "")
    try:
        payload = parse(Path(path).read_bytes() if path else b"")
    except OSError as error:
        raise EventError(f"The event's payload cannot be read: {error.strerror}.", hint=f"It is {path}.") from None
    prefix = given(job.environment, "branch-prefix") or config.Publishing().branch_prefix
    return events.subject(
        around, payload, ask=ask, allow_forks=switch(job.environment, "allow-forks"), prefix=f"{prefix.rstrip('/')}/"
    )


def _api(job: Job) -> events.Ask | None:
    from action.publishing import Api, take_token

    token = take_token(job.environment, job.stream)
    return Api(token, job.environment) if token else None


# publish


def _publish(job: Job) -> int:
    from action.publishing import publish

    return publish(job.environment, job.stream, job.say, job.put, _subject(job, None))


# repair


def run(job: Job) -> int:
    """Repair, and write what came of it; return 0 when nothing fails any more, else 1."""
    environment = job.environment
    mode = choice(environment, "mode", MODES)
    workspace = Path(environment.get("GITHUB_WORKSPACE") or ".").resolve()
    root = working_directory(environment, workspace)
    found = _checked_out(job, _subject(job, None), root)
    for place in events.check_tokens(found, environment, git.local_settings(root)):
        if mode not in PUBLISHING_MODES:
            job.say(Annotation("warning", "A token is in reach", f"This job has {place}, and needs none."))
    if mode in PUBLISHING_MODES and found.untrusted:
        raise EventError(
            f"mode: {mode} publishes from the job that runs the code, and this code comes from a pull request.",
            hint=f"{events.TWO_JOBS}.",
        )
    settings = precedence.load(root, flags(environment) | _changed_since(root, found), environment)
    machine = job.check(settings, environment)
    for one in machine.said:
        job.say(one)
    return _repair(job, mode, machine, _Place(root, workspace, found))


def _changed_since(root: Path, found: Subject) -> dict[str, str]:
    """Return the setting by which what a pull request changed is blamed first, if the checkout has its base."""
    base = f"origin/{found.base}"
    return {"base": base} if found.base and git.shares_history(root, base) else {}


@dataclass(frozen=True, slots=True)
class _Place:
    """What is repaired, and where it lies."""

    root: Path
    workspace: Path
    found: Subject

    @property
    def prefix(self) -> str:
        relative = self.root.relative_to(self.workspace).as_posix()
        return "" if relative == "." else f"{relative}/"


def _repair(job: Job, mode: str, machine: preflight.Machine, place: _Place) -> int:
    settings = machine.config
    command_line = shlex.join(["egcfg-fix", "repair", *settings.arguments()])
    commit = place.found.commit
    with journal.Journal.create(place.root, job.environment) as records:
        records("run", command=command_line, version=__version__, commit=commit)
        with (
            group(job.stream, "egcfg-fix repair"),
            terminal.Terminal(terminal.console(job.stream, job.environment), in_ci=True) as shown,
        ):
            outcome = job.repair(place.root, settings, journal.Fanout(records, shown))
    if not outcome.discovery.collected and not outcome.discovery.failures:
        raise RepositoryError(
            "No tests were collected.", hint="Name some in `tests`, or check testpaths in pytest's configuration."
        )
    code = EXIT_OK if outcome.all_repaired else EXIT_NOT_REPAIRED
    folder = records.folder
    about = report.Run(str(folder), command_line, commit, records=journal.read(records.path))
    patches = changes(outcome.repairs, combined(outcome.repairs))
    if patches and mode != "report":
        about = replace(about, written={"patch": write_patch(folder, patches)})
    write_report(folder, outcome, about, exit_code=code)
    if mode != "report":
        source = _source(job, place)
        write_bundle(folder, source, outcome, about, combined, whole=settings.whole_suite)
    for annotation in annotated(outcome, place.prefix):
        job.say(annotation)
    append(job.environment, "GITHUB_STEP_SUMMARY", summary(outcome, about))
    job.put(
        {
            **result_outputs(outcome, folder, gpu=machine.gpu is not None),
            "publish": "true" if mode in PUBLISHING_MODES else "",
            "commit": commit,
            "subject": to_text(place.found),
        }
    )
    return code


def _source(job: Job, place: _Place) -> bundle.Source:
    """Return what is repaired, as the event tells it."""
    found, inside = place.found, git.folder(place.root)
    source = bundle.source_of(job.environment, commit=found.commit, branch=found.branch, folder=inside)
    return replace(source, repository=found.repository, pull_request=found.pull_request)


def _checked_out(job: Job, found: Subject, root: Path) -> Subject:
    """Return `found` once the checkout is seen to be of it; a schedule may have checked out another branch."""
    head = git.head(root)
    if not head:
        git.is_repository(root)  # says so when git refuses a folder of another user, as in a job's container
        raise RepositoryError("There is no git checkout here.", hint="Run actions/checkout before this step.")
    if head == found.commit:
        if found.pull_request:
            events.check_message(git.message(root))
        return found
    chosen = given(job.environment, "base") or git.branch(root)
    if found.event in events.CHOSEN_BRANCH and chosen:
        return replace(found, commit=head, branch=chosen)
    wanted = events.REFS.get(found.event, "the output `commit` of the gate")
    raise EventError(
        f"The checkout is of {head[:12]}, but {found.event} is about {found.commit[:12]}.",
        hint=f"Give actions/checkout `ref: {wanted}`.",
    )


def prepare(environment: MutableMapping[str, str]) -> None:
    """Set, before anything is imported that reads them, where models are kept and how GPUs are numbered."""
    environment.update(preflight.cache_variables(environment))
    environment.setdefault("CUDA_DEVICE_ORDER", "PCI_BUS_ID")  # as nvidia-smi has it
    environment.setdefault("TOKENIZERS_PARALLELISM", "false")


def _interrupt(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _interrupt)  # a cancelled job: containers are removed, the journal is ended
    prepare(os.environ)
    cast(TextIO, sys.stdout).reconfigure(encoding="utf-8", errors="replace")  # type: ignore[attr-defined]
    sys.exit(main())
