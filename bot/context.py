"""Puts together what a model may be told about one function: the failing tests, the failure, what the function needs.

Pure: files come through a callable. Knows how pytest names tests. `bot.decoding.selection` decides what of it is told,
`bot.decoding.prompt` cuts and arranges that.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence

from bot.decoding.prompt import MAX_TESTS, Part, Task
from bot.functions import FunctionNode, FunctionText
from bot.records import TestFailure
from bot.surroundings import Read, Repository, fixtures, surroundings
from bot.syntax import parsed

MORE_TESTS = 8  # tests that may be told, if there is room
FRAMES = 6  # innermost ones of a traceback
ASSERTION_CHARS = 1500


def build_task(
    failures: Sequence[TestFailure], function: FunctionText, source: bytes, read: Read, *, path: str = ""
) -> Task:
    """Return what is to be regenerated and why, with everything that may be told of it.

    failures: that guide, most telling first; nothing is told of any other test. source, path: of the function's file.
    """
    own = path or "function.py"
    repository = Repository(lambda name: source if name == own else read(name))
    texts = {node_id: source_of_test(node_id, read) for node_id in (failure.node_id for failure in failures)}
    tests = list(dict.fromkeys(text for text in texts.values() if text))
    executed = [key for failure in failures for key in failure.functions]
    parts = [*_said(failures[:1], repository), *surroundings(function, own, repository, executed)]
    parts += _fixtures([node_id for node_id, text in texts.items() if text], repository)
    parts += [Part("test", f"{number}", text) for number, text in enumerate(tests[1:MORE_TESTS], 2)]
    return Task(
        function=function.text,
        header_lines=function.header_lines,
        tests=tuple(tests[:MAX_TESTS]),
        failure=failure_line(failures[0]) if failures else "",
        parts=tuple(parts),
    )


def _said(failures: Sequence[TestFailure], repository: Repository) -> Iterator[Part]:
    """Yield what pytest says of the failed assertion, if it is more than a line, and the traceback with its lines."""
    for failure in failures:
        message = failure.message.strip("\n")[:ASSERTION_CHARS]
        if len([line for line in message.splitlines() if line.strip()]) > 1:
            yield Part("assertion", failure.exception or "message", message)
        shown = []
        for frame in failure.frames[-FRAMES:]:
            file = repository.file(frame.path)
            lines = file.text.split("\n") if file is not None else []
            line = lines[frame.line - 1].strip() if 0 < frame.line <= len(lines) else ""
            shown.append(f"{frame.path}:{frame.line} in {frame.function}" + (f": {line}" if line else ""))
        if shown:
            yield Part("traceback", f"{len(shown)} frames", "\n".join(shown), shown[-1])


def _fixtures(node_ids: Sequence[str], repository: Repository) -> Iterator[Part]:
    """Yield the fixtures that these tests ask for by name."""
    seen: set[str] = set()
    for node_id in node_ids:
        path, _, names = node_id.partition("::")
        file = repository.file(path)
        node = _found(file.tree, names.partition("[")[0].split("::")) if file is not None else None
        asked = [argument.arg for argument in [*node.args.args, *node.args.kwonlyargs]] if node is not None else []
        yield from fixtures(path, [name for name in asked if name not in seen], repository)
        seen.update(asked)


def failure_line(failure: TestFailure) -> str:
    """Return exception and message, up to its first empty line, as "AssertionError: assert 1 == 2"."""
    lines = [line.strip().removeprefix("E ").strip() for line in failure.message.strip().splitlines()]
    end = lines.index("") if "" in lines else len(lines)
    text = " ".join(" ".join(lines[:end]).split())
    name = failure.exception.rpartition(".")[2]
    if failure.kind == "timeout" and not name:
        name = "Timeout"
    return text if not name or text.startswith(name) else f"{name}: {text}" if text else name


# ------------------------------------------------------------------------------------------------------------ tests


def source_of_test(node_id: str, read: Read) -> str:
    """Return a test's own source, dedented, or "" if it cannot be found.

    A test that needs nothing but its parameters is given as the lines of its body, after lines that set them; one that
    takes fixtures as the whole function, after a comment with its parameters.
    """
    path, _, names = node_id.partition("::")
    names, _, case = names.partition("[")
    try:
        source = read(path)
        tree = parsed(source)
        text = source.decode("utf-8-sig")
    except Exception:  # a test that cannot be read is not told; it still fails
        return ""
    node = _found(tree, names.split("::"))
    if node is None:
        return ""
    parameters = _parameters(node, case.removesuffix("]"), text)
    arguments = {argument.arg for argument in [*node.args.args, *node.args.kwonlyargs]} - {"self", "cls"}
    lines = text.replace("\r\n", "\n").split("\n")
    settings = [f"{name} = {value}" for name, value in parameters if name in arguments]
    statements = node.body[1:] if ast.get_docstring(node) is not None and len(node.body) > 1 else node.body
    whole = arguments - {name for name, _ in parameters} or statements[0].lineno == node.lineno
    first = node.lineno if whole else statements[0].lineno
    setting = f"# {', '.join(settings)}\n" if whole and settings else "".join(f"{line}\n" for line in settings)
    return setting + _dedented(lines, first, node).rstrip() + "\n"


def _dedented(lines: Sequence[str], first: int, node: FunctionNode) -> str:
    """Return the lines of a function from `first` on at column 0, those inside strings as they are."""
    strings = [n for n in ast.walk(node) if isinstance(n, ast.JoinedStr | ast.Constant) and n.end_lineno != n.lineno]
    inside = {number for n in strings for number in range(n.lineno + 1, (n.end_lineno or n.lineno) + 1)}
    kept = list(lines[first - 1 : node.end_lineno])
    columns = len(kept[0]) - len(kept[0].lstrip())
    for number, line in enumerate(kept):
        if first + number not in inside:
            kept[number] = line[min(columns, len(line) - len(line.lstrip())) :]
    return "\n".join(kept)


def _found(tree: ast.Module, names: Sequence[str]) -> FunctionNode | None:
    """Return the function at the end of a path of classes. Of several definitions the last one counts."""
    body: list[ast.stmt] = tree.body
    for position, name in enumerate(names):
        last = position == len(names) - 1
        kind = FunctionNode if last else ast.ClassDef
        node = next((n for n in reversed(list(_defined(body))) if isinstance(n, kind) and n.name == name), None)
        if isinstance(node, ast.ClassDef):
            body = node.body
        else:
            return node if last and isinstance(node, FunctionNode) else None
    return None


def _defined(body: Sequence[ast.stmt]) -> Iterator[ast.stmt]:
    """Yield the statements of a block, and those under its `if`, `try` and `with`."""
    for node in body:
        yield node
        for block in (
            ("body", "orelse", "handlers", "finalbody") if isinstance(node, ast.If | ast.Try | ast.With) else ()
        ):
            for child in getattr(node, block, []):
                yield from _defined(child.body if isinstance(child, ast.ExceptHandler) else [child])


def _parameters(node: FunctionNode, case: str, text: str) -> list[tuple[str, str]]:
    """Return the names and source texts of the parameters of one case, as far as the decorators tell them."""
    if not case:
        return []
    decorators = [d for d in node.decorator_list if isinstance(d, ast.Call) and _is_parametrize(d) and len(d.args) > 1]
    rows = [(_argument_names(d.args[0]), _rows(d)) for d in decorators]
    if len(rows) == 1:
        names, values = rows[0]
        chosen = _row_of(case, names, values, text)
        return list(zip(names, chosen, strict=True)) if chosen else []
    found: list[tuple[str, str]] = []
    for names, values in rows:  # stacked decorators: the case joins one id of each
        fitting = [row for row in values if _id_of(row) and f"-{_id_of(row)}-" in f"-{case}-"]
        if len(fitting) == 1 and (chosen := _texts(fitting[0], names, text)):
            found += zip(names, chosen, strict=True)
    return found


def _is_parametrize(call: ast.Call) -> bool:
    return isinstance(call.func, ast.Attribute) and call.func.attr == "parametrize"


def _argument_names(node: ast.expr) -> list[str]:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return [name.strip() for name in node.value.split(",") if name.strip()]
    if isinstance(node, ast.List | ast.Tuple):
        return [part.value for part in node.elts if isinstance(part, ast.Constant) and isinstance(part.value, str)]
    return []


def _rows(call: ast.Call) -> list[ast.expr]:
    return list(call.args[1].elts) if isinstance(call.args[1], ast.List | ast.Tuple | ast.Set) else []


def _row_of(case: str, names: Sequence[str], rows: Sequence[ast.expr], text: str) -> list[str]:
    """Return the parameters of the row whose id is `case`: by a given id, by value, or by number ("x0", "a1-b1")."""
    for row in rows:
        if _id_of(row) == case:
            return _texts(row, names, text)
    digits = case[len(case.rstrip("0123456789")) :]
    guess = int(digits) if digits and len(digits) < 6 else -1
    parts = case.split("-")
    if 0 <= guess < len(rows) and len(parts) == len(names):
        row_parts = [_value_id(v) for v in _values(rows[guess], len(names))]
        if all(own in ("", part) for own, part in zip(row_parts, parts, strict=False)):
            return _texts(rows[guess], names, text)
    matching = [row for row in rows if _fits(row, parts, len(names))]
    return _texts(matching[0], names, text) if len(matching) == 1 else []


def _fits(row: ast.expr, parts: Sequence[str], count: int) -> bool:
    values = _values(row, count)
    return len(values) == len(parts) and all(_value_id(v) in ("", part) for v, part in zip(values, parts, strict=True))


def _id_of(row: ast.expr) -> str:
    """Return the id that pytest gives a row of plain values, or the one that pytest.param was given."""
    if isinstance(row, ast.Call):
        given = next((k.value for k in row.keywords if k.arg == "id"), None)
        if isinstance(given, ast.Constant):
            return str(given.value)
    values = _values(row, 2 if isinstance(row, ast.Tuple | ast.List | ast.Call) else 1)
    ids = [_value_id(value) for value in values]
    return "-".join(ids) if all(ids) else ""


def _values(row: ast.expr, count: int) -> list[ast.expr]:
    if isinstance(row, ast.Call) and isinstance(row.func, ast.Attribute | ast.Name):
        name = row.func.attr if isinstance(row.func, ast.Attribute) else row.func.id
        if name == "param":
            return list(row.args)
    if count > 1 and isinstance(row, ast.Tuple | ast.List):
        return list(row.elts)
    return [row]


def _value_id(node: ast.expr) -> str:
    """Return pytest's id for a plain value, or "" if it numbers such values."""
    try:
        value = ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
        return ""
    return str(value) if isinstance(value, str | int | float | complex) or value is None else ""


def _texts(row: ast.expr, names: Sequence[str], text: str) -> list[str]:
    values = _values(row, len(names))
    texts = [ast.get_source_segment(text, value) or "" for value in values]
    texts = [ast.unparse(v) if "\n" in t else t for t, v in zip(texts, values, strict=True)]
    return texts if len(texts) == len(names) and all(texts) else []
