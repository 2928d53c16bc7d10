"""The harness as one text: its parts fit together in one namespace, and need nothing that a sandbox may lack."""

from __future__ import annotations

import ast
import subprocess
import symtable
import sys
from collections.abc import Iterator

import pytest

from runners.bundling import FOLDER, PARTS, bundle, harness_source

TEXTS = {part: (FOLDER / f"{part}.py").read_text(encoding="utf-8") for part in PARTS}
OURS = ("action", "bot", "runners")
each_part = pytest.mark.parametrize("part", PARTS)


def top_level(text: str) -> Iterator[symtable.Symbol]:
    return iter(symtable.symtable(text, "part", "exec").get_symbols())


def bound(text: str) -> set[str]:
    """Return the names that a part binds itself."""
    return {one.get_name() for one in top_level(text) if one.is_assigned() and not one.is_imported()}


def imports(tree: ast.AST) -> list[ast.Import | ast.ImportFrom]:
    return [node for node in ast.walk(tree) if isinstance(node, (ast.Import, ast.ImportFrom))]


def packages(node: ast.Import | ast.ImportFrom) -> set[str]:
    names = [node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
    return {name.partition(".")[0] for name in names}


def source() -> str:
    framed = harness_source()
    assert int.from_bytes(framed[:4], "big") == len(framed) - 4
    return framed[4:].decode()


def test_every_module_of_the_package_is_a_part() -> None:
    assert sorted(path.stem for path in FOLDER.glob("*.py")) == sorted(["__init__", *PARTS])


def test_the_harness_is_written_in_the_syntax_of_python_3_9() -> None:
    ast.parse(source(), feature_version=(3, 9))


def test_no_name_is_bound_by_two_parts() -> None:
    owners: dict[str, str] = {}
    for part, text in TEXTS.items():
        for name in bound(text):
            assert owners.setdefault(name, part) == part, name


def test_an_imported_name_means_the_same_in_every_part() -> None:
    meanings: dict[str, str] = {}
    for part, text in TEXTS.items():
        for node in ast.parse(text).body:
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                for alias in node.names:
                    name, origin = alias.asname or alias.name, getattr(node, "module", None) or ""
                    if isinstance(node, ast.Import) and not alias.asname:
                        name = name.partition(".")[0]
                        meaning = name
                    else:
                        meaning = f"{origin}.{alias.name}"
                    assert meanings.setdefault(name, meaning) == meaning, part
    everywhere = set().union(*(bound(text) for text in TEXTS.values()))
    ours = {name for name, meaning in meanings.items() if meaning.startswith("runners.")}
    assert everywhere & set(meanings) == ours


@each_part
def test_a_part_imports_names_of_earlier_parts_by_these_names(part: str) -> None:
    tree = ast.parse(TEXTS[part])
    for node in imports(tree):
        if not packages(node) & set(OURS):
            continue
        assert isinstance(node, ast.ImportFrom)
        assert node in tree.body
        package, _, other = (node.module or "").rpartition(".")
        assert package == "runners.harness"
        assert PARTS.index(other) < PARTS.index(part)
        assert all(alias.asname is None for alias in node.names)
        assert {alias.name for alias in node.names} <= bound(TEXTS[other])


@each_part
def test_a_part_needs_nothing_but_the_standard_library_and_imports_pytest_late(part: str) -> None:
    tree = ast.parse(TEXTS[part])
    for node in imports(tree):
        late = {"pytest", "_pytest"} if node not in tree.body else set()
        assert packages(node) <= {*sys.stdlib_module_names, "runners", *late}


def test_the_text_holds_everything_the_parts_do_and_no_import_between_them() -> None:
    tree = ast.parse(source())
    kept = [node for part in PARTS for node in ast.parse(TEXTS[part]).body if not _dropped(node)]
    assert [ast.dump(node) for node in tree.body[1:]] == [ast.dump(node) for node in kept]
    assert ast.unparse(tree.body[0]) == "from __future__ import annotations"


def _dropped(node: ast.stmt) -> bool:
    return isinstance(node, ast.ImportFrom) and bool(packages(node) & {"runners", "__future__"})


def test_what_is_dropped_leaves_its_lines_empty_and_touches_no_text_that_looks_like_it() -> None:
    told = '"""from runners.harness.a import x"""\n\nfrom __future__ import annotations\n\n'
    second = told + "from runners.harness.a import (\n    x,\n)\n\ny = x\n"
    joined = bundle({"a": "x = 1\n", "b": second})
    assert '"""from runners.harness.a import x"""' in joined
    namespace: dict[str, object] = {}
    exec(compile(joined, "joined", "exec"), namespace)
    assert namespace["y"] == 1


def test_the_text_runs_where_nothing_of_ours_can_be_imported_and_leaves_no_module() -> None:
    script = (
        "import sys\n"
        "before = set(sys.modules)\n"
        "space = {'__name__': 'egcfg_harness', '__builtins__': __builtins__}\n"
        "exec(compile(sys.stdin.read(), '<egcfg-harness>', 'exec'), space)\n"
        "print(*{name.partition('.')[0] for name in set(sys.modules) - before} - sys.stdlib_module_names)\n"
        "print(callable(space['serve']))\n"
    )
    run = [sys.executable, "-I", "-S", "-c", script]
    done = subprocess.run(run, input=source(), capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.split("\n")[:2] == ["", "True"]
