"""The import rules of the house, read off the syntax trees of its modules.

action -> bot -> runners and never back; a stage imports no other stage; each third-party package has one home; what is
slow to import is imported where it is used; what decides touches nothing but its arguments.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("action", "bot", "runners")  # from the top down
WEIGHTS = {  # imported when a model is loaded
    *(f"bot.models.{name}" for name in ("huggingface", "transformers_engine", "llama", "linear", "attention")),
    *(f"bot.models.{name}" for name in ("engine", "branch", "cache", "rows", "sampling")),
}
STAGES = ("discover", "localise", "generate", "verify", "publish")
HOMES = {  # third-party package -> the modules that may import it
    "click": {"bot.cli", "bot.invocation", "bot.delivery"},
    "docker": {"runners.docker", "runners.environment.image_store", "runners.environment.build_container"},
    "git": {"bot.git_program"},
    "github": {"bot.github"},
    "httpx": {"bot.models.server"},
    "jinja2": {"bot.report"},
    "ray": {"bot.scan"},
    "packaging": {f"runners.environment.{n}" for n in ("declared", "poetry", "python_version")},
    "rich": {"bot.terminal"},
    "safetensors": WEIGHTS,
    "torch": WEIGHTS,
    "transformers": WEIGHTS,
}
EVERYWHERE = {"numpy"}
SLOW = ("torch", "transformers", "ray", "github", "docker")  # never imported by `egcfg-fix --help`
PURE = (  # modules that only compute: what they know comes in as arguments
    *(
        f"bot.{name}"
        for name in ("discover", "localise", "generate", "verify", "gate", "apart", "overfitting", "context")
    ),
    *(f"bot.{name}" for name in ("function_text", "functions", "half_written", "logical_lines", "format_strings")),
    *(f"bot.{name}" for name in ("splicing", "patches", "surroundings", "syntax")),
    *(f"bot.{name}" for name in ("edits", "edit_view", "edit_expressions", "edit_operators", "edit_literals")),
    *(f"bot.{name}" for name in ("edit_values", "edit_statements", "edit_parameters", "binding", "value_hints")),
    *(f"bot.edit_{name}" for name in ("calls", "guards", "omissions", "results", "scope", "terms", "unbound")),
    *(f"bot.{name}" for name in ("spectrum", "groups", "causes", "order", "junit")),
    *(f"bot.{name}" for name in ("value_kinds", "budget_text", "markup", "patch_file", "wording")),
    "bot.records",
    "bot.errors",
    "bot.decoding",
)
WORLD = {"os", "subprocess", "socket", "shutil", "tempfile", "urllib", "http", "asyncio", "signal"}


@dataclass(frozen=True)
class Import:
    module: str  # the importing module
    name: str  # what is imported, dotted
    line: int
    at_import: bool  # executed when the module is imported, and not only seen by type checkers

    @property
    def package(self) -> str:
        return self.name.partition(".")[0]

    def __str__(self) -> str:
        return f"{self.module}:{self.line} imports {self.name}"


def modules() -> Iterator[tuple[str, Path]]:
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), path


def imports() -> list[Import]:
    found = []
    for module, path in modules():
        package = module if path.name == "__init__.py" else module.rpartition(".")[0]
        tree = ast.parse(path.read_text(encoding="utf-8"))
        found += [Import(module, name, line, eager) for name, line, eager in _walk(tree, package, True)]
    return found


def _walk(node: ast.AST, package: str, eager: bool) -> Iterator[tuple[str, int, bool]]:
    if isinstance(node, ast.Import):
        for alias in node.names:
            yield alias.name, node.lineno, eager
    elif isinstance(node, ast.ImportFrom):
        base = ".".join(package.split(".")[: len(package.split(".")) - node.level + 1]) if node.level else ""
        prefix = ".".join(part for part in (base, node.module) if part)
        for alias in node.names:
            yield f"{prefix}.{alias.name}", node.lineno, eager
    for name, value in ast.iter_fields(node):
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST):
                lazy = isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and name == "body"
                typing = isinstance(node, ast.If) and name == "body" and "TYPE_CHECKING" in ast.dump(node.test)
                yield from _walk(child, package, eager and not lazy and not typing)


IMPORTS = imports()


def broken(rule: Iterator[Import]) -> str:
    return "\n".join(map(str, rule))


def test_the_rules_see_imports_at_all() -> None:
    assert any(one.module == "bot.errors" and one.name.startswith("runners.runner") for one in IMPORTS)


def test_imports_go_from_action_to_bot_to_runners_and_never_back() -> None:
    def upwards(one: Import) -> bool:
        if one.package not in PACKAGES:
            return False
        return PACKAGES.index(one.package) < PACKAGES.index(one.module.partition(".")[0])

    assert not broken(one for one in IMPORTS if upwards(one))


def test_what_is_installed_imports_nothing_that_is_not() -> None:
    beside = {"benchmarks", "examples", "tests", "training"}
    assert not broken(one for one in IMPORTS if one.package in beside)


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_imports_no_other_stage_and_not_the_pipeline(stage: str) -> None:
    forbidden = {f"bot.{other}" for other in (*STAGES, "pipeline", "cli") if other != stage}
    mine = [one for one in IMPORTS if one.module == f"bot.{stage}"]
    assert not broken(one for one in mine if any(f"{one.name}.".startswith(f"{name}.") for name in forbidden))


def test_only_the_outermost_modules_know_the_pipeline() -> None:
    users = {one.module for one in IMPORTS if one.name.startswith("bot.pipeline")}
    called = {"bot.invocation", "bot.delivery", "bot.run_files"}
    shown = {"bot.json_documents", "bot.report", "bot.terminal", "bot.wording"}
    assert users <= {"bot.cli", *called, "bot.scan", "action.workflow", "action.annotations", *shown}


def test_runners_know_nothing_of_models() -> None:
    assert not broken(one for one in IMPORTS if one.module.startswith("runners") and one.package == "bot")


@pytest.mark.parametrize("package", sorted(HOMES))
def test_each_third_party_package_has_its_home(package: str) -> None:
    assert not broken(one for one in IMPORTS if one.package == package and one.module not in HOMES[package])


def test_every_other_import_is_of_the_standard_library() -> None:
    known = {*sys.stdlib_module_names, *PACKAGES, *HOMES, *EVERYWHERE}
    # The harness runs inside the sandbox, where pytest is the target's own.
    inside = [one for one in IMPORTS if one.module.startswith("runners.harness.") and not one.at_import]
    late = [one for one in inside if one.package in ("pytest", "_pytest")]
    assert not broken(one for one in IMPORTS if one.package not in known and one not in late)


def test_what_decides_does_not_touch_the_world() -> None:
    def pure(module: str) -> bool:
        return any(f"{module}.".startswith(f"{name}.") for name in PURE)

    assert not broken(one for one in IMPORTS if pure(one.module) and one.package in WORLD)


def test_the_command_line_imports_nothing_slow_before_it_is_needed() -> None:
    script = "import sys, bot.cli; print(*sys.modules)"
    run = [sys.executable, "-c", script]
    loaded = subprocess.run(run, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True).stdout.split()
    assert [name for name in SLOW if name in loaded] == []
