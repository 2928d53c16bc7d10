"""A project that was not written for us: boltons, with one fault put into one function.

Downloads the source distribution, so it runs only on request: `make test MARKS=network`. Uses the installed command and
bubblewrap, as a developer would. What is required of `repair` is a verdict or a stated reason, not a success.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

REQUIREMENT = "boltons==26.2.0 --hash=sha256:d39cfd15c1a1c3bd4d705c82252fa9edb8e4f5e8cc039f8e39afac7b1b47e92c\n"
FILE, FUNCTION = "boltons/iterutils.py", "backoff_iter"
RIGHT, WRONG = "math.ceil(math.log(stop/denom, factor))", "math.floor(math.log(stop/denom, factor))"

pytestmark = [pytest.mark.network, pytest.mark.model]


@pytest.fixture(scope="module")
def boltons(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """boltons as released, with the fault, as a git repository."""
    folder = tmp_path_factory.mktemp("real")
    (folder / "requirements.txt").write_text(REQUIREMENT)
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary=:all:", "--require-hashes"]
    subprocess.run([*pip, "--dest", folder, "-r", folder / "requirements.txt"], check=True, timeout=300)
    [archive] = folder.glob("*.tar.gz")
    with tarfile.open(archive) as tar:
        tar.extractall(folder, filter="data")
    root = folder / archive.name.removesuffix(".tar.gz")
    source = (root / FILE).read_text(encoding="utf-8")
    assert source.count(RIGHT) == 1
    (root / FILE).write_text(source.replace(RIGHT, WRONG), encoding="utf-8")
    identity = ["-c", "user.name=test", "-c", "user.email=test@localhost"]
    for command in (["init", "--quiet"], ["add", "--all"], [*identity, "commit", "--quiet", "--message=Release"]):
        subprocess.run(["git", "-C", root, *command], check=True)
    return root


def egcfg(*arguments: str, timeout_s: float) -> tuple[int, dict]:
    """Return the exit status of the command and the document that it prints."""
    command = [Path(sys.executable).with_name("egcfg-fix"), *arguments]
    run = subprocess.run(
        [*command, "--json", "--quiet", "--runner", "local", "--python", sys.executable],
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
    assert run.stdout, run.stderr
    return run.returncode, json.loads(run.stdout)


def test_find_names_the_function_among_the_first_three(boltons: Path) -> None:
    status, found = egcfg("find", str(boltons), timeout_s=600)
    assert status == 1
    assert found["discovery"]["collected"] > 500
    [group] = found["groups"]
    assert "tests/test_iterutils.py::test_backoff_basic" in group["failures"]
    names = [suspect["key"]["qualname"] for suspect in group["suspects"]]
    assert FUNCTION in names[:3]


def test_repair_works_through_to_a_verdict_or_says_why_not(boltons: Path) -> None:
    status, done = egcfg("repair", str(boltons), "--budget", "120s", timeout_s=900)
    assert status in (0, 1)
    [repair] = done["repairs"]
    assert repair["verdict"] or repair["reason"]
    assert (status == 0) == done["all_repaired"]
    diff = subprocess.run(["git", "-C", boltons, "status", "--porcelain"], capture_output=True, check=True).stdout
    assert diff == b""  # nothing was asked for, so nothing was changed
    if repair["verdict"]:
        assert repair["verdict"]["word"] in ("strong", "plausible", "suspect", "rejected")
