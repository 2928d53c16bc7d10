"""The engine dies, is slow, is full or refuses; a container is killed or out of memory: what is said, what is left."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
import pytest

from bot.errors import EXIT_ENVIRONMENT
from bot.journal import read
from runners.docker import DockerRunner
from runners.runner import DockerUnavailable, Limits, SuiteRequest
from tests.attacks.arena import LIMITS, NODES, TARGET, Arena, source
from tests.attacks.engine import Engine

pytestmark = pytest.mark.docker

WAITING = {
    "test_slow.py": "import time\n\ndef test_first():\n    pass\n\ndef test_second():\n    time.sleep(600)\n",
}


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    with Engine(tmp_path / "engine.sock") as engine:
        yield engine


@pytest.fixture
def slow_root(tmp_path: Path) -> Path:
    root = tmp_path / "slow"
    root.mkdir()
    for name, content in WAITING.items():
        (root / name).write_text(content)
    return root


@pytest.fixture(scope="module")
def image(docker_arena: Arena) -> str:
    return docker_arena.runner.image  # type: ignore[attr-defined,no-any-return]


def owned(process: int) -> list[str]:
    """Return the containers of a process, running or not."""
    client = docker.from_env()
    try:
        found = client.api.containers(all=True, filters={"label": "egcfg-fix.sandbox"})
        return [one["Id"] for one in found if f"/{process}-" in one.get("Labels", {}).get("egcfg-fix.owner", "")]
    finally:
        client.close()


def processes(client: Any, names: list[str]) -> int:
    """Return how many processes a container has, 0 for one that does not run yet or any more."""
    try:
        return len(client.api.top(names[0])["Processes"]) if names else 0
    except docker.errors.APIError:
        return 0


def remove(names: list[str]) -> None:
    client = docker.from_env()
    for name in names:
        try:
            client.api.remove_container(name, force=True, v=True)
        except docker.errors.NotFound:
            continue
    client.close()


def running(engine: Engine) -> threading.Event:
    """Return what is set once a container was started."""
    started = threading.Event()

    def look(line: bytes) -> None:
        if b"/start " in line:
            started.set()

    engine.on_request = look
    return started


def test_an_engine_that_dies_while_tests_run_is_an_error_and_the_journal_is_whole(
    engine: Engine, slow_root: Path, image: str
) -> None:
    started = running(engine)
    environment = {**os.environ, "DOCKER_HOST": engine.host}
    command = [sys.executable, "-m", "bot", "find", str(slow_root), "--runner", "docker", "--image", image, "--json"]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert started.wait(120)
        engine.die()
        out, said = process.communicate(timeout=120)
    finally:
        process.kill()
        remove(owned(process.pid))
    assert process.returncode == EXIT_ENVIRONMENT, said
    assert "Error: The engine" in said
    assert "Traceback" not in said
    assert json.loads(out)["error"]["type"] == "DockerUnavailable"
    records = [read(path) for path in slow_root.glob(".egcfg-fix/runs/*/journal.jsonl")]
    assert len(records) == 1
    assert records[0][-1]["event"] == "end"
    assert records[0][-1]["reason"].startswith("error: DockerUnavailable")


def test_what_an_engine_could_not_remove_stops_by_itself_and_is_swept_later(
    engine: Engine, slow_root: Path, image: str
) -> None:
    """The harness ends with its channel, so that no test goes on; the next run of the tool removes the container."""
    script = (
        "from pathlib import Path\nfrom runners.docker import DockerRunner\nfrom runners.runner import *\n"
        f"runner = DockerRunner(Path({str(slow_root)!r}), Limits(), image={image!r})\n"
        "print('open', flush=True)\nrunner.run_suite(SuiteRequest())\n"
    )
    started = running(engine)
    environment = {**os.environ, "DOCKER_HOST": engine.host}
    process = subprocess.Popen(
        [sys.executable, "-c", script], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        assert started.wait(120)
        process.kill()
        process.wait()
        engine.die()
        names = owned(process.pid)
        assert len(names) == 1
        client = docker.from_env()
        client.api.wait(names[0], timeout=60)
        client.close()
        DockerRunner(slow_root, LIMITS, image=image).close()
        assert owned(process.pid) == []
    finally:
        remove(owned(process.pid))


def test_an_engine_that_never_answers_is_an_error_in_the_time_given(
    engine: Engine, slow_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", engine.host)
    engine.silent.set()
    started = time.monotonic()
    with pytest.raises(DockerUnavailable, match="No Docker Engine answers") as caught:
        DockerRunner(slow_root, LIMITS, timeout_s=1)
    assert "--runner local" in caught.value.hint
    assert time.monotonic() - started < 30


def test_a_full_disk_and_a_refusal_say_so_and_leave_nothing(
    engine: Engine, slow_root: Path, image: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", engine.host)
    before = owned(os.getpid())
    with DockerRunner(slow_root, LIMITS, image=image) as runner:
        engine.refusals = {b"/containers/create": "mkdir /var/lib/docker/overlay2/x: no space left on device"}
        with pytest.raises(DockerUnavailable, match="no space left on device") as caught:
            runner.run_suite(SuiteRequest())
        assert "Free some space" in caught.value.hint
        engine.refusals = {b"/start": "OCI runtime create failed: unknown"}
        with pytest.raises(DockerUnavailable, match="OCI runtime create failed"):
            runner.run_suite(SuiteRequest())
        engine.refusals = {}
        assert owned(os.getpid()) == before


def test_a_container_that_cannot_be_removed_at_once_is_removed_at_the_end(
    engine: Engine, tmp_path: Path, image: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", engine.host)
    (tmp_path / "quick").mkdir()
    (tmp_path / "quick" / "test_a.py").write_text("def test_a(): pass\n")
    before = owned(os.getpid())
    with DockerRunner(tmp_path / "quick", LIMITS, image=image) as runner:
        engine.refusals = {b"DELETE": "device or resource busy"}
        assert runner.run_suite(SuiteRequest()).tests[0].passed
        assert len(owned(os.getpid())) == len(before) + 1
        engine.refusals = {}
    assert owned(os.getpid()) == before


def test_a_container_killed_by_somebody_ends_the_run_and_says_so(slow_root: Path, image: str) -> None:
    with DockerRunner(slow_root, Limits(suite_timeout_s=120, test_timeout_s=100), image=image) as runner:
        done: list[Any] = []
        thread = threading.Thread(target=lambda: done.append(runner.run_suite(SuiteRequest())))
        thread.start()
        client = docker.from_env()
        while thread.is_alive() and processes(client, names := list(runner._containers)) < 2:  # pytest has begun
            time.sleep(0.05)
        client.api.kill(names[0])
        client.close()
        thread.join(60)
        assert not done[0].complete
        assert "137" in done[0].reason or "gone" in done[0].reason or "ended" in done[0].reason
        assert all(test.outcome in ("missing", "passed") for test in done[0].tests)


def test_a_container_out_of_memory_is_a_failed_test_and_never_a_hang(docker_arena: Arena) -> None:
    body = "x = []\nwhile True:\n    x.append(bytearray(b'x' * (16 << 20)))"
    suite = docker_arena.runner.run_suite(SuiteRequest(NODES, {TARGET.path: source(body)}))
    assert {test.outcome for test in suite.tests} <= {"crashed", "failed", "missing", "timeout"}
    right = docker_arena.runner.run_suite(SuiteRequest(NODES, {TARGET.path: source("return x + 1")}))
    assert [test.outcome for test in right.tests] == ["passed", "passed"]
