"""Decides what a model is told about one function: the failing tests' own sources, the failure, what surrounds it.

Pure: files come through a callable. Knows how pytest names tests, and nothing of prompts: `bot.decoding.prompt` cuts
and arranges what is put together here.
"""

from __future__ import annotations

import ast
import textwrap
from collections.abc import Callable, Iterator, Sequence

from bot.decoding.prompt import MAX_TESTS, Task
from bot.functions import FunctionNode, FunctionText, functions_in
from bot.records import TestFailure

Read = Callable[[str], bytes]  # path -> the file's bytes; any exception means that it cannot be read

CONTEXT_CHARS = 3000
ENCLOSING_LINES = 40  # an enclosing function is shown if it is at most so long, else its signature
CALLEE_LINES = 12  # a callee's body is shown if it is at most so long, else its signature


def build_task(
    failures: Sequence[TestFailure], function: FunctionText, source: bytes, read: Read, *, budget: int = CONTEXT_CHARS
) -> Task:
    """Return what is to be regenerated and why.

    failures: that guide, most telling first. source: the function's file. budget: characters of context.
    """
    tests = [text for failure in failures if (text := source_of_test(failure.node_id, read))]
    return Task(
        function=function.text,
        header_lines=function.header_lines,
        tests=tuple(dict.fromkeys(tests))[:MAX_TESTS],
        failure=failure_line(failures[0]) if failures else "",
        context=surroundings(function, source, budget),
    )


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
        tree = ast.parse(source)
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


# --------------------------------------------------------------------------------------------------------- context


def surroundings(function: FunctionText, source: bytes, budget: int = CONTEXT_CHARS) -> str:
    """Return what the function needs of its file, in the file's order, within `budget` characters.

    Chosen in this order while there is room: imports and constants that it mentions, the line of its class and its
    `__init__`, the function around it, the functions of the file that it calls (whole if short, else their signatures).
    """
    try:
        tree = ast.parse(source)
        text = source.decode("utf-8-sig")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return ""
    mentioned = _mentioned(function)
    owner = function.qualname.rpartition(".")[0]
    pieces: list[tuple[int, str]] = []
    for node in tree.body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = {(alias.asname or alias.name).partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            names = {n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
        else:
            continue
        if names & mentioned:
            pieces.append((node.lineno, (ast.get_source_segment(text, node) or "") + "\n"))
    functions = functions_in(source)
    class_node = _class(tree, owner)
    if class_node is not None:
        pieces.append((class_node.lineno, _class_text(class_node, owner, functions, text, function)))
    outermost, nested, _ = function.qualname.partition(".<locals>.")
    for other in functions:
        if nested and other.qualname == outermost and other.first_line <= function.first_line <= other.end_line:
            short = other.text.count("\n") <= ENCLOSING_LINES
            pieces.append((other.first_line, other.text if short else _signature(other)))
            continue
        beside = other.qualname.rpartition(".")[0]
        if other.first_line != function.first_line and other.name in mentioned and beside in ("", owner):
            if other.name == "__init__" or (beside == owner and class_node is not None):
                continue
            pieces.append((other.first_line, _shown(other)))
    kept: list[tuple[int, str]] = []
    for line, piece in pieces:
        if len(piece) <= budget:
            kept.append((line, piece))
            budget -= len(piece)
    return "".join(piece for _, piece in sorted(kept, key=lambda item: item[0]))


def _class_text(
    node: ast.ClassDef, owner: str, functions: Sequence[FunctionText], text: str, function: FunctionText
) -> str:
    """Return the class's first line, its plain attributes, `__init__`, and the methods as signatures."""
    first = text.split("\n")[node.lineno - 1].strip()
    header = first if first.endswith(":") else f"class {node.name}:"
    lines = [header + "\n"]
    for child in node.body:
        if isinstance(child, ast.Assign | ast.AnnAssign):
            lines.append(textwrap.indent(ast.get_source_segment(text, child) or "", "    ") + "\n")
    for method in functions:
        if method.qualname.rpartition(".")[0] == owner and method.first_line != function.first_line:
            short = method.name == "__init__" or (
                method.name in _mentioned(function) and method.text.count("\n") <= CALLEE_LINES
            )
            lines.append(textwrap.indent(method.text if short else _signature(method), "    "))
    return "".join(lines)


def _class(tree: ast.Module, qualname: str) -> ast.ClassDef | None:
    body: list[ast.stmt] = tree.body
    found: ast.ClassDef | None = None
    for name in qualname.split(".") if qualname else []:
        found = next((node for node in body if isinstance(node, ast.ClassDef) and node.name == name), None)
        if found is None:
            return None
        body = found.body
    return found


def _shown(function: FunctionText) -> str:
    return function.text if function.text.count("\n") <= CALLEE_LINES else _signature(function)


def _signature(function: FunctionText) -> str:
    """Return decorators and signature with "..." for a body."""
    lines = function.text.split("\n")
    node = ast.parse(function.text).body[0]
    assert isinstance(node, FunctionNode)
    end = node.body[0].lineno - 1
    header = "\n".join(lines[:end]).rstrip()
    return f"{header}\n    ...\n" if end else f"{lines[0]}\n"


def _mentioned(function: FunctionText) -> set[str]:
    nodes = list(ast.walk(ast.parse(function.text)))
    names = {node.id for node in nodes if isinstance(node, ast.Name)}
    return names | {node.attr for node in nodes if isinstance(node, ast.Attribute)}
