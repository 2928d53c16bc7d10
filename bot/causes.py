"""Decides what kind of failure a test has, why, and what a person can do about it.

Pure: a test's first run and its repetition in, a kind and a sentence out. Which kinds can be repaired by rewriting a
function's body is `TestFailure.repairable`.
"""

from __future__ import annotations

import re

from bot.records import FailureKind, TestFailure
from bot.spectrum import is_test_path
from runners.runner import TestRun

_MISSING_MODULE = re.compile(r"No module named '?([\w.]+)'?")
_MISSING_NAME = re.compile(r"cannot import name '(\w+)' from (?:partially initialized module )?'([\w.]+)'")
_SYNTAX_PLACE = re.compile(r'File "([^"]+)", line (\d+)')
_PLACE = re.compile(r"\(([\w./-]+\.py), line (\d+)\)")
_MISSING_FIXTURE = re.compile(r"fixture '(\w+)' not found|FixtureLookupError: \('(\w+)'")
_NO_NETWORK = re.compile(r"Temporary failure in name resolution|Name or service not known|Network is unreachable")
_SIGNAL = re.compile(r"killed by (SIG\w+)")
SIGNALS = {
    "SIGKILL": "The usual reason is memory: give more with --memory.",
    "SIGSEGV": "The usual reasons are an extension module and recursion without end.",
    "SIGABRT": "The usual reason is an extension module or the C library.",
    "SIGXFSZ": "It wrote a file that is larger than the sandbox allows.",
}


def kind_of(run: TestRun, again: TestRun | None, *, after: str = "") -> FailureKind:
    """Return the kind of a failure. again: its repetition, alone. after: the tests without which it passes."""
    if run.phase == "collect":
        return "dependency" if _missing_dependency(run) else "collection"
    if again is not None and (again.passed or again.outcome in ("skipped", "xpassed")):
        return "order" if after else "flaky"
    if run.outcome == "timeout":
        return "timeout"
    if run.outcome == "crashed":
        return "crash"
    if _missing_dependency(run):
        return "dependency"
    return "fixture" if run.phase in ("setup", "teardown") else "failure"


def _missing_dependency(run: TestRun) -> bool:
    """True if a module is missing and no function body is to blame for asking for it."""
    if run.exception not in ("ModuleNotFoundError", "ImportError") or not _MISSING_MODULE.search(run.message):
        return False
    inner = run.frames[-1] if run.frames else None
    return inner is None or is_test_path(inner.path) or inner.function == "<module>"


def explanation(failure: TestFailure, again: TestRun | None, *, after: str = "") -> str:
    """Return what is to be known of a failure beside its message, or ""; completes "tests/test_a.py::test_b: ..."."""
    if failure.kind == "flaky":
        return (
            "fails in the whole suite but not when run again, so it is reported and not repaired. "
            "Look for shared state, time or randomness."
        )
    if failure.kind == "order":
        return (
            f"fails only after {after}, and passes alone, so it is reported and not repaired. "
            "Look for state that the one leaves behind, and reset it in a fixture."
        )
    if failure.kind == "dependency":
        return _dependency(failure)
    if failure.kind == "collection":
        return _collection(failure)
    if failure.kind == "fixture":
        return _fixture(failure)
    if failure.kind == "timeout":
        return (
            "takes longer than the limit for one test, so it is taken for a hang. If it is only slow, raise the limit."
        )
    if failure.kind == "crash":
        signal = _SIGNAL.search(failure.message)
        advice = SIGNALS.get(signal[1], "") if signal else "Something in it calls os._exit or the like."
        return f"ends the interpreter ({_short(failure)}). {advice}".rstrip()
    if _NO_NETWORK.search(failure.message):
        return "asks for the network, which the sandbox does not have. Put a server of the test's own in its place."
    if again is None or again.outcome == "missing":
        return "could not be run again by its id, so nothing tells whether it always fails."
    return ""


def _dependency(failure: TestFailure) -> str:
    found = _MISSING_MODULE.search(failure.message)
    module = found[1] if found else "a module"
    name = module.partition(".")[0]
    what = "cannot be collected" if failure.phase == "collect" else "fails"
    return (
        f"{what} because the module {module} is missing. If {name} is a dependency, add it to the "
        "repository's test dependencies or install it in --python's environment; if it is the repository's own, "
        "install the repository or set pythonpath in its pytest configuration."
    )


def _fixture(failure: TestFailure) -> str:
    missing = _MISSING_FIXTURE.search(failure.message)
    if missing:
        name = missing[1] or missing[2]
        return f"there is no fixture {name}. Define it in a conftest.py or install the plugin that has it."
    where = f" at {failure.frames[-1].path}:{failure.frames[-1].line}" if failure.frames else ""
    return f"its fixture fails in {failure.phase}{where} ({_short(failure)}). Repair the fixture by hand."


def _collection(failure: TestFailure) -> str:
    """Return why a module cannot be collected and what to do."""
    text = failure.message
    if failure.exception == "ImportPathMismatchError":
        return (
            "cannot be collected because another test module has the same name. Add __init__.py files, or set "
            "--import-mode=importlib in the pytest configuration."
        )
    if failure.exception in ("SyntaxError", "IndentationError", "TabError") or "SyntaxError" in text:
        place = _PLACE.search(text) or next(reversed(list(_SYNTAX_PLACE.finditer(text))), None)
        path = place[1] if place else ""
        if failure.node_id.endswith("/" + path):
            path = failure.node_id  # pytest tells the name alone
        where = f" at {path}:{place[2]}" if place else ""
        return f"cannot be collected because of a syntax error{where}. Correct it by hand; no body can be run before."
    name_error = _MISSING_NAME.search(text)
    if name_error:
        return f"cannot be collected because {name_error[2]} has no {name_error[1]}. A missing definition is not added."
    where = f" at {failure.frames[-1].path}:{failure.frames[-1].line}" if failure.frames else ""
    return f"cannot be collected{where} ({_short(failure)}). Code that runs at import is not repaired."


def _short(failure: TestFailure) -> str:
    lines = [line.strip() for line in failure.message.splitlines() if line.strip()]
    text = lines[0] if lines else "no message"
    if failure.exception and not text.startswith(failure.exception):
        text = f"{failure.exception}: {text}"
    return text if len(text) <= 160 else text[:157] + "..."
