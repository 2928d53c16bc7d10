"""The real harness in a real container. Needs an engine and a base image ($EGCFG_BASE_IMAGE or python:3.11-slim)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest

from runners.choose import open_runner
from runners.docker import DockerRunner
from runners.runner import DockerUnavailable, Limits, SandboxLost, Session, SuiteRequest, Target

pytestmark = pytest.mark.docker

SOURCE = "def target(x):\n    return x\n"
TEST = "from attack import target\n\ndef test_it():\n    assert target(1) == 2\n\ndef test_ok():\n    pass\n"
LIMITS = Limits(suite_timeout_s=120, test_timeout_s=5, execution_timeout_s=4, memory_mib=512, processes=64)
NODE = "test_attack.py::test_it"


@pytest.fixture(scope="module")
def docker_runner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DockerRunner]:
    root = tmp_path_factory.mktemp("attacked")
    (root / "attack.py").write_text(SOURCE)
    (root / "test_attack.py").write_text(TEST)
    with DockerRunner(root, LIMITS) as runner:
        yield runner


@pytest.fixture(scope="module")
def session(docker_runner: DockerRunner) -> Iterator[Session]:
    with docker_runner.open_session(Target("attack.py", "target", 1), [NODE]) as session:
        yield session


def test_a_cold_run_tells_outcomes_and_withstands_its_canaries(docker_runner: DockerRunner) -> None:
    suite = docker_runner.run_suite(SuiteRequest(coverage=True, canaries=True))
    assert [(test.node_id, test.outcome) for test in suite.tests] == [
        (NODE, "failed"),
        ("test_attack.py::test_ok", "passed"),
    ]
    assert suite.complete
    assert suite.tampered == ""
    assert {key.qualname for key in suite.tests[0].functions} == {"target", "test_it"}


@pytest.mark.parametrize(
    ("body", "outcome"),
    [
        ("while True: pass", "timeout"),
        ("import os; os._exit(0)", "crashed"),
        ("import ctypes; ctypes.string_at(0)", "crashed"),
        ("import os\n    while True:\n        try: os.fork()\n        except OSError: pass", "timeout"),
        ("x = []\n    while True: x.append(' ' * 10 ** 7)", "crashed failed timeout"),
        ("import os, signal; os.kill(1, signal.SIGKILL); os.kill(1, signal.SIGSEGV); return 2", "passed"),
        ("import os; os.kill(-1, 9); return 2", "failed"),  # no permission
    ],
)
def test_whatever_a_body_does_the_next_one_is_run_as_if_nothing_had_been(
    session: Session, body: str, outcome: str
) -> None:
    bad, good = session.execute([f"def target(x):\n    {body}\n".encode(), b"def target(x):\n    return 2\n"])
    assert bad.runs[0].outcome in outcome.split()
    assert good.passed


def test_the_container_has_no_root_no_network_and_nothing_to_write_but_tmp(session: Session) -> None:
    assert session.level == "swap"
    body = """def target(x):
    import os, socket
    found = []
    for path in ("/repo/x", "/x", "/usr/x", "/etc/x", "/proc/sys/kernel/core_pattern", "/proc/1/mem"):
        try:
            open(path, "a").close()
            found.append(path)
        except OSError:
            pass
    try:
        socket.create_connection(("192.0.2.1", 80), timeout=1)
        found.append("network")
    except OSError:
        pass
    if os.path.exists("/var/run/docker.sock"):
        found.append("docker.sock")
    open("/tmp/x", "w").close()
    status = dict(line.split(":", 1) for line in open("/proc/self/status") if ":" in line)
    caps = [status[name].strip().strip("0") for name in ("CapEff", "CapPrm", "CapBnd")]
    raise ValueError(found, caps, status["NoNewPrivs"].strip(), os.getuid(), sorted(os.environ))
"""
    message = session.execute([body.encode()])[0].runs[0].message
    assert message.startswith("ValueError: ([], ['', '', ''], '1', 10001, ")
    assert "TOKEN" not in message


def test_what_was_built_once_is_not_built_again(docker_runner: DockerRunner, tmp_path: Path) -> None:
    with DockerRunner(tmp_path, LIMITS) as again:
        assert again.image == docker_runner.image
        assert not again.environment.built


def test_a_container_that_is_killed_is_replaced(docker_runner: DockerRunner) -> None:
    with docker_runner.open_session(Target("attack.py", "target", 1), [NODE]) as session:
        client = docker.from_env()
        for container in client.containers.list(filters={"label": "egcfg-fix.sandbox"}):
            if container.labels.get("egcfg-fix.owner", "").split("/")[1].startswith(f"{os.getpid()}-"):
                container.kill()
        client.close()
        assert session.execute([b"def target(x):\n    return 2\n"])[0].passed


def test_nothing_is_left_behind(tmp_path: Path) -> None:
    (tmp_path / "test_a.py").write_text("def test_a(): pass\n")
    client = docker.from_env()

    def mine() -> set[str]:
        found = client.containers.list(all=True, filters={"label": "egcfg-fix.sandbox"})
        return {c.id for c in found if f"/{os.getpid()}-" in c.labels.get("egcfg-fix.owner", "")}

    before = mine()
    runner = open_runner("docker", tmp_path, LIMITS)
    assert runner.run_suite(SuiteRequest()).tests[0].passed
    runner.close()
    assert mine() == before
    client.close()


def test_an_image_that_is_nowhere_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DockerUnavailable, match="cannot be had"):
        DockerRunner(tmp_path, LIMITS, image="egcfg-fix-test/no-such-image:0")


def test_an_engine_that_does_not_answer_is_an_error_with_a_hint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/no.sock")
    with pytest.raises(DockerUnavailable) as caught:
        DockerRunner(tmp_path, LIMITS)
    assert "--runner local" in caught.value.hint


def test_an_image_without_pytest_says_so(tmp_path: Path) -> None:
    (tmp_path / "test_a.py").write_text("def test_a(): pass\n")
    base = os.environ.get("EGCFG_BASE_IMAGE", "python:3.11-slim")
    from runners.runner import InterpreterMissing

    with DockerRunner(tmp_path, LIMITS, image=base) as runner, pytest.raises((InterpreterMissing, SandboxLost)):
        runner.run_suite(SuiteRequest())
