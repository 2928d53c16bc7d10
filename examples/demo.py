"""Repair a bundled example with the embedded model and show what happened: `make demo`, `make demo EXAMPLE=ledger`.

Works on a copy under build/demo, made into a git repository of its own, so that the checkout stays as it is and the
report of the run can be read afterwards. The sandbox is Docker where an engine answers, else bubblewrap, else none at
all: the examples are this project's own code, so running them unconfined is acceptable here, and it is said. In CI
nothing is tried after Docker. Only the command line is used, as a person would use it.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

EXAMPLES = Path(__file__).resolve().parent
PLACE = EXAMPLES.parent / "build" / "demo"
ENVIRONMENT_MISSING = 3  # the exit status for "no engine, no sandbox"
COMMAND = Path(sys.executable).with_name("egcfg-fix")  # the one of this environment
RUNNERS = {
    "docker": ("Docker", ["--runner", "docker"]),
    "local": ("bubblewrap", ["--runner", "local"]),
    "unsafe": ("none", ["--runner", "local", "--unsafe-local"]),
}
STALE = "stale_"  # examples in which the code is right and a test is not
UNSAFE = """\
Neither Docker nor bubblewrap works here. The example is this project's own code, so this once it runs unconfined.
Never do that with code you do not trust: install Docker or bubblewrap."""


def main(arguments: Sequence[str] | None = None) -> int:
    names = sorted(path.parent.name for path in EXAMPLES.glob("*/pyproject.toml"))
    parser = argparse.ArgumentParser(description="Repair a bundled example with the embedded model.")
    parser.add_argument("example", nargs="?", default="orders", choices=names)
    parser.add_argument("--runner", choices=("docker", "local"), help="use this sandbox only")
    chosen = parser.parse_args(arguments)
    repository = copy_of(chosen.example)
    for runner in runners(chosen.runner):
        name, flags = RUNNERS[runner]
        say(f"Repairing examples/{chosen.example} in {repository}, sandbox: {name}")
        if runner == "unsafe":
            print(UNSAFE)
        stale = ["--repair", "tests"] if chosen.example.startswith(STALE) else []
        status = egcfg("repair", str(repository), *flags, *stale, "--apply")
        if status != ENVIRONMENT_MISSING:
            return finish(repository, status, flags)
    return ENVIRONMENT_MISSING


def copy_of(example: str, place: Path = PLACE) -> Path:
    """Return a fresh copy of `example` in `place`, as a git repository with one commit."""
    try:
        place.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(place / example, ignore_errors=True)
    except OSError:  # a read-only checkout
        place = Path(tempfile.mkdtemp(prefix="egcfg-fix-demo-"))
    repository = place / example
    shutil.copytree(EXAMPLES / example, repository, ignore=shutil.ignore_patterns("__pycache__", ".*"))
    (repository / ".gitignore").write_text(".egcfg-fix/\n__pycache__/\n.pytest_cache/\n", encoding="utf-8")
    git(repository, "init", "--quiet", "--initial-branch=main")
    git(repository, "add", "--all")
    git(repository, "commit", "--quiet", "--no-verify", "--message=As shipped")
    return repository


def runners(only: str | None) -> list[str]:
    if only:
        return [only]
    if os.environ.get("CI"):
        return ["docker"]
    return ["docker", "local", "unsafe"] if engine_answers() else ["local", "unsafe"]


def engine_answers() -> bool:
    try:
        import docker

        docker.from_env(timeout=5).ping()
    except Exception:
        return False
    return True


def finish(repository: Path, status: int, flags: Sequence[str]) -> int:
    """Show the change and run the whole suite once more, in the same sandbox: the new code is a machine's."""
    reports = list(repository.glob(".egcfg-fix/runs/*/report.md"))
    if status == 0:
        say("What changed in the working tree:")
        print(git(repository, "diff", "--stat"), flush=True)
        say("The example's tests, once more:")
        status = egcfg("find", str(repository), *flags)
    else:
        say(f"Not everything was repaired (exit status {status}).")
    for report in reports:
        say(f"The report of the repair: {report}")
    return status


def egcfg(*arguments: str) -> int:
    print("$ egcfg-fix", *arguments, flush=True)
    return subprocess.run([COMMAND, *arguments], check=False).returncode


def git(repository: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=demo", "-c", "user.email=demo@localhost", "-c", "core.hooksPath=/dev/null"]
    command = ["git", "-C", str(repository), *identity, "-c", "commit.gpgSign=false", *arguments]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def say(line: str) -> None:
    print(f"\n{line}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
