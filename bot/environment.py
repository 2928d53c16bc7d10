"""What `egcfg-fix env` shows: what the tests need, from which files, and whether the sandbox has it.

Reading and building is the work of `runners.environment`; here it becomes lines for people and one document.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bot.config import Config
from runners.environment import interpreter
from runners.environment.plan import Plan, make_plan, workspace_top
from runners.environment.wanted import Wanted
from runners.interpreter import find_interpreter
from runners.runner import InterpreterMissing, Limits, RunnerError

SCHEMA = 1
SHOWN = 12  # requirements shown without -v


@dataclass(frozen=True, slots=True)
class Provided:
    """The environment there is now: an image, or an interpreter of this machine."""

    runner: str  # "docker" or "local"
    where: str  # the image's name, or the interpreter's path
    python: str
    installed: dict[str, str] = field(default_factory=dict)
    missing: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    built: bool = False
    seconds: float = 0.0
    log: str = ""
    advice: tuple[str, ...] = ()

    @property
    def usable(self) -> bool:
        """True when the tests can be run in it."""
        return not self.advice


def wanted(root: Path, config: Config) -> Wanted:
    """Return what the user wants of the environment for the project at `root`."""
    depth = len(Path(config.project).parts)
    return Wanted(
        image=config.image,
        dockerfile=config.dockerfile,
        setup_command=config.setup_command,
        top=root.parents[depth - 1] if depth else None,
        timeout_s=config.build_timeout,
    )


def plan(root: Path, config: Config) -> Plan:
    """Return what the project at `root` needs."""
    top = wanted(root, config).top
    return make_plan(root, top or workspace_top(root))


def provide(root: Path, config: Config, plan: Plan, tell: Callable[[str], None]) -> Provided:
    """Build or find the image, or look at the interpreter; `tell` is told what takes long.

    Raises a RunnerError when there is no environment, with the likely cause and what to set.
    """
    if config.runner == "local":
        return _interpreter(root, config, plan)
    from runners.docker import DockerRunner

    try:
        with DockerRunner(root, Limits(), wanted=wanted(root, config), progress=tell) as runner:
            image = runner.environment
    except RunnerError as error:
        if config.runner == "docker" or not _without_engine(error):
            raise
        tell(f"{error.message} What follows is about --runner local.")
        return _interpreter(root, config, plan)
    return Provided(
        "docker",
        image.tag,
        image.python,
        dict(image.installed),
        notes=tuple(note for note in image.notes if note not in plan.notes),
        built=image.built,
        seconds=image.seconds,
        log=image.log,
    )


def _without_engine(error: RunnerError) -> bool:
    from runners.runner import EnvironmentFailed

    return not isinstance(error, EnvironmentFailed)


def _interpreter(root: Path, config: Config, plan: Plan) -> Provided:
    try:
        chosen = find_interpreter(root, config.python or None)
        found = interpreter.look(chosen.path)
    except InterpreterMissing as error:
        raise InterpreterMissing(error.message, hint=f"{error.hint} {interpreter.recipe(plan)}".strip()) from error
    advice = interpreter.advice(plan, found)
    lacking = interpreter.missing(plan, found.installed)
    return Provided("local", found.path, found.version, dict(found.installed), lacking, advice=advice)


def plan_lines(plan: Plan, *, everything: bool = False) -> list[str]:
    """Return what was found, for people."""
    kind = f"a package, {plan.layout} layout, installed in place" if plan.editable else "no package"
    wants = ", ".join(plan.python) or "any Python"
    preferred = f", prefers {plan.preferred}" if plan.preferred else ""
    lines = [f"Project   {plan.project}: {kind}", f"Python    {wants}{preferred}"]
    width = max((len(name) for name in plan.said), default=0)
    for number, (name, said) in enumerate(plan.said.items()):
        lines.append(f"{'Read' if number == 0 else '':<10}{name:<{width}}  {said}")
    if not plan.said:
        lines.append("Read      no dependency file")
    needs = {need.line: need.origin for need in plan.needs}
    shown = list(needs.items()) if everything else list(needs.items())[:SHOWN]
    width = max(len(line) for line, _ in shown)
    for number, (line, origin) in enumerate(shown):
        lines.append(f"{'Needed' if number == 0 else '':<10}{line:<{min(width, 50)}}  {origin}")
    if len(needs) > len(shown):
        lines.append(f"{'':<10}and {len(needs) - len(shown)} more (-v shows them)")
    lines += [f"Pinned    {len(plan.pins)} versions by {plan.pinned_by or 'constraints'}"] if plan.pins else []
    lines += [f"Build     {', '.join(plan.build)}"] if plan.build else []
    lines += [f"Also      {folder}" for folder in plan.siblings]
    return lines + [f"Note      {note}" for note in plan.notes]


def result_lines(found: Provided | None) -> list[str]:
    """Return what came of it, for people."""
    if found is None:
        return []
    if found.runner == "local":
        lines = [f"Runs with {found.where}, Python {found.python}"]
        lines += [f"Missing   {line}" for line in found.missing]
        return lines + ([f"To do     {line}" for line in found.advice] or ["Nothing is missing."])
    took = f"built in {found.seconds:.0f} s" if found.built else "found, nothing had to be built"
    python = f"Python {found.python}, " if found.python else ""
    lines = [f"Note      {note}" for note in found.notes]
    lines.append(f"Image     {found.where} ({python}{len(found.installed)} distributions, {took})")
    return lines + ([f"Log       {found.log}"] if found.log else [])


def document(plan: Plan, found: Provided | None) -> dict[str, Any]:
    """Return plan and environment as one document."""
    environment = None
    if found is not None:
        environment = {name: getattr(found, name) for name in Provided.__dataclass_fields__} | {"usable": found.usable}
    return {"schema": SCHEMA, "plan": plan.document(), "environment": environment, "cwd": os.getcwd()}
