"""action.yml and every workflow, held against GitHub's schemas, GitHub's language service, actionlint and zizmor.

A finding is either gone or explained here, in `EXPLAINED`, or, for zizmor, on its own line of the file.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
WORKFLOWS = sorted([*ROOT.glob(".github/workflows/*.yml"), *ROOT.glob("examples/workflows/*.yml")])
BIN = Path(sys.executable).parent
EXPLAINED = {
    "actionlint runner-label": "labels of self-hosted runners are free; actionlint without a configuration file "
    "knows GitHub's own",
}
FAULTY = """
on: {push: {branches: [main]}}
jobs:
  one:
    runs-on: ubuntu-latest
    steps:
      - uses: example/egcfg-fix@main
        with: {no-such-input: 1, budget: 5m}
      - run: echo ${{ github.event.head_commit.message }}
      - run: echo ${{ steps.nowhere.outputs.x }}
  two:
    needs: three
    runs-on: ubuntu-latest
    steps: [{run: "true"}]
"""


def lint(counterparts: Path, *files: Path) -> list[dict]:
    run = [counterparts / "bin/node", counterparts / "lint.cjs", ROOT / "action.yml", *files]
    return json.loads(subprocess.run(run, capture_output=True, check=True, timeout=300).stdout)


@pytest.fixture(scope="module")
def findings(counterparts: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[dict]]:
    """Return the findings in each file, and in a faulty one under the name "faulty.yml", of one run of both linters."""
    faulty = tmp_path_factory.mktemp("workflows") / "faulty.yml"
    faulty.write_text(FAULTY, encoding="utf-8")
    files = [ROOT / "action.yml", *WORKFLOWS, faulty]
    by_file: dict[str, list[dict]] = {file.name: [] for file in files}
    for one in lint(counterparts, *files):
        by_file[Path(one["file"]).name].append(one)
    return by_file


def test_the_linters_see_faults_at_all(findings):
    seen = [f"{one['kind']}: {one['message']}" for one in findings["faulty.yml"]]
    for part in ("Invalid action input 'no-such-input'", "potentially untrusted", "nowhere", "three"):
        assert any(part in one for one in seen), part
    assert {one.split()[0].rstrip(":") for one in seen} == {"actionlint", "languageservice"}
    assert not any("budget" in one for one in seen)


def test_the_action_and_the_workflows_are_clean(findings):
    left = [
        f"{name}:{one['line']}:{one['column']}: {one['kind']}: {one['message']}"
        for name, found in findings.items()
        for one in found
        if name != "faulty.yml" and one["kind"] not in EXPLAINED
    ]
    assert left == []


def test_the_action_and_the_workflows_fit_the_schemas():
    for schema, files in (("vendor.github-actions", [ROOT / "action.yml"]), ("vendor.github-workflows", WORKFLOWS)):
        run = [BIN / "check-jsonschema", "--builtin-schema", schema, *files]
        done = subprocess.run(run, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def test_the_action_and_the_workflows_are_safe_by_zizmors_rules():
    run = [
        BIN / "zizmor",
        "--offline",
        "--no-config",
        "--strict-collection",
        "--format=plain",
        ROOT / "action.yml",
        *WORKFLOWS,
    ]
    done = subprocess.run(run, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def jobs():
    for path in WORKFLOWS:
        for name, job in yaml.safe_load(path.read_text(encoding="utf-8"))["jobs"].items():
            yield path, name, job


def test_every_job_has_a_time_limit_and_no_more_rights_than_it_names():
    for path, name, job in jobs():
        assert job["timeout-minutes"] <= 180, (path, name)
        workflow = yaml.safe_load(path.read_text(encoding="utf-8"))
        assert workflow["permissions"] in ({}, {"contents": "read"}), path
        assert "concurrency" in workflow or any("concurrency" in one for one in workflow["jobs"].values()), path
        for step in job["steps"]:
            assert "uses" not in step or re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", step["uses"]), (path, step)


def test_code_of_a_pull_request_and_a_token_that_writes_never_meet_in_one_job():
    """A job that checks out has no write permission; the one example that does both runs for a schedule alone."""
    for path, name, job in jobs():
        writes = "write" in job.get("permissions", {}).values()
        checks_out = any("checkout" in step.get("uses", "") for step in job["steps"])
        triggers = set(yaml.safe_load(path.read_text(encoding="utf-8"))[True])
        assert not (writes and checks_out) or triggers == {"schedule"}, (path, name)
        for step in job["steps"]:
            if "checkout" in step.get("uses", ""):
                assert step["with"]["persist-credentials"] is False, (path, name)
                assert "secrets." not in json.dumps(job), (path, name)
