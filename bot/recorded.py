"""What an earlier run of the same repository already knows: bodies that failed, that passed, and that were proposed.

A journal is a hint and nothing more. A body that failed then is not run again, as long as checkout, target and tests
are the same. A patch that was proposed then is judged afresh, before anything else is searched where all bodies that
passed beside it are known too, so that it has the same rivals as then; else after the search. With the same seed a
resumed search therefore goes the way of the interrupted one without its executions, and on from where that ended.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Any, get_args

from bot.records import Candidate, Emit, Origin, Spent, Suspect
from runners.runner import Execution, Outcome, Session, Target, TestRun

OUTCOMES = frozenset(get_args(Outcome))
ORIGINS = frozenset(get_args(Origin))

Failed = Mapping[str, tuple[Outcome, ...]]  # digest of a file -> what the session's tests did with it


@dataclass(frozen=True, slots=True)
class Passing:
    """A body that passed the guiding tests of an earlier run, as far as it is needed to judge it again."""

    body: str
    origin: Origin
    setting: str
    logprob: float  # nats; nan without a model, like `guided`
    guided: float

    def candidate(self, suspect: Suspect) -> Candidate:
        setting = f"{self.setting} (earlier run)".strip()
        return Candidate(suspect, self.body, self.origin, setting, self.logprob, Spent(), self.guided)


@dataclass(frozen=True, slots=True)
class Proposal:
    """A body of one function that an earlier run proposed."""

    path: str
    qualname: str
    found: Passing


@dataclass(frozen=True, slots=True)
class Earlier:
    """What a journal holds. failed, passed: by the key of a session."""

    failed: Mapping[str, Failed] = field(default_factory=dict)
    passed: Mapping[str, Sequence[Passing]] = field(default_factory=dict)
    proposals: tuple[Proposal, ...] = ()


@dataclass(frozen=True, slots=True)
class Memory:
    """What an earlier run knows, and what of the checkout must be the same for that to hold."""

    checkout: str
    earlier: Earlier = field(default_factory=Earlier)

    def lots(self, suspect: Suspect, session: str) -> tuple[list[Candidate], list[Candidate]]:
        """Return (bodies to judge before the search, bodies to judge after it), both from the earlier run.

        Before it: all that passed in the same session, where one of them was proposed: a lot as that run had it. After
        it: what was proposed for this function, but among which rivals is not known.
        """
        passed = [one.candidate(suspect) for one in self.earlier.passed.get(session, ())]
        proposed = [
            one.found.candidate(suspect)
            for one in self.earlier.proposals
            if (one.path, one.qualname) == (suspect.key.path, suspect.key.qualname)
        ]
        bodies = {one.body for one in passed}
        return (passed, []) if any(one.body in bodies for one in proposed) else ([], proposed)


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:20]


def session_key(checkout: str, target: Target, node_ids: Sequence[str]) -> str:
    """Return what two sessions share whose executions are the same. checkout: a digest of what enters the sandbox."""
    base = {path: digest(content) for path, content in sorted(target.base.items())}
    return digest(json.dumps([checkout, target.path, target.qualname, target.first_line, base, *node_ids]).encode())


def earlier(records: Iterable[Mapping[str, Any]]) -> Earlier:
    """Return what the records of a journal tell; what is not of the expected form is passed over."""
    failed: dict[str, dict[str, tuple[Outcome, ...]]] = {}
    passed: dict[str, dict[str, Passing]] = {}
    proposals: list[Proposal] = []
    key = ""
    for record in records:
        event = record.get("event")
        if event == "session":
            key = str(record.get("key", ""))
        elif event == "executed" and key:
            known = _failure(record)
            if known is not None:
                failed.setdefault(key, {})[known[0]] = known[1]
        elif event == "candidate" and key:
            found = _passing(record)
            if found is not None:
                passed.setdefault(key, {})[found.body] = found
        elif event == "repair":
            proposal = _proposal(record.get("repair"))
            proposals += [proposal] if proposal is not None else []
    return Earlier(failed, {key: tuple(found.values()) for key, found in passed.items()}, tuple(proposals))


def _failure(record: Mapping[str, Any]) -> tuple[str, tuple[Outcome, ...]] | None:
    body, outcomes = record.get("file"), record.get("outcomes")
    if not isinstance(body, str) or not isinstance(outcomes, list) or not outcomes:
        return None
    if not all(outcome in OUTCOMES for outcome in outcomes) or all(outcome == "passed" for outcome in outcomes):
        return None
    return body, tuple(outcomes)


def _proposal(repair: Any) -> Proposal | None:
    try:
        candidate, patch, word = repair["candidate"], repair["patch"], repair["verdict"]["word"]
        key = candidate["suspect"]["key"]
        path, qualname, found = key["path"], key["qualname"], _passing(candidate)
    except (KeyError, TypeError):
        return None
    single = isinstance(patch, Mapping) and not patch.get("further")  # one body of several proves nothing alone
    if found is None or not single or word not in ("strong", "plausible"):
        return None
    return Proposal(path, qualname, found) if isinstance(path, str) and isinstance(qualname, str) else None


def _passing(record: Any) -> Passing | None:
    try:
        body, origin, setting = record["body"], record["origin"], record["setting"]
    except (KeyError, TypeError):
        return None
    if not isinstance(body, str) or not isinstance(setting, str) or origin not in ORIGINS:
        return None
    return Passing(body, origin, setting, _nats(record.get("logprob")), _nats(record.get("guided")))


def _nats(value: Any) -> float:
    return float(value) if isinstance(value, (int, float)) else math.nan


def failed(ran: Mapping[str, Execution], count: int) -> dict[str, Execution]:
    """Return the executions, cut to the first `count` tests, that fail one of these: any further test is no matter."""
    cut = {file: replace(execution, runs=execution.runs[:count]) for file, execution in ran.items()}
    return {file: execution for file, execution in cut.items() if not execution.passed}


class RecordedSession:
    """A session that tells the journal what came of each file, and does not run again what is known to fail.

    Traces are never taken from the record: an execution that must be traced is run.
    ran: what came of each file, by its digest, in this run of the tool; it is read and added to.
    """

    def __init__(
        self,
        session: Session,
        node_ids: Sequence[str],
        failed: Failed,
        emit: Emit,
        ran: dict[str, Execution] | None = None,
    ) -> None:
        self._session, self._node_ids, self._failed, self._emit = session, tuple(node_ids), failed, emit
        self._ran = {} if ran is None else ran
        self.spared = 0  # executions that were taken from an earlier run

    @property
    def level(self) -> str:
        return self._session.level

    @property
    def executions(self) -> int:
        return self._session.executions

    def execute(self, sources: Sequence[bytes], *, trace: bool = False, brief: bool = False) -> list[Execution]:
        """Run the variants that are not known to fail; results are in the order of `sources`."""
        files = [digest(source) for source in sources]
        found = [None if trace else self._remembered(file) for file in files]
        fresh = [source for source, known in zip(sources, found, strict=True) if known is None]
        ran = iter(self._session.execute(fresh, trace=trace, brief=brief) if fresh else ())
        self.spared += sum(
            known is not None and file not in self._ran for file, known in zip(files, found, strict=True)
        )
        results = []
        for file, known in zip(files, found, strict=True):
            execution = known if known is not None else next(ran)
            if not trace:
                self._ran.setdefault(file, execution)
            self._emit("executed", file=file, outcomes=[run.outcome for run in execution.runs])
            results.append(execution)
        return results

    def _remembered(self, file: str) -> Execution | None:
        if file in self._ran:
            return self._ran[file]
        outcomes = self._failed.get(file, ())
        if len(outcomes) != len(self._node_ids):
            return None
        return Execution(tuple(TestRun(i, outcome) for i, outcome in zip(self._node_ids, outcomes, strict=True)))

    def __enter__(self) -> RecordedSession:
        self._session.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._session.__exit__(kind, error, where)
