"""A runner for the tests: it runs a composite action step by step, as GitHub's runner does.

Expressions are evaluated by GitHub's own evaluator (evaluate.cjs of .ci/counterparts); shells, files of outputs and the
environment are real. Steps get no INPUT_ variables and no token of their own accord. Not done: `uses`, `pre`, `post`.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
FILES = ("GITHUB_OUTPUT", "GITHUB_ENV", "GITHUB_PATH", "GITHUB_STATE", "GITHUB_STEP_SUMMARY")
STEP_TIMEOUT_S = 900
# The interpreter that set-up would have made: this one, with this checkout's packages, isolated all the same.
PYTHON = f"""#!/bin/sh
[ "$1 $2" = "-I -m" ] || exit 9
exec {sys.executable} -I -c 'import runpy, sys
sys.path.insert(0, "{ROOT}")
sys.argv = sys.argv[1:]
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)' "$3"
"""
SETUP = """#!/bin/sh
mkdir -p "$1/bin" && cp "$(dirname "$0")/python" "$1/bin/python" && echo "$@" >> "$(dirname "$0")/calls"
"""


class Evaluator:
    """GitHub's expression evaluator, one process for many expressions."""

    def __init__(self, counterparts: Path) -> None:
        command = [counterparts / "bin/node", counterparts / "evaluate.cjs"]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def __call__(self, **request: Any) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        if "error" in answer:
            raise ValueError(answer["error"])
        return answer["value"]

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(60)
        self._process.stdout.close()


@dataclass
class Step:
    """What became of one step."""

    outcome: str = "skipped"
    outputs: dict[str, str] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    log: str = ""
    summary: str = ""


@dataclass
class Ran:
    """What became of the action."""

    outputs: dict[str, str]
    steps: dict[str, Step]

    @property
    def succeeded(self) -> bool:
        return all(step.outcome != "failure" for step in self.steps.values())

    @property
    def log(self) -> str:
        return "".join(step.log for step in self.steps.values())


class ActionsRunner:
    """One self-hosted runner with one repository in its workspace."""

    def __init__(self, folder: Path, evaluate: Evaluator, repository: str = "octo-org/octo-repo") -> None:
        self.folder, self._evaluate, self.repository = folder, evaluate, repository
        self.workspace, self.temp, self.tools = folder / "work space", folder / "temp", folder / "tools"
        self.action = folder / "_actions" / "egcfg-fix"
        for path in (self.workspace, self.temp, self.tools, self.action / ".ci"):
            path.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / "action.yml", self.action)
        for name, text in (("setup", SETUP), ("python", PYTHON)):
            (self.action / ".ci" / name).write_text(text)
            (self.action / ".ci" / name).chmod(0o755)

    def run(
        self,
        event: str,
        payload: Mapping[str, Any],
        inputs: Mapping[str, str] | None = None,
        *,
        token: str = "",
        environment: Mapping[str, str] | None = None,
        github: Mapping[str, str] | None = None,
    ) -> Ran:
        """Run the action for an event. environment: of the job. github: more of the context, such as `sha`."""
        action = yaml.safe_load((self.action / "action.yml").read_text(encoding="utf-8"))
        event_path = self.folder / "event.json"
        event_path.write_text(json.dumps(payload), encoding="utf-8")
        context = {
            "event_name": event,
            "event_path": str(event_path),
            "repository": self.repository,
            "workspace": str(self.workspace),
            "action_path": str(self.action),
            "ref": "refs/heads/main",
            "sha": "0" * 40,
            "workflow_ref": f"{self.repository}/.github/workflows/egcfg-fix.yml@refs/heads/main",
            "run_id": "1",
            **(github or {}),
        }
        variables = self._variables(context) | dict(environment or {})
        unknown = set(inputs or {}) - set(action["inputs"])
        assert not unknown, unknown
        known = {"github": {**context, "token": token, "event": payload}, "env": variables}
        given = {
            name: (inputs or {}).get(name, self._evaluate(text=str(one.get("default", "")), contexts=known, status=""))
            for name, one in action["inputs"].items()
        }
        return self._steps(action, known | {"inputs": given}, variables)

    def _variables(self, context: Mapping[str, str]) -> dict[str, str]:
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "EGCFG_BASE_IMAGE") if name in os.environ}
        return {
            **kept,
            **{f"GITHUB_{name.upper()}": str(value) for name, value in context.items()},
            "GITHUB_SERVER_URL": "https://github.com",
            "GITHUB_API_URL": "https://api.github.com",
            "CI": "true",
            "GITHUB_ACTIONS": "true",
            "RUNNER_TEMP": str(self.temp),
            "RUNNER_TOOL_CACHE": str(self.tools),
            "RUNNER_OS": "Linux",
        }

    def _steps(self, action: Mapping[str, Any], known: dict[str, Any], variables: dict[str, str]) -> Ran:
        done: dict[str, Step] = {}
        status = "success"
        for item in action["runs"]["steps"]:
            told = {
                name: {"outputs": step.outputs, "outcome": step.outcome, "conclusion": step.outcome}
                for name, step in done.items()
            }
            contexts = known | {"steps": told}
            step = done[item["id"]] = Step()
            if not self._evaluate(condition=str(item.get("if", "")), contexts=contexts, status=status):
                continue
            own = {
                name: self._evaluate(text=str(text), contexts=contexts, status=status)
                for name, text in item.get("env", {}).items()
            }
            self._step(step, self._evaluate(text=item["run"], contexts=contexts, status=status), variables | own)
            status = "failure" if step.outcome == "failure" else status
        told = {name: {"outputs": step.outputs} for name, step in done.items()}
        outputs = {
            name: self._evaluate(text=one["value"], contexts=known | {"steps": told}, status=status)
            for name, one in action["outputs"].items()
        }
        return Ran(outputs, done)

    def _step(self, step: Step, script: str, environment: dict[str, str]) -> None:
        files = {name: self.temp / f"{name}-{len(list(self.temp.iterdir()))}" for name in FILES}
        for path in files.values():
            path.touch()
        program = self.temp / "script.sh"
        program.write_text(script, encoding="utf-8")
        step.environment = environment | {name: str(path) for name, path in files.items()}
        ran = subprocess.run(
            ["bash", "--noprofile", "--norc", "-e", "-o", "pipefail", program],
            cwd=self.workspace,
            env=step.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=STEP_TIMEOUT_S,
            check=False,
        )
        step.log = ran.stdout.decode("utf-8", "replace")
        step.summary = files["GITHUB_STEP_SUMMARY"].read_text(encoding="utf-8")
        step.outputs = parsed(files["GITHUB_OUTPUT"].read_text(encoding="utf-8"))
        step.outcome = "success" if ran.returncode == 0 else "failure"


def parsed(text: str) -> dict[str, str]:
    """Return what a file of outputs sets. Raises ValueError where the runner would fail the step."""
    found: dict[str, str] = {}
    lines = iter(text.splitlines())
    for line in lines:
        plain, here = line.find("="), line.find("<<")
        if here >= 0 and (plain < 0 or here < plain):
            name, _, end = line.partition("<<")
            value = []
            for inner in lines:
                if inner == end:
                    break
                value.append(inner)
            else:
                raise ValueError(f"{name}: its delimiter never comes")
            found[name] = "\n".join(value)
        elif plain > 0:
            found[line[:plain]] = line[plain + 1 :]
        elif line:
            raise ValueError(f"not an output: {line!r}")
    return found


def commands(log: str) -> list[str]:
    """Return the lines of a log that the runner takes for commands: none of those behind a fence."""
    found, fence = [], ""
    for line in log.splitlines():
        if fence:
            fence = "" if line == f"::{fence}::" else fence
        elif line.startswith("::stop-commands::"):
            fence = line.removeprefix("::stop-commands::")
        elif line.startswith("::"):
            found.append(line)
    return found
