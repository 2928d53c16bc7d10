"""What a finished CI run says in JUnit XML, and which collected tests it means.

Pure: bytes and node ids in, records out. The XML is untrusted: document types, and with them entities of any kind, are
refused, and its size, depth and number of cases are bounded. pytest writes a node id as a class name (path and classes
with dots) and a name (with the parameters); this is done to the collected ids too, and the results are compared. A run
that started in another folder has longer or shorter class names: then the ends decide, if only one test fits.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal
from xml.parsers import expat

from bot.errors import ConfigError

MAX_BYTES = 128 << 20
MAX_CASES = 500_000
MAX_DEPTH = 40
NAME_CHARS = 4000

CaseOutcome = Literal["passed", "failed", "skipped"]
_ESCAPED = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True, slots=True)
class JunitCase:
    """One test of a finished run. An error counts as a failure."""

    classname: str
    name: str
    outcome: CaseOutcome = "passed"

    def __str__(self) -> str:
        return f"{self.classname}::{self.name}" if self.classname else self.name


@dataclass(frozen=True, slots=True)
class Mapped:
    """Which of the collected tests an earlier run means. unmapped: failing ones that name none, with the reason."""

    failing: tuple[str, ...]
    passing: tuple[str, ...] = ()
    unmapped: tuple[str, ...] = ()


class _Reader:
    def __init__(self) -> None:
        self.cases: list[JunitCase] = []
        self.root = ""
        self._depth = 0
        self._case: JunitCase | None = None

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        tag = tag.rpartition("}")[2]
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise ValueError("it is nested too deeply")
        self.root = self.root or tag
        if tag == "testcase":
            if len(self.cases) >= MAX_CASES:
                raise ValueError(f"it has more than {MAX_CASES} tests")
            classname, name = (attributes.get(key, "")[:NAME_CHARS] for key in ("classname", "name"))
            self._case = JunitCase(classname, name)
        elif self._case is not None and tag in ("failure", "error"):
            self._case = replace(self._case, outcome="failed")
        elif self._case is not None and tag == "skipped" and self._case.outcome == "passed":
            self._case = replace(self._case, outcome="skipped")

    def end(self, tag: str) -> None:
        self._depth -= 1
        if tag.rpartition("}")[2] == "testcase" and self._case is not None:
            self.cases.append(self._case)
            self._case = None


def parse(data: bytes, origin: str) -> list[JunitCase]:
    """Return the tests of a JUnit XML file. origin: its name, for errors. Raises ConfigError if it is none."""

    def refuse(*_: object) -> None:
        raise ValueError("it has a document type, which can hide entities that expand without end")

    reader = _Reader()
    parser = expat.ParserCreate()
    parser.StartElementHandler, parser.EndElementHandler = reader.start, reader.end
    parser.StartDoctypeDeclHandler = parser.EntityDeclHandler = refuse
    try:
        if len(data) > MAX_BYTES:
            raise ValueError(f"it is larger than {MAX_BYTES >> 20} MiB")
        parser.Parse(data, True)
        if reader.root not in ("testsuites", "testsuite"):
            raise ValueError(f"its root is <{reader.root[:40]}>")
    except (expat.ExpatError, ValueError, LookupError) as error:
        hint = "Write one with pytest --junit-xml=FILE, and give the whole file."
        raise ConfigError(f"{origin} is no JUnit XML that can be used: {error}.", hint=hint) from None
    return reader.cases


# ---------------------------------------------------------------------------------------------------------- mapping


def address(node_id: str) -> tuple[str, str]:
    """Return the class name and the name under which pytest's JUnit XML has a test."""
    path, bracket, parameters = node_id.partition("[")
    names = path.split("::")
    names[0] = re.sub(r"\.py$", "", names[0].replace("/", "."))
    names[-1] += bracket + parameters
    return _escaped(".".join(names[:-1])), _escaped(names[-1])


def _escaped(text: str) -> str:
    """Return the text as pytest puts it into XML, which has no place for most control characters."""
    return _ESCAPED.sub(lambda m: f"#x{ord(m[0]):02X}" if ord(m[0]) <= 0xFF else f"#x{ord(m[0]):04X}", text)


def mapped(cases: Iterable[JunitCase], collected: Sequence[str]) -> Mapped:
    """Return the collected tests that failing and passing cases mean.

    A failing case with parameters that no collected test has stands for all cases of its test function, since ids made
    from values may change from run to run. A module that could not be collected stands for its file.
    """
    index = _Index(collected)
    failing: dict[str, None] = {}
    passing: dict[str, None] = {}
    unmapped: list[str] = []
    for case in cases:
        if case.outcome == "passed":
            passing.update(dict.fromkeys(index.exact(case)))
        elif case.outcome == "failed":
            found, why = index.find(case)
            failing.update(dict.fromkeys(found))
            unmapped += [f"{case} ({why})"] if why else []
    kept = tuple(node_id for node_id in passing if node_id not in failing)
    return Mapped(tuple(failing), kept, tuple(dict.fromkeys(unmapped)))


class _Index:
    """The collected tests by the names that XML has for them."""

    def __init__(self, collected: Sequence[str]) -> None:
        self._by_name: dict[str, list[tuple[str, str]]] = {}
        self._by_function: dict[str, list[tuple[str, str]]] = {}
        self._modules: dict[str, str] = {}
        for node_id in collected:
            classname, name = address(node_id)
            self._by_name.setdefault(name, []).append((classname, node_id))
            function, bracket, _ = name.partition("[")
            if bracket:
                self._by_function.setdefault(function, []).append((classname, node_id))
            path = node_id.partition("::")[0]
            self._modules[re.sub(r"\.py$", "", path.replace("/", "."))] = path

    def exact(self, case: JunitCase) -> list[str]:
        return self._fitting(case.classname, self._by_name.get(case.name, ()))

    def find(self, case: JunitCase) -> tuple[list[str], str]:
        """Return the tests that a failing case means, and why there are none or more than it says."""
        if found := self.exact(case):
            return found, ""
        module = next((m for m in (case.name, f"{case.classname}.{case.name}") if m in self._modules), None)
        if module is not None:
            return [self._modules[module]], ""
        function, bracket, _ = case.name.partition("[")
        if bracket and (found := self._fitting(case.classname, self._by_function.get(function, ()))):
            return found, f"its parameters are new, so all {len(found)} cases of {function} are run"
        several = [node_id for _, node_id in self._by_name.get(case.name, ())]
        if several and any(_ends(case.classname, address(node_id)[0]) for node_id in several):
            return [], f"several tests fit: {', '.join(several[:2])}"
        return [], "no collected test has this name"

    @staticmethod
    def _fitting(classname: str, candidates: Iterable[tuple[str, str]]) -> list[str]:
        """Return the tests of exactly this class name, else those whose class name has the same end, if it is one."""
        same = [node_id for known, node_id in candidates if known == classname]
        if same:
            return same
        near = [(known, node_id) for known, node_id in candidates if _ends(classname, known)]
        return [node_id for _, node_id in near] if len({known for known, _ in near}) == 1 else []


def _ends(one: str, other: str) -> bool:
    """True if one dotted name is the end of the other."""
    shorter, longer = sorted((one, other), key=len)
    return bool(shorter) and longer.endswith(f".{shorter}")
