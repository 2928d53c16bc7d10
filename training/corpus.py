"""Collects correct functions from the standard library and from installed, permissively licensed packages.

Reads source files and distribution metadata only; imports nothing it collects. Writes `functions.jsonl`, the
licence manifest `manifest.json` and the contamination hits `contamination.txt`.
"""

from __future__ import annotations

import argparse
import ast
import hashlib
import importlib.metadata
import json
import random
import re
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from training.contamination import Filter, humanevalfix_filter
from training.functions import SourceFunction, docstring_node, identity, make_function, normalise

EVALUATION_PACKAGES = frozenset({"more-itertools", "toolz", "boltons", "sortedcontainers"})
PERMISSIVE = re.compile(r"\b(MIT|BSD|Apache|PSF|Python Software Foundation|ISC|HPND|0BSD|Unlicense)\b", re.IGNORECASE)
COPYLEFT = re.compile(r"\b(L?GPL|AGPL|MPL|Mozilla|General Public|EPL|CDDL|CC-BY-SA)", re.IGNORECASE)
PACKAGE_CAP = 2000
STANDARD_LIBRARY = "python-standard-library"
SKIPPED_PARTS = frozenset(
    [
        "site-packages",
        "lib2to3",
        "idlelib",
        "turtledemo",
        "__pycache__",
        "_vendor",
        "vendor",
        "vendored",
        "third_party",
        "externals",
        "extern",
        "_extern",
        "tests",
        "test",
        "testing",
    ]
)  # vendored code has licences of its own; tests are not what we repair


@dataclass(frozen=True, slots=True)
class Package:
    """A distribution whose functions are used: what the manifest says of it, and its files."""

    name: str
    version: str
    licence: str
    files: tuple[Path, ...]


def licence_of(metadata: Any) -> str:
    """Return the licence as the distribution states it, "" when it is not plainly permissive."""
    stated = [metadata.get("License-Expression") or "", (metadata.get("License") or "")[:100]]
    stated += [line for line in metadata.get_all("Classifier") or [] if line.startswith("License")]
    text = "; ".join(part for part in stated if part)
    return " ".join(text.split()) if PERMISSIVE.search(text) and not COPYLEFT.search(text) else ""


def installed_packages(folders: Iterable[Path] = ()) -> Iterator[Package]:
    """Yield the permissively licensed distributions in `folders`, beside the base interpreter and in this environment.

    folders: each as `pip install --target` fills it. Last comes the standard library.
    """
    stdlib = Path(sysconfig.get_path("stdlib"))
    seen = set()
    for place in (*folders, stdlib / "site-packages", Path(sysconfig.get_path("purelib"))):
        for found in importlib.metadata.distributions(path=[str(place)]):
            metadata: Any = found.metadata
            name = (metadata.get("Name") or "").lower().replace("_", "-")
            licence = licence_of(found.metadata)
            if not name or name in seen or name in EVALUATION_PACKAGES or not licence:
                continue
            seen.add(name)
            own = [f for f in found.files or () if f.suffix == ".py" and not SKIPPED_PARTS & set(f.parts)]
            files = [Path(str(found.locate_file(f))) for f in own]
            yield Package(name, found.version, licence, tuple(sorted(files)))
    modules = [f for f in stdlib.rglob("*.py") if not SKIPPED_PARTS & set(f.relative_to(stdlib).parts)]
    version = ".".join(map(str, sys.version_info[:3]))
    yield Package(STANDARD_LIBRARY, version, "PSF-2.0", tuple(sorted(modules)))


def functions_in(source: str, package: str, rng: random.Random) -> Iterator[SourceFunction]:
    """Yield the short plain functions and methods of one file, each normalised."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError):
        return
    lines = source.splitlines(keepends=True)
    for node in ast.walk(tree):
        if not isinstance(node, ast.Module | ast.ClassDef):
            continue
        for child in node.body:
            if not isinstance(child, ast.FunctionDef) or (child.end_lineno or 0) - child.lineno > 45:
                continue
            first = min([child.lineno, *(d.lineno for d in child.decorator_list)])
            doc = docstring_node(child)
            keep = doc is None or ((doc.end_lineno or 0) - doc.lineno < 12 and rng.random() < 0.4)
            text = normalise("".join(lines[first - 1 : child.end_lineno]), keep_docstring=keep)
            function = make_function(text, package) if text else None
            if function is not None and worth_learning(function):
                yield function


def worth_learning(function: SourceFunction) -> bool:
    """False for bodies with nothing to get wrong: `pass`, `raise`, one bare call, tests, long constant tables."""
    body = function.body
    if function.name.startswith(("test", "assert_")) or len(body.strip()) < 25:
        return False
    if len(body.splitlines()) == 1 and not re.search(r"[-+*/%<>=]|\bif\b|\band\b|\bor\b|\bnot\b|\bfor\b", body):
        return False
    return max(map(len, body.splitlines())) <= 100


def collect(
    packages: Iterable[Package], contamination: Filter, seed: int
) -> tuple[list[SourceFunction], list[dict[str, object]]]:
    """Return the distinct functions and the manifest rows (package, version, licence, sha256 of the files, count)."""
    rng = random.Random(seed)
    seen: set[str] = set()
    kept: list[SourceFunction] = []
    manifest: list[dict[str, object]] = []
    for package in packages:
        digest = hashlib.sha256()
        found: list[SourceFunction] = []
        for path in package.files:
            if "test" in path.name or not path.is_file() or path.stat().st_size > 600_000:
                continue
            data = path.read_bytes()
            digest.update(data)
            for function in functions_in(data.decode("utf-8", "replace"), package.name, rng):
                key = identity(function.text)
                if key not in seen and not contamination.refuses(function.text, function.name, package.name):
                    seen.add(key)
                    found.append(function)
        rng.shuffle(found)
        found = found[: 3 * PACKAGE_CAP if package.name == STANDARD_LIBRARY else PACKAGE_CAP]
        kept += found
        if found:
            row = {"package": package.name, "version": package.version, "licence": package.licence}
            manifest.append({**row, "sha256": digest.hexdigest(), "functions": len(found)})
    return kept, manifest


def save(functions: Iterable[SourceFunction], path: Path) -> None:
    path.write_text("".join(json.dumps(asdict(f)) + "\n" for f in functions), encoding="utf-8")


def load(path: Path) -> list[SourceFunction]:
    records = map(json.loads, path.read_text(encoding="utf-8").splitlines())
    return [SourceFunction(**{**record, "calls": tuple(record["calls"])}) for record in records]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="working folder for data")
    parser.add_argument("--evaluation", type=Path, help="HumanEvalFix JSON lines to keep out")
    parser.add_argument(
        "--packages", type=Path, nargs="*", default=[], help="further folders, each as `pip install --target` fills it"
    )
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    contamination = humanevalfix_filter(options.evaluation)
    functions, manifest = collect(installed_packages(sorted(options.packages)), contamination, options.seed)
    save(functions, options.out / "functions.jsonl")
    (options.out / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
    hits = "".join(f"{package}\t{name}\t{reason}\n" for package, name, reason in contamination.hits)
    (options.out / "contamination.txt").write_text(hits, encoding="utf-8")
    print(f"{len(functions)} functions from {len(manifest)} packages; {len(contamination.hits)} refused")


if __name__ == "__main__":
    main()
