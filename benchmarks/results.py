"""Records of a benchmark: one line of JSON for each case and arm, written as they come, resumed, never mixed up."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
NO_MODEL = "none"


@dataclass(frozen=True, slots=True)
class Terms:
    """What must be equal for two records to be compared.

    executions, cpu_s: the budget of a search, whichever ends first. clock: what its seconds are, "CPU" or "wall".
    model, fingerprint: NO_MODEL for arms that need none.
    """

    executions: int
    cpu_s: float
    seed: int
    runner: str
    test_timeout_s: float
    model: str
    fingerprint: str

    @property
    def clock(self) -> str:
        return "CPU" if self.runner == "local" else "wall"

    def without_model(self) -> Terms:
        return dataclasses.replace(self, model=NO_MODEL, fingerprint=NO_MODEL)


@dataclass(frozen=True, slots=True)
class Record:
    """What one arm made of one case. Seconds are CPU-seconds where the terms' clock says so.

    error: why there is no result; all that follows is then empty. word: of the verdict on what was published, or on the
    best that was not, or "". correct: what was published passes the hidden half too.
    """

    case: str
    kind: str
    arm: str
    terms: Terms
    code: str  # of bot and runners, a digest
    error: str = ""
    word: str = ""
    published: bool = False
    correct: bool = False
    withheld: bool = False  # a patch that passes everything was found suspect, and
    withheld_right: bool = False  # passes the hidden half too: what the checks cost
    right_function_first: bool = False
    told: bool = False  # the docstring shows every failing test of the hidden half
    origin: str = ""
    setting: str = ""
    rivals: int = 0  # passing bodies from which it was chosen
    executions: int = 0
    tokens: int = 0
    positions: int = 0
    drafted: int = 0  # tokens checked at once, and how many of them were kept
    accepted: int = 0
    changed: int = 0  # tokens that are not the plain model's, as far as that was looked at
    search_s: float = 0.0  # within the budget
    total_s: float = 0.0  # discovery and verdicts included
    wall_s: float = 0.0
    operators: tuple[str, ...] = ()
    diff: str = ""

    @property
    def wrong(self) -> bool:
        return self.published and not self.correct


@dataclass(frozen=True, slots=True)
class NoCase:
    """A fault that made no case."""

    case: str
    kind: str
    reason: str


Key = tuple[str, str]  # case, arm


@dataclass(slots=True)
class Results:
    """Records in a file, or in memory only when there is no path."""

    path: Path | None = None
    records: dict[Key, Record] = field(default_factory=dict)
    left_out: dict[str, NoCase] = field(default_factory=dict)

    @classmethod
    def of(cls, path: Path | None) -> Results:
        """Return what a file holds, of equal case and arm the last. Raises ValueError for what is no record."""
        found = cls(path)
        for record in _read(path) if path is not None and path.exists() else ():
            found._keep(record)
        return found

    def add(self, record: Record | NoCase) -> None:
        """Keep the record and write it at once, as one line."""
        self._keep(record)
        if self.path is not None:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(_line(record)) + "\n")

    def has(self, case: str, arm: str) -> bool:
        """Say whether there is a result; one that failed is tried again."""
        known = self.records.get((case, arm))
        return known is not None and not known.error

    def conflict(self, terms: Mapping[str, Terms]) -> str:
        """Return in what the file's records differ from the terms of the arms that are to be added, or ""."""
        for record in self.records.values():
            wanted = terms.get(record.arm)
            if wanted is None:
                continue
            for name, value in dataclasses.asdict(wanted).items():
                before = getattr(record.terms, name)
                if before != value:
                    return f"arm {record.arm} was measured with {name}={before}, and now it is {value}"
        return ""

    def _keep(self, record: Record | NoCase) -> None:
        if isinstance(record, NoCase):
            self.left_out[record.case] = record
        else:
            self.records[record.case, record.arm] = record


def _line(record: Record | NoCase) -> dict[str, Any]:
    return dataclasses.asdict(record)


def _read(path: Path) -> Iterator[Record | NoCase]:
    """Yield the records of a file; a last line that was cut off is dropped, as an interrupted run leaves it."""
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    if lines and not lines[-1].endswith("\n"):
        lines.pop()
        path.write_text("".join(lines), encoding="utf-8")
    for number, line in enumerate(lines, 1):
        try:
            fields = json.loads(line)
            if "reason" in fields:
                yield NoCase(**fields)
            else:
                operators = tuple(fields.pop("operators"))
                yield Record(**{**fields, "terms": Terms(**fields["terms"]), "operators": operators})
        except (ValueError, TypeError, KeyError) as error:
            raise ValueError(f"{path}, line {number}, is no record of this benchmark: {error}") from None


def code_digest(folders: Sequence[str] = ("bot", "runners")) -> str:
    """Return a short digest of the product's source files, so that a change between two records shows."""
    digest = hashlib.sha256()
    for path in sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py")):
        digest.update(str(path.relative_to(ROOT)).encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:12]
