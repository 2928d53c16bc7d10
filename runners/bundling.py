"""The harness as one text: the modules of `runners/harness/` in the order in which one namespace executes them.

So nothing of ours has to be a file in the sandbox, or a module that code of the repository could import or change.
Between the parts only `from runners.harness.part import name` is allowed, of an earlier part and without another
name, so that dropping these lines changes nothing. Not part of what it makes.
"""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

FOLDER = Path(__file__).with_name("harness")
PACKAGE = "runners.harness"
PARTS = (
    "kept",
    "lines",
    "values",
    "tracing",
    "probes",
    "tape",
    "injected",
    "places",
    "coverage",
    "variants",
    "fingerprint",
    "outcomes",
    "syscalls",
    "processes",
    "pages",
    "child",
    "comparing",
    "failures",
    "options",
    "reporting",
    "plain",
    "apart",
    "tree",
    "appearance",
    "answering",
    "confines",
    "suite",
    "executions",
    "swapping",
    "zygote",
    "server",
)
"""Each imports only earlier ones."""


@cache
def harness_source() -> bytes:
    """Return the harness as the bootstrap expects it: its length in four bytes, then its text."""
    source = bundle({part: (FOLDER / f"{part}.py").read_text(encoding="utf-8") for part in PARTS}).encode()
    return len(source).to_bytes(4, "big") + source


def bundle(parts: dict[str, str]) -> str:
    """Return the texts of modules, by name, as the text of one."""
    joined = (f"# {PACKAGE}.{name}\n{_without_imports(text)}" for name, text in parts.items())
    return "from __future__ import annotations\n\n" + "\n".join(joined)


def _without_imports(text: str) -> str:
    """Return a part without what it imports from other parts, and without the future, which comes first of all."""
    lines = text.splitlines(keepends=True)
    for node in ast.parse(text).body:
        if isinstance(node, ast.ImportFrom) and (node.module == "__future__" or _is_part(node.module)):
            lines[node.lineno - 1 : node.end_lineno] = [""] * ((node.end_lineno or node.lineno) - node.lineno + 1)
    return "".join(lines)


def _is_part(module: str | None) -> bool:
    return module is not None and module.startswith(PACKAGE + ".")
