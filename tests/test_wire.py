"""The real harness over real pipes, without a sandbox around it: each request, each failure, the version handshake."""

from __future__ import annotations

import base64
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from runners import fields, replies, wire
from runners.cold import SuiteRecord
from runners.replies import Phases
from runners.runner import Limits, SandboxLost, SuiteRequest
from runners.streams import ProcessStream
from runners.wire import Channel, Hello

MODULE = b"def f(x):\n    return x\n"
TESTS = b"from m import f\n\ndef test_it(): assert f(1) == 2\ndef test_other(): assert f(1)\n"
SOURCES = {"m.py": MODULE, "test_m.py": TESTS}
BOTH = ["test_m.py::test_it", "test_m.py::test_other"]


def start(*arguments: str) -> Channel:
    process = subprocess.Popen(
        arguments or (sys.executable, *wire.INTERPRETER_FLAGS),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    return Channel(ProcessStream(process))


@pytest.fixture
def channel(tmp_path: Path) -> Iterator[Channel]:
    (tmp_path / "tmp").mkdir()
    channel = start()
    channel.hello = channel.boot(root=str(tmp_path / "repo"), tmp=str(tmp_path / "tmp"), was="")  # type: ignore[attr-defined]
    yield channel
    channel.close()


def archive(files: dict[str, bytes]) -> bytes:
    buffer = BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, BytesIO(content))
    return buffer.getvalue()


def prepare(channel: Channel, **changes: Any) -> dict[str, Any]:
    frame: dict[str, Any] = {"op": "prepare", "path": "m.py", "qualname": "f", "first_line": 1, "nodes": BOTH}
    channel.send(frame | {"source": wire.encode(MODULE), "swap": True, "timeout": 60} | changes)
    return channel.expect("prepared", 120)


def execute(channel: Channel, source: bytes, **changes: Any) -> replies.ExecutionReply:
    frame: dict[str, Any] = {"op": "execute", "level": "swap", "source": wire.encode(source), "timeout": 5}
    channel.send(frame | {"file_mib": 64, "events": 300, "trace": True} | changes)
    return replies.parse_execution(channel.expect("executed", 40), BOTH, True, 5)


def test_the_harness_says_who_it_is(channel: Channel) -> None:
    hello: Hello = channel.hello  # type: ignore[attr-defined]
    assert hello.python == sys.version.split()[0]
    assert hello.pytest == pytest.__version__
    assert hello.pid > 0


def test_a_suite_streams_one_frame_for_each_step_and_ends_with_its_status(channel: Channel) -> None:
    assert channel.send_files(archive(SOURCES)) == 2
    channel.send(
        {"op": "suite", "nonce": "n", "nodes": None, "suite_timeout": 60, "test_timeout": 10}
        | {"file_mib": 64, "output": 1000, "coverage": True}
    )
    frames = []
    while (frame := channel.receive(60))["k"] != "exit":
        frames.append(frame["d"])
    assert {frame["x"] for frame in frames} == {"n"}
    words = [frame["k"] for frame in frames]
    assert words.count("start") == words.count("end") == 2
    assert words.count("phase") == 6
    assert frames[-1] == {"k": "done", "status": 1, "x": "n"}


def test_a_report_that_is_no_report_ends_nothing(channel: Channel) -> None:
    writes = b"""
import os

def test_it():
    for descriptor in range(3, 64):
        try:
            os.write(descriptor, b'{"k":["start"]}\\n')
        except OSError:
            pass
"""
    channel.send_files(archive({"test_m.py": writes}))
    channel.send(
        {"op": "suite", "nonce": "n", "nodes": None, "suite_timeout": 60, "test_timeout": 10}
        | {"file_mib": 64, "output": 1000}
    )
    frames = []
    while (frame := channel.receive(60))["k"] != "exit":
        frames.append(frame["d"])
    assert {"k": ["start"]} in frames
    assert frames[-1] == {"k": "done", "status": 0, "x": "n"}


def test_a_session_swaps_and_imports_and_both_say_the_same(channel: Channel) -> None:
    channel.send_files(archive(SOURCES))
    prepared = prepare(channel)
    assert prepared["import"]["ok"]
    assert prepared["swap"]["ok"], prepared["swap"]["why"]
    for level in ("swap", "import"):
        old = execute(channel, MODULE, level=level)
        new = execute(channel, MODULE.replace(b"return x", b"return x + 1"), level=level)
        assert [run.outcome for run in old.runs] == ["failed", "passed"]
        assert [run.outcome for run in new.runs] == ["passed", "passed"]
        assert old.runs[0].trace is not None
        assert [event.kind for event in old.runs[0].trace.events] == ["line", "return"]


def test_a_sentinel_reaches_the_tests_that_execute_the_target(channel: Channel) -> None:
    channel.send_files(archive(SOURCES))
    prepare(channel)
    reply = execute(channel, MODULE, sentinel=True)
    assert reply.reached == dict.fromkeys(BOTH, True)
    assert not any(run.passed for run in reply.runs)


def test_a_variant_that_differs_outside_of_the_function_is_refused_by_the_swap(channel: Channel) -> None:
    channel.send_files(archive(SOURCES))
    prepare(channel)
    assert execute(channel, b"import os\n" + MODULE).refused
    assert "signature" in execute(channel, MODULE.replace(b"(x)", b"(x=1)")).refused
    assert "inside" in execute(channel, MODULE + b"def f(x): return 2\n").refused


def test_a_request_that_means_nothing_is_answered_with_an_error_and_the_harness_lives_on(channel: Channel) -> None:
    channel.send({"op": "dance"})
    with pytest.raises(SandboxLost, match="do_dance"):
        channel.expect("anything", 20)
    assert channel.send_files(archive(SOURCES)) == 2


def test_a_process_that_ends_is_a_lost_sandbox_with_its_last_words() -> None:
    channel = start(sys.executable, "-c", "import sys; sys.exit('out of cheese')")
    with pytest.raises(SandboxLost) as caught:
        channel.boot(root="/", tmp="", was="", timeout_s=20)
    channel.close()
    assert caught.value.hint


@pytest.mark.parametrize(
    ("reply", "complaint"),
    [("print('nonsense')", "nonsense"), ("print('[1]')", "nonsense"), ("print('x' * 10, end='')", "ended")],
)
def test_nonsense_is_a_lost_sandbox(reply: str, complaint: str) -> None:
    channel = start(sys.executable, "-c", reply)
    with pytest.raises(SandboxLost, match=complaint):
        channel.receive(20)
    channel.close()


def test_silence_is_a_lost_sandbox() -> None:
    channel = start(sys.executable, "-c", "import time; time.sleep(100)")
    started = time.monotonic()
    with pytest.raises(SandboxLost, match="did not answer"):
        channel.receive(0.2)
    channel.close()
    assert time.monotonic() - started < 20


def test_a_harness_of_another_version_is_refused() -> None:
    with pytest.raises(SandboxLost, match="protocol"):
        Hello({"protocol": 0})


# --- parsing, as pure functions ------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/etc/passwd", "../x.py", "a/../../x.py", "", 7, None])
def test_no_reply_names_a_file_outside_of_the_repository(path: object) -> None:
    assert fields.relative_path(path) == ""


@pytest.mark.parametrize("value", [-1, True, float("nan"), float("inf"), "3", None, [1]])
def test_what_is_no_duration_counts_as_zero(value: object) -> None:
    assert fields.seconds(value) == 0.0


def test_text_is_cut_and_loses_its_surrogates() -> None:
    assert fields.text("a\udc80b" * 10, 5) == "a?ba?"
    assert fields.text({"a": 1}, 5) == ""


def test_malformed_events_are_dropped_and_the_trace_is_marked() -> None:
    good = ["line", 3, 0, [["x", "1"], ["y"], 4]]
    trace = replies.parse_trace({"ev": [good, ["explode", 1, 0, []], "?", None]})
    assert trace.cut
    assert [(event.line, event.values) for event in trace.events] == [(3, (("x", "1"),))]
    assert replies.parse_trace(7).lost


def report(phase: str, outcome: str = "passed", **more: object) -> dict[str, object]:
    return {"w": phase, "o": outcome} | more


def test_the_worst_phase_is_the_outcome() -> None:
    phases = Phases("a")
    for one in (report("setup"), report("call", "failed", e="E", m="no"), report("teardown", "failed", e="F")):
        phases.add(one)
    phases.ended = True
    assert (phases.run().outcome, phases.run().exception) == ("failed", "E")


@pytest.mark.parametrize(
    "reports",
    [[], [report("setup")], [report("call")], [report("setup"), report("call"), report("call"), report("teardown")]],
)
def test_a_test_that_did_not_pass_through_each_phase_once_has_not_passed(reports: list[dict[str, object]]) -> None:
    phases = Phases("a")
    for one in reports:
        phases.add(one)
    phases.ended = True
    assert phases.forged()


def record(*frames: dict[str, Any], nodes: tuple[str, ...] | None = None) -> SuiteRecord:
    class Box:
        root = "/repo"
        hello = Hello({"protocol": wire.PROTOCOL, "pytest": "9"})

    suite = SuiteRecord(SuiteRequest(nodes), Limits())
    nonce = suite.begin(Box(), 60)["nonce"]  # type: ignore[arg-type]
    for frame in frames:
        suite.take(frame if frame["k"] == "exit" else {"k": "child", "d": {"x": nonce} | frame})
    return suite


def passed(node: str) -> list[dict[str, Any]]:
    phases = [report(phase) | {"k": "phase", "n": node} for phase in ("setup", "call", "teardown")]
    return [{"k": "start", "n": node}, *phases, {"k": "end", "n": node}]


END: list[dict[str, Any]] = [{"k": "done", "status": 0}, {"k": "exit", "why": "exited", "code": 0}]


def test_a_test_that_is_reported_twice_is_tampering() -> None:
    suite = record({"k": "collected", "n": ["a"]}, *passed("a"), *passed("a"), *END).finish(1.0)
    assert "twice" in suite.tampered


def test_a_test_that_nobody_collected_is_tampering() -> None:
    assert "never collected" in record({"k": "collected", "n": ["a"]}, *passed("b"), *END).finish(1.0).tampered


def test_a_frame_with_another_nonce_is_tampering() -> None:
    suite = record({"k": "collected", "n": ["a"]}, *[f | {"x": "mine"} for f in passed("a")], *END).finish(1.0)
    assert "nonce" in suite.tampered
    assert suite.tests[0].outcome == "missing"


def test_a_test_asked_for_and_never_reported_is_missing() -> None:
    suite = record({"k": "collected", "n": ["a"]}, *passed("a"), *END, nodes=("a", "b")).finish(1.0)
    assert [(test.node_id, test.outcome) for test in suite.tests] == [("a", "passed"), ("b", "missing")]


def test_code_travels_unchanged() -> None:
    assert base64.b64decode(wire.encode(b"\x00\xff\r\n")) == b"\x00\xff\r\n"
