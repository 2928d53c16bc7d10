"""git, started in a cleaned environment.

The repository is hostile: its .git/config may name programs (hooks, fsmonitor, filters, pagers, credential helpers).
None of them is ever run here: git starts with an emptied environment and with every such setting overridden.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from bot.errors import EgcfgError, RepositoryError

NAME = "egcfg-fix"
EMAIL = "egcfg-fix@users.noreply.github.com"
KEPT = ("PATH", "HOME", "XDG_CONFIG_HOME", "TMPDIR")  # variables of ours that git sees
VARIABLES = {
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_ATTR_NOSYSTEM": "1",
    "GIT_OPTIONAL_LOCKS": "0",  # `status` never rewrites the user's index
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_NO_REPLACE_OBJECTS": "1",
    "GIT_ALLOW_PROTOCOL": "none",
    "GIT_ASKPASS": "/bin/false",
    "GIT_SSH_COMMAND": "/bin/false",
    "GIT_EDITOR": "/bin/false",
    "GIT_PAGER": "cat",
    "GIT_LITERAL_PATHSPECS": "1",
    "LC_ALL": "C",
}
SETTINGS = {
    "core.hooksPath": "/dev/null",
    "core.fsmonitor": "false",
    "core.pager": "cat",
    "core.askPass": "/bin/false",
    "core.sshCommand": "/bin/false",
    "core.quotePath": "false",
    "core.splitIndex": "false",
    "core.untrackedCache": "false",
    "diff.external": "",
    "diff.ignoreSubmodules": "all",
    "status.submoduleSummary": "false",
    "credential.helper": "",
    "commit.gpgSign": "false",
    "gc.auto": "0",
    "maintenance.auto": "false",
}


class GitMissing(EgcfgError):
    """No usable git program."""


def run_git(root: Path, *arguments: str, extra: dict[str, str] | None = None) -> bytes:
    """Run git at `root` and return what it printed. Raises RepositoryError with git's own words."""
    settings = {**SETTINGS, **(_filters(root) if arguments[0] in ("status", "diff") else {})}
    return _run(root, list(arguments), settings, extra or {})


def _run(root: Path, arguments: list[str], settings: Mapping[str, str], extra: Mapping[str, str]) -> bytes:
    status, out, said = execute(root, arguments, settings, extra)
    if status != 0:
        raise _refusal(root, arguments, said)
    return out


def execute(
    root: Path,
    arguments: Sequence[str],
    settings: Mapping[str, str],
    extra: Mapping[str, str],
    *,
    inherited: Collection[str] = (),
    descriptors: Sequence[int] = (),
) -> tuple[int, bytes, str]:
    """Run git at `root`; return its exit status, what it printed and what it said. Raises GitMissing.

    settings: configuration that wins over every file's. extra: variables. inherited: names of variables of ours that
    git gets too, without their values standing in a command line. descriptors: files of ours that it can read.
    """
    os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")  # a missing git is reported below, not by an import
    import git

    kept = {*KEPT, *inherited}
    variables = {**VARIABLES, **extra, "GIT_CONFIG_COUNT": str(len(settings))}
    for number, (key, value) in enumerate(settings.items()):
        variables |= {f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": value}
    assigned = [f"{name}={value}" for name, value in variables.items()]
    if inherited:
        cleaned = [part for name in os.environ if name not in kept for part in ("-u", name)]
    else:
        cleaned = ["-i", *(f"{name}={os.environ[name]}" for name in KEPT if name in os.environ)]
    try:
        status, out, err = git.Git(str(root)).execute(
            ["env", *cleaned, *assigned, "git", "-C", str(root), *arguments],
            with_extended_output=True,
            with_exceptions=False,
            stdout_as_string=False,
            strip_newline_in_stdout=False,
            pass_fds=tuple(descriptors),
        )
    except git.GitCommandNotFound:  # not even `env`
        status, out, err = 127, b"", ""
    if status == 127:
        raise GitMissing("git was not found.", hint="Install git, or check PATH.")
    assert isinstance(out, bytes)
    return status, out, err.decode("utf-8", "replace") if isinstance(err, bytes) else str(err)


def _filters(root: Path) -> dict[str, str]:
    """Return settings that switch every configured content filter and diff program off."""
    names = _run(root, ["config", "--null", "--name-only", "--list"], SETTINGS, {}).split(b"\0")
    off: dict[str, str] = {}
    for raw in names:
        key = os.fsdecode(raw)
        section, _, variable = key.rpartition(".")
        if section.startswith("filter.") and variable in ("clean", "smudge", "process"):
            off[key] = ""
        elif section.startswith("filter.") and variable == "required":
            off[key] = "false"
        elif section.startswith("diff.") and variable in ("textconv", "command"):
            off[key] = ""
    return off


def _refusal(root: Path, arguments: list[str], said: str) -> RepositoryError:
    first = next((line for line in said.splitlines() if line.strip()), "no reason given")
    hint = ""
    if "dubious ownership" in said:
        hint = f"The folder belongs to another user. If you trust it: git config --global --add safe.directory {root}"
    return RepositoryError(f"git {arguments[0]} failed in {root}: {first}", hint=hint)
