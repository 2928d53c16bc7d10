"""Harvests library functions with realistic literal calls: those that their packages' own tests make.

A function is kept when its text, executed on its own beside the names of its module, gives the recorded results again.
The tests run as `training.package_tests` says; which packages is the caller's choice.
"""

from __future__ import annotations

import argparse
import ast
import hashlib
import json
import random
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from training.contamination import humanevalfix_filter
from training.corpus import Package, functions_in, installed_packages, save
from training.executed import study
from training.execution import Worker, is_literal
from training.functions import SourceFunction, identity
from training.package_tests import jobs_of, record, share, turns
from training.recorder import UNTOLD, Recorded

CALLS = 12  # kept for one function
FUNCTIONS = 200  # of one package, times its share


@dataclass(slots=True)
class Harvest:
    """What the jobs told, by function; turned into functions that run from their text alone."""

    packages: dict[str, Package]  # by the path of each of their files
    folders: Sequence[Path]
    machine: Sequence[str] = ()  # names of places of this machine; what names one is of no use elsewhere
    calls: dict[tuple[str, str, str], dict[str, str]] = field(
        default_factory=dict
    )  # (path, module, name): text: result

    def add(self, recorded: Iterable[Recorded]) -> None:
        """Take in calls, those aside that name places of this machine."""
        for r in recorded:
            if r.path in self.packages and not any(place in r.text + r.result for place in self.machine):
                self.calls.setdefault((r.path, r.module, r.name), {})[r.text] = r.result

    def functions(self, rng: random.Random) -> Iterator[tuple[SourceFunction, dict[str, str]]]:
        """Yield each function that has text as the corpus takes it, with all its calls, and their results."""
        texts: dict[str, dict[str, SourceFunction]] = {}
        for (path, module, name), calls in sorted(self.calls.items()):
            if len(calls) < 3:
                continue
            package = self.packages[path]
            if path not in texts:
                source = Path(path).read_text(encoding="utf-8", errors="replace")
                texts[path] = {}
                for function in functions_in(source, package.name, rng):
                    texts[path].setdefault(function.name, function)
            if name in texts[path]:
                prelude = self._prelude(path, module)
                yield replace(texts[path][name], calls=tuple(sorted(calls)), prelude=prelude), calls

    def _prelude(self, path: str, module: str) -> str:
        """Return source that gives a function the names of its module."""
        folder = next((str(f) for f in self.folders if Path(path).is_relative_to(f)), "")
        find = f"import sys\nif {folder!r} not in sys.path:\n    sys.path.insert(0, {folder!r})\n" if folder else ""
        names = "{k: v for k, v in vars(_module).items() if not k.startswith('__')}"
        return f"{find}import {module} as _module\nglobals().update({names})\n"


def telling(function: SourceFunction, results: dict[str, str], worker: Worker) -> SourceFunction | None:
    """Return the function with its most telling calls; None when from its text it does not do what was recorded."""
    case = study(function, worker)
    if case is None:
        return None
    by_result: dict[str, list[str]] = defaultdict(list)
    for call, result in zip(case.calls, case.results, strict=True):
        told = results[call]
        agrees = told == UNTOLD or (result.kind == "value" and same_value(told, result.text))
        if agrees and (result.kind != "value" or result.text != "None"):
            by_result[f"{result.kind} {result.text}"].append(call)
    kept: list[str] = []
    groups = [sorted(calls, key=len) for calls in by_result.values()]
    for turn in range(CALLS):
        kept += [group[turn] for group in groups if turn < len(group)]
    chosen = replace(function, calls=tuple(kept[:CALLS]))
    return chosen if study(chosen, worker) is not None else None


def same_value(one: str, other: str) -> bool:
    """True for reprs of equal literals; sets may be in any order."""
    if one == other:
        return True
    try:
        return bool(is_literal(one) and is_literal(other) and ast.literal_eval(one) == ast.literal_eval(other))
    except ValueError:
        return False


def kept_functions(
    harvest: Harvest, evaluation: Path | None, rng: random.Random
) -> tuple[list[SourceFunction], list[dict[str, object]]]:
    """Return the functions that hold and the licence rows of their packages."""
    contamination = humanevalfix_filter(evaluation)
    seen: set[str] = set()
    found: dict[str, list[SourceFunction]] = defaultdict(list)
    with Worker() as worker:
        for function, results in harvest.functions(rng):
            limit = FUNCTIONS * share(function.package)
            key = identity(function.text)
            if key in seen or contamination.refuses(function.text, function.name, function.package):
                continue
            made = telling(function, results, worker) if len(found[function.package]) < limit else None
            if made is not None:
                seen.add(key)
                found[function.package].append(made)
    rows = [manifest_row(p, len(found[p.name])) for p in _distinct(harvest.packages.values()) if found[p.name]]
    return [function for functions in found.values() for function in functions], rows


def _distinct(packages: Iterable[Package]) -> list[Package]:
    return list({package.name: package for package in packages}.values())


def manifest_row(package: Package, count: int) -> dict[str, object]:
    """Return the row in the form of the corpus manifest."""
    digest = hashlib.sha256()
    for path in package.files:
        if path.is_file() and path.stat().st_size <= 600_000:
            digest.update(path.read_bytes())
    row = {"package": package.name, "version": package.version, "licence": package.licence}
    return {**row, "sha256": digest.hexdigest(), "functions": count}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--packages", type=Path, nargs="*", default=[], help="folders filled by pip install --target")
    parser.add_argument("--tests", type=Path, help="folder with a folder of unit tests for each of some packages")
    parser.add_argument(
        "--out", type=Path, required=True, help="functions file to write; its manifest stands beside it"
    )
    parser.add_argument("--evaluation", type=Path, help="HumanEvalFix JSON lines to keep out")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=12, help="of running tests")
    options = parser.parse_args()
    rng = random.Random(options.seed)
    folders = [folder.resolve() for folder in options.packages]
    packages = list(installed_packages(folders))
    files = {str(path): package for package in packages for path in package.files}
    own_files = {package.name: frozenset(map(str, package.files)) for package in packages}
    jobs = [own for package in packages if (own := jobs_of(package, folders, options.tests, rng))]
    machine = (sys.base_prefix, sys.prefix, tempfile.gettempdir(), *map(str, folders))
    harvest = Harvest(files, folders, machine)
    end = time.monotonic() + 60 * options.minutes
    done = 0
    for job in turns(jobs):
        if time.monotonic() > end:
            break
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            harvest.add(record(job, own_files[job.package], folders, folder))
        done += 1
    print(f"{done} of {sum(map(len, jobs))} jobs, {len(harvest.calls)} functions called with literals", flush=True)
    functions, manifest = kept_functions(harvest, options.evaluation, rng)
    save(functions, options.out)
    name = f"{options.out.stem}-manifest.json"
    options.out.with_name(name).write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
    print(f"{len(functions)} functions from {len(manifest)} packages, {sum(len(f.calls) for f in functions)} calls")


if __name__ == "__main__":
    main()
