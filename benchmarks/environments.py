"""Real source distributions: what `egcfg-fix env` and `egcfg-fix find` make of them, as one table.

    .venv/bin/python -m benchmarks.environments --packages DIR --out FILE.jsonl NAME ... [APP+LIB]
    .venv/bin/python -m benchmarks.environments --report FILE.jsonl

Each NAME is fetched with pip as a source distribution (unless DIR has it), unpacked, and given to both commands as they
are, in Docker. APP+LIB makes a repository of two projects of two source distributions, in which APP takes LIB from its
neighbour, and works on APP with --project. Rows are kept as they are made; one that is there already is not made again.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tarfile
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

TIMEOUT_S = 1800.0


def fetch(name: str, folder: Path) -> Path:
    """Return the unpacked source distribution of a package."""
    folder.mkdir(parents=True, exist_ok=True)
    pattern = f"{name.replace('-', '_')}-[0-9]*"
    if not list(folder.glob(f"{pattern}.tar.gz")):
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-binary", ":all:", "--no-deps", "--dest"]
        subprocess.run([*command, str(folder), name], check=True)
    archive = sorted(folder.glob(f"{pattern}.tar.gz"))[-1]
    target = folder / archive.name.removesuffix(".tar.gz")
    if not target.exists():
        with tarfile.open(archive) as opened:
            opened.extractall(folder, filter="data")
    return target


def monorepo(app: str, library: str, folder: Path) -> tuple[Path, str]:
    """Return (repository, project) made of two source distributions, the one taking the other from its neighbour."""
    root = folder / f"monorepo-{app}-{library}"
    if not root.exists():
        for name in (app, library):
            shutil.copytree(fetch(name, folder), root / "packages" / name)
        (root / "pyproject.toml").write_text('[tool.uv.workspace]\nmembers = ["packages/*"]\n')
        with (root / "packages" / app / "pyproject.toml").open("a") as file:
            file.write(f"\n[tool.uv.sources]\n{library} = {{workspace = true}}\n")
    return root, f"packages/{app}"


def measure(name: str, folder: Path) -> dict[str, Any]:
    """Return the row of one package: what was read and built, what the suite did."""
    app, _, library = name.partition("+")
    root, project = monorepo(app, library, folder) if library else (fetch(name, folder), "")
    options = ["--json", "--quiet", "--runner", "docker", *(["--project", project] if project else [])]
    environment = command("env", str(root), *options)
    found = command("find", str(root), *options)
    shown = library and f"{app} beside {library}"
    return {
        "name": shown or root.name,
        "key": name,
        "backend": backend(root / project),
        "environment": environment,
        "find": {key: found.get(key) for key in ("error", "counts", "summary", "discovery", "collected")},
        "tests": counts(found),
        "notes": environment.get("environment", {}).get("notes", []) if "environment" in environment else [],
    }


def backend(project: Path) -> str:
    """Return the build back end's name, as pyproject.toml has it."""
    data = tomllib.loads((project / "pyproject.toml").read_text()) if (project / "pyproject.toml").exists() else {}
    return str(data.get("build-system", {}).get("build-backend", "setuptools")).partition(".")[0]


def command(*arguments: str) -> dict[str, Any]:
    """Run egcfg-fix and return its document."""
    done = subprocess.run(
        [sys.executable, "-m", "bot", *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    try:
        return dict(json.loads(done.stdout))
    except ValueError:
        return {"error": {"message": done.stderr[-500:]}}


def counts(found: Mapping[str, Any]) -> dict[str, Any]:
    """Return collected, passed and failing tests of what `find` found, and why it found nothing."""
    if found.get("error"):
        return {"error": str(found["error"].get("message", ""))[:300]}
    discovery = found.get("discovery", found)
    failures = discovery.get("failures", [])
    return {
        "collected": discovery.get("collected"),
        "passed": discovery.get("passing"),
        "failing": len(failures),
        "first": [f"{f.get('node_id')}: {f.get('message', '')}"[:160] for f in failures[:3]],
        "flaky": len(discovery.get("flaky", [])),
    }


def table(rows: list[dict[str, Any]]) -> str:
    """Return the rows as a Markdown table."""
    lines = [
        "| package | back end | read | distributions | build, s | collected | passed | failing | remarks |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        plan, made = row["environment"].get("plan", {}), row["environment"].get("environment") or {}
        tests = row["tests"]
        read = "; ".join(f"{file.rpartition('/')[2]}: {said}" for file, said in plan.get("said", {}).items())
        remarks = [row["environment"].get("error", {}).get("message", ""), tests.get("error", ""), *row["notes"]]
        cells = [row["name"], row["backend"], read, len(made.get("installed", {}))]
        cells.append(round(made.get("seconds", 0)) if made.get("built") else "found")
        cells += [tests.get(key, "") for key in ("collected", "passed", "failing")]
        cells.append(" ".join(part.splitlines()[0] for part in remarks if part))
        lines.append("| " + " | ".join(str(cell).replace("|", "/") for cell in cells) + " |")
    return "\n".join(lines)


def main() -> None:
    """Measure what is asked for, then print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--packages", type=Path, default=Path("build/environments"))
    parser.add_argument("--out", type=Path)
    parser.add_argument("--report", type=Path)
    given = parser.parse_args()
    path = given.report or given.out or Path("build/environments.jsonl")
    rows = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    for name in given.names:
        if name not in [row["key"] for row in rows]:
            rows.append(measure(name, given.packages))
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("a") as file:
                file.write(json.dumps(rows[-1]) + "\n")
    print(table(rows))


if __name__ == "__main__":
    main()
