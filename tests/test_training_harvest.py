"""Harvesting: what a package's own tests call becomes calls of functions that run from their text alone."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from training.corpus import installed_packages, load, save
from training.executed import failing_cases, study
from training.execution import Worker
from training.functions import SourceFunction
from training.harvest import Harvest, kept_functions, same_value
from training.package_tests import Job, jobs_of, record
from training.recorder import Recorded, is_plain

MODULE = '''\
"""
>>> [widths(["a", "bcd"]), widths([]), widths(["xy"], 3)]
[[1, 3], [], [3]]
>>> [drain([3, 1, 2]), drain([5]), drain([])]
[[1, 2, 3], [5], []]
>>> [list(pairs([1, 2, 3])), list(pairs("ab")), list(pairs([]))]
[[(1, 2), (2, 3)], [('a', 'b')], []]
>>> [share(1, of=4), share(1, of=2), share(3, of=4), share(2)]
[0.25, 0.5, 0.75, 1.0]
>>> share(1, of=0)
Traceback (most recent call last):
ValueError: nothing to share
>>> [applied(len, "abc"), applied(len, "a"), applied(len, "")]
[3, 1, 0]
>>> Box(2).scaled(3), Box(2).scaled(4), Box(2).scaled(5)
(6, 8, 10)
"""

_LEAST = 1


def widths(words, least=_LEAST):
    return [max(len(word), least) for word in words]


def drain(items):
    found = []
    while items:
        found.append(items.pop(items.index(min(items))))
    return found


def pairs(items):
    before = _MISSING
    for item in items:
        if before is not _MISSING:
            yield before, item
        before = item


def share(part, *, of=2):
    if of == 0:
        raise ValueError("nothing to share")
    return part / of


def applied(function, value):
    result = function(value)
    return result if value else 0


class Box:
    def __init__(self, size):
        self.size = size

    def scaled(self, factor):
        return self.size * factor


_MISSING = object()
'''
DYING = '"""\n>>> [doubled(1), doubled(2), doubled(3)]\n[2, 4, 6]\n>>> import os; os._exit(1)\n"""\n'
DYING += "def doubled(number):\n    return number * 2 if number else 0\n"
METADATA = "Metadata-Version: 2.1\nName: shapes\nVersion: 1.0\nLicense: MIT\n"
FILES = {"shapes.py": MODULE, "dying.py": DYING, "shapes-1.0.dist-info/METADATA": METADATA}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as `pip install --target` fills it, with one package."""
    folder = tmp_path_factory.mktemp("packages")
    record_lines = "".join(f"{name},,\n" for name in FILES)
    for name, text in {**FILES, "shapes-1.0.dist-info/RECORD": record_lines}.items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def harvest(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Harvest:
    package = next(installed_packages([folder]))
    assert package.name == "shapes"
    files = frozenset(map(str, package.files))
    harvest = Harvest(dict.fromkeys(files, package), [folder], machine=())
    for job in jobs_of(package, [folder], None, random.Random(0)):
        assert job.kind == "pytest"
        for target in job.targets:
            alone = Job(job.package, job.kind, (target,))
            harvest.add(record(alone, files, [folder], str(tmp_path_factory.mktemp("job"))))
    return harvest


@pytest.fixture(scope="module")
def functions(harvest: Harvest) -> dict[str, SourceFunction]:
    found, rows = kept_functions(harvest, None, random.Random(0))
    assert [(row["package"], row["licence"], row["functions"]) for row in rows] == [("shapes", "MIT", len(found))]
    return {function.name: function for function in found}


def test_functions_are_kept_with_the_calls_that_the_tests_make(functions: dict[str, SourceFunction]) -> None:
    assert set(functions) == {"widths", "drain", "pairs", "share", "doubled"}
    assert sorted(functions["widths"].calls) == ["widths(['a', 'bcd'])", "widths(['xy'], 3)", "widths([])"]


def test_arguments_are_those_from_before_the_body_changed_them(functions: dict[str, SourceFunction]) -> None:
    assert sorted(functions["drain"].calls) == ["drain([3, 1, 2])", "drain([5])", "drain([])"]


def test_a_generator_is_called_through_list_and_only_once_for_each_start(
    functions: dict[str, SourceFunction],
) -> None:
    assert sorted(functions["pairs"].calls) == ["list(pairs('ab'))", "list(pairs([1, 2, 3]))", "list(pairs([]))"]


def test_defaults_are_left_out_and_exceptions_count_as_results(functions: dict[str, SourceFunction]) -> None:
    assert {"share(2)", "share(1, of=4)", "share(1, of=0)"} <= set(functions["share"].calls)


def test_a_job_that_dies_keeps_what_it_told(functions: dict[str, SourceFunction]) -> None:
    assert sorted(functions["doubled"].calls) == ["doubled(1)", "doubled(2)", "doubled(3)"]


def test_functions_run_from_their_text_with_the_private_names_of_their_module(
    functions: dict[str, SourceFunction], tmp_path: Path
) -> None:
    save(functions.values(), tmp_path / "harvest.jsonl")
    with Worker() as worker:
        for function in load(tmp_path / "harvest.jsonl"):
            case = study(function, worker)
            assert case is not None
            assert len(case.calls) >= 3
        assert list(failing_cases(functions["widths"], worker, random.Random(0), 2))


def test_a_function_whose_text_does_not_give_the_recorded_results_is_dropped(harvest: Harvest) -> None:
    wrong = {key: dict.fromkeys(calls, "'else'") for key, calls in harvest.calls.items() if key[2] == "widths"}
    assert wrong
    assert kept_functions(Harvest(harvest.packages, harvest.folders, calls=wrong), None, random.Random(0)) == ([], [])


def test_calls_that_name_places_of_this_machine_are_left_out(harvest: Harvest, folder: Path) -> None:
    other = Harvest(harvest.packages, [folder], machine=("bcd",))
    for (path, module, name), calls in harvest.calls.items():
        other.calls[path, module, name] = {}
        other.add(_recorded(path, module, name, calls))
    told = [text for calls in other.calls.values() for text in calls]
    assert told
    assert not any("bcd" in text for text in told)


def _recorded(path: str, module: str, name: str, calls: dict[str, str]) -> list[Recorded]:
    return [Recorded(path, module, name, text, result) for text, result in calls.items()]


def test_only_small_values_of_exact_builtin_types_are_plain() -> None:
    class Text(str):
        pass

    assert is_plain([1, (2.5, None), {"a": {b"x"}}])
    for value in (float("nan"), Text("a"), [object()], list(range(100)), "a" * 1000, len, [[[[[[1]]]]]]):
        assert not is_plain(value)


def test_results_are_compared_as_values() -> None:
    assert same_value("{'a', 'b'}", "{'b', 'a'}")
    assert not same_value("[1, 2]", "[2, 1]")
    assert not same_value("<object>", "<other>")
