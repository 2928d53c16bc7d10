"""Edits of statements: returns, assignments, branches; statements deleted, moved, put under a condition, inserted.

Each function here yields proposals; a proposal may come to nothing or not compile.
"""

from __future__ import annotations

import ast
import itertools
from collections.abc import Iterator, Sequence

from bot.binding import BINARY, FORMATTED
from bot.edit_operators import ARITHMETIC, BITWISE, NEAR
from bot.edit_view import NAMES_PER_SITE, Block, FunctionView, Proposals, simple_conditions

EXCEPTIONS = ("ValueError", "TypeError", "KeyError", "IndexError", "Exception", "AttributeError", "RuntimeError",
               "ZeroDivisionError", "StopIteration", "LookupError", "OSError", "NotImplementedError")  # fmt: skip


def _edit_statement(view: FunctionView, node: ast.AST) -> Proposals:
    if isinstance(node, ast.Return):
        yield from _edit_return(view, node)
    elif isinstance(node, ast.AugAssign):
        yield from _edit_augmented(view, node)
    elif isinstance(node, ast.Assign) and isinstance(node.targets[0], (ast.Name, ast.Attribute, ast.Subscript)):
        yield from _edit_assignment(view, node)
    elif isinstance(node, (ast.Break, ast.Continue, ast.Pass)):
        for word in ("break", "continue", "pass", "return"):
            yield "CONTROL", 1.0, ((view.start(node), view.end(node), word),)
    elif isinstance(node, ast.While):
        yield "CONTROL", 1.0, view.replace(node.test, "True")
        yield "CONTROL", 0.5, ((view.start(node), view.start(node) + 5, "if"),)
    elif isinstance(node, ast.If):
        yield from _edit_if(view, node)
    elif isinstance(node, ast.ExceptHandler) and isinstance(node.type, ast.Name):
        for name in EXCEPTIONS:
            yield "EXC", 1.0, ((view.start(node.type), view.end(node.type), name),)
    elif isinstance(node, ast.Raise) and node.exc is not None:
        callee = node.exc.func if isinstance(node.exc, ast.Call) else node.exc
        for name in EXCEPTIONS if isinstance(callee, ast.Name) else ():
            yield "EXC", 1.0, ((view.start(callee), view.end(callee), name),)
    elif isinstance(node, ast.Expr) and isinstance(node.value, (ast.Yield, ast.YieldFrom)) and node.value.value:
        value = view.raw(node.value.value)
        other = "yield" if isinstance(node.value, ast.YieldFrom) else "yield from"
        for word in (other, "return"):
            yield "RETURN", 1.0, ((view.start(node), view.end(node), f"{word} {value}"),)
    elif isinstance(node, ast.Expr) and isinstance(node.value, (ast.Call, ast.Await)):
        yield "RETURN", 0.7, ((view.start(node), view.start(node), "return "),)
        yield from _assign_call(view, node.value)
    if isinstance(node, (ast.Assign, ast.AugAssign, ast.Return, ast.Expr, ast.If, ast.While, ast.For)):
        yield from _exchange_names(view, node)


def _assign_call(view: FunctionView, node: ast.expr) -> Proposals:
    if isinstance(node, ast.Call) and node.args:
        targets = [*node.args[:2], *([node.func.value] if isinstance(node.func, ast.Attribute) else [])]
        for target in targets:
            if isinstance(target, (ast.Name, ast.Attribute, ast.Subscript)):
                yield "STMT_ADD", 0.3, ((view.start(node), view.start(node), f"{view.raw(target)} = "),)


def _edit_return(view: FunctionView, node: ast.Return) -> Proposals:
    if node.value is None:
        for text in ("False", "True", "None", "[]", "0", *view.variables[:8]):
            yield "RETURN", 0.7, ((view.end(node), view.end(node), f" {text}"),)
        return
    own = view.raw(node.value)
    constants = {"None": 0.6, "[]": 0.6, "True": 0.6, "False": 0.6, "0": 0.6, "''": 0.3, "1": 0.4, "-1": 0.4, "{}": 0.2}
    for text, share in {**constants, **dict.fromkeys(view.operands[:NAMES_PER_SITE], 1.0)}.items():
        if text != own:
            yield "RETURN", share, ((view.start(node.value), view.end(node.value), text),)
    yield "RETURN", 0.8, ((view.start(node), view.start(node) + 6, "yield"),)
    yield "RETURN", 0.8, ((view.start(node), view.end(node), own),)
    if view.guess(node.value) in ("bool", ""):
        yield "RETURN", 0.8, view.replace(node.value, f"not {view.source(node.value, 5)}", 5)
    for name in view.variables[:4]:
        yield "RETURN", 0.15, ((view.start(node.value), view.end(node.value), f"{view.source(node.value, 3)}, {name}"),)


def _edit_augmented(view: FunctionView, node: ast.AugAssign) -> Proposals:
    symbol = BINARY[type(node.op)][0]
    if symbol == "@":
        return
    position = view.text.index(symbol + "=", view.end(node.target))
    place = (position, position + len(symbol) + 1)
    for other in ARITHMETIC if symbol in ARITHMETIC else (*BITWISE, "+", "-"):
        if other != symbol:
            yield "BIN", 2.5 if other in NEAR[symbol] else 0.7, ((*place, f"{other}="),)
    yield "BIN", 1.5, ((*place, "="),)
    value = view.source(node.value, 12)
    yield (
        "OPERAND_SWAP",
        1.0,
        ((*place, "="), *view.replace(node.value, f"{value} {symbol} {view.raw(node.target)}", 11)),
    )


def _edit_assignment(view: FunctionView, node: ast.Assign) -> Proposals:
    target = view.raw(node.targets[0])
    position = view.text.find("=", view.end(node.targets[-1]))
    kind = view.guess(node.value)
    symbols = ("+", "-", "*", "//", "|") if kind in ("num", "") else ("+",) if kind in ("str", "list") else ("|", "&")
    for symbol in symbols if len(node.targets) == 1 else ():
        yield "BIN", 1.0, ((position, position + 1, f"{symbol}="),)
    if isinstance(node.value, ast.Constant) or (
        isinstance(node.value, (ast.List, ast.Dict)) and len(view.raw(node.value)) < 3
    ):
        own = view.raw(node.value)
        values = ["0", "1", "-1", "None", "[]", "''", "{}", "set()", "True", "False", 'float("inf")', 'float("-inf")']
        for name in view.parameters[:4]:
            values += [name, f"{name}[0]", f"len({name})"]
        for text in values:
            if text != own and text != target:
                yield "INIT", 1.0, ((view.start(node.value), view.end(node.value), text),)
    if isinstance(node.targets[0], ast.Name) and view.hints.get(target, kind) in ("num", "str", "list", ""):
        for text in (f"max({target}, ", f"min({target}, "):
            yield "CALL_ADD", 0.5, view.replace(node.value, f"{text}{view.source(node.value)})")


def _edit_if(view: FunctionView, node: ast.If) -> Proposals:
    begin = view.start(node)
    if view.text.startswith("elif", begin):
        yield "CONTROL", 1.0, ((begin, begin + 4, "if"),)
    elif view.text.startswith("if", begin):
        yield "CONTROL", 0.3, ((begin, begin + 2, "while"),)
        yield "CONTROL", 0.7, ((begin, begin + 2, "elif"),)
    for text, kept in (("True", node.body), ("False", node.orelse)):
        if not _is_dropped_alone(view, node, kept):
            yield "COND_DROP", 0.7, view.replace(node.test, text)
    if node.orelse and not view.text.startswith("elif", view.start(node.orelse[0])):
        one, other = view.whole_lines(node.body), view.whole_lines(node.orelse)
        if one and other and node.body[0].col_offset == node.orelse[0].col_offset:
            text_one, text_other = view.text[slice(*one)], view.text[slice(*other)]
            yield "CONTROL", 2.0, ((*one, text_other), (*other, text_one))


def _is_dropped_alone(view: FunctionView, node: ast.If, kept: list[ast.stmt]) -> bool:
    """True where `_drop_guards` or `_delete` offers what is left of an `if` of which only one branch is kept."""
    if view.text.startswith("elif", view.start(node)) or not view.whole_lines([node]):
        return False
    if not kept:
        return True
    chained = view.text.startswith("elif", view.start(kept[0]))
    return not chained and view.whole_lines(kept) is not None and not _has_multiline_string([node])


def _exchange_names(view: FunctionView, node: ast.stmt) -> Proposals:
    """Exchange two names everywhere in a statement, or replace all uses of one name in it by another."""
    roots: list[ast.AST] = [node]
    if isinstance(node, (ast.If, ast.While)):
        roots = [node.test]
    elif isinstance(node, ast.For):
        roots = [node.target, node.iter]
    places: dict[str, list[ast.Name]] = {}
    for root in roots:
        for name in ast.walk(root):
            if isinstance(name, ast.Name) and name in view.parents and name.id in view.variables:
                places.setdefault(name.id, []).append(name)
    for one, other in itertools.combinations(list(places)[:5], 2):
        spans = [(view.start(name), view.end(name), other) for name in places[one]]
        yield "EXCHANGE", 1.0, (*spans, *((view.start(name), view.end(name), one) for name in places[other]))
    for one, uses in places.items():
        for replacement in view.variables[:8] if len(uses) > 1 else ():
            if replacement != one:
                yield "VAR", 0.4, tuple((view.start(name), view.end(name), replacement) for name in uses)


def _has_multiline_string(statements: Sequence[ast.stmt]) -> bool:
    return any(
        isinstance(node, ast.expr) and isinstance(node, (ast.Constant, *FORMATTED)) and node.lineno != node.end_lineno
        for statement in statements
        for node in ast.walk(statement)
    )


def _shift(lines: str, by: int) -> str:
    """Return whole lines indented `by` more columns, or less if negative."""
    if by >= 0:
        return "".join(" " * by + line if line.strip() else line for line in lines.splitlines(keepends=True))
    return "".join(line[-by:] if line[:-by].isspace() else line for line in lines.splitlines(keepends=True))


def _edit_block(view: FunctionView, block: Block) -> Proposals:
    statements = block.statements
    yield from _delete(view, statements)
    yield from _swap_neighbours(view, statements)
    yield from _indent_and_dedent(view, block)
    yield from _insert(view, block)
    yield from _drop_guards(view, statements)


def _delete(view: FunctionView, statements: list[ast.stmt]) -> Proposals:
    for statement in statements:
        lines = view.whole_lines([statement])
        if lines is None or len(statements) == 1:
            yield "STMT_DEL", 0.7, ((view.start(statement), view.end(statement), "pass"),)
        else:
            yield "STMT_DEL", 1.0, ((*lines, ""),)


def _swap_neighbours(view: FunctionView, statements: list[ast.stmt]) -> Proposals:
    whole = [view.whole_lines([statement]) for statement in statements]
    for one, other in itertools.pairwise(whole):
        if one and other:
            texts = view.text[slice(*one)], view.text[slice(*other)]
            if texts[1].endswith("\n"):
                yield "STMT_MOVE", 1.0, ((*one, texts[1]), (*other, texts[0]))
    for source, target in itertools.product(range(len(statements)), repeat=2):  # move further than one place
        here, there = whole[source], whole[target]
        if here and there and abs(source - target) > 1 and len(statements) <= 8:
            yield "STMT_MOVE", 0.3, ((*here, ""), (there[0], there[0], view.text[slice(*here)]))


def _indent_and_dedent(view: FunctionView, block: Block) -> Proposals:
    statements = block.statements
    for index, statement in enumerate(statements):
        lines = view.whole_lines(statements[index:])
        if block.owner and index and lines and not _has_multiline_string(statements[index:]):
            outer = view.offset(block.owner.lineno, block.owner.col_offset)
            step = statement.col_offset - block.owner.col_offset
            moved = _shift(view.text[slice(*lines)], -step)
            end = view.end(block.owner)
            if lines[1] >= end and outer >= view.body_start:
                yield "STMT_MOVE", 1.5, ((*lines, moved),)
            elif (after := view.whole_lines([block.owner])) is not None:
                yield "STMT_MOVE", 1.0, ((*lines, ""), (after[1], after[1], moved))
        deeper = _last_block(statement)
        for stop in range(index + 2, min(index + 4, len(statements) + 1)):
            following = statements[index + 1 : stop]
            lines = view.whole_lines(following)
            if deeper and lines and not _has_multiline_string(following):
                by = deeper[0].col_offset - following[0].col_offset
                moved = _shift(view.text[slice(*lines)], by)
                if deeper[0].lineno != statement.lineno:
                    yield "STMT_MOVE", 1.5, ((*lines, moved),)
                    last = view.whole_lines(deeper[-1:])
                    if last and isinstance(deeper[-1], (ast.Return, ast.Raise, ast.Break, ast.Continue)):
                        yield "STMT_MOVE", 0.5, ((last[0], last[0], moved), (*lines, ""))


def _last_block(statement: ast.stmt) -> list[ast.stmt]:
    for name in ("finalbody", "orelse", "handlers", "body"):
        block = getattr(statement, name, None)
        if isinstance(block, list) and block:
            return block[-1].body if name == "handlers" else block
    return []


def _drop_guards(view: FunctionView, statements: list[ast.stmt]) -> Proposals:
    """Replace `if c: body` by its body; put a statement under a condition of the function."""
    for statement in statements:
        lines = view.whole_lines([statement])
        if lines is None or _has_multiline_string([statement]):
            continue
        if isinstance(statement, ast.If) and not view.text.startswith("elif", view.start(statement)):
            for branch in (statement.body, statement.orelse):
                inner = view.whole_lines(branch) if branch else None
                if inner:
                    by = statement.col_offset - branch[0].col_offset
                    yield "COND_DROP", 1.0, ((*lines, _shift(view.text[slice(*inner)], by)),)
        indent = " " * statement.col_offset
        body = _shift(view.text[slice(*lines)], 4)
        for condition, share in _guards(view, statement).items():
            yield "COND_ADD", share, ((*lines, f"{indent}if {condition}:\n{body}"),)


def _guards(view: FunctionView, statement: ast.stmt) -> dict[str, float]:
    """Return conditions under which `statement` might have had to stand."""
    found = {view.source(test, 0): 0.6 for test in view.tests if not isinstance(view.parents[test], ast.BoolOp)}
    names = [n.id for n in ast.walk(statement) if isinstance(n, ast.Name) and n.id in view.variables]
    loops = [name for name in view.variables if name not in view.parameters and name not in names]
    for text, share in simple_conditions(view, list(dict.fromkeys(names))[:3], 0.2):
        found.setdefault(text, share)
    for one in list(dict.fromkeys(names))[:4]:
        for other in [*loops, *names, *view.parameters][:5]:
            if one != other and view.hints.get(one, "") == view.hints.get(other, ""):
                for symbol in ("==", "!=", "not in"):
                    found.setdefault(f"{one} {symbol} {other}", 0.2)
    return found


def _insert(view: FunctionView, block: Block) -> Proposals:
    """Insert a statement from templates made of the function's own names and lines."""
    statements = block.statements
    whole = [view.whole_lines([statement]) for statement in statements]
    for index, (statement, lines) in enumerate(zip(statements, whole, strict=True)):
        if lines is None:
            continue
        indent = " " * statement.col_offset
        first = block.owner is None and index == 0
        for line, share in _templates(view, block, first=first):
            if share >= 0.5 or index == 0 or first:
                yield "STMT_ADD", share, ((lines[0], lines[0], f"{indent}{line}\n"),)
        if index == len(statements) - 1 and not isinstance(statement, (ast.Return, ast.Raise, ast.Break, ast.Continue)):
            newline = "" if view.text[: lines[1]].endswith("\n") else "\n"
            for line, share in _templates(view, block, first=False):
                yield "STMT_ADD", share, ((lines[1], lines[1], f"{newline}{indent}{line}\n"),)


def _templates(view: FunctionView, block: Block, *, first: bool) -> Iterator[tuple[str, float]]:
    updated = {
        view.raw(node.target): None
        for node in view.nodes
        if isinstance(node, ast.AugAssign) and isinstance(node.target, (ast.Name, ast.Attribute))
    }
    local = [name for name in view.variables if name not in view.parameters]
    counted = [name for name in local if view.hints.get(name) == "num"]
    for name in [*updated, *[name for name in counted if name not in updated]][:6]:
        yield f"{name} += 1", 0.7
        yield f"{name} -= 1", 0.5
    for line in _simple_lines(view):
        yield line, 0.5
    lists = [name for name in local if view.hints.get(name) == "list"]
    for name, other in itertools.product(lists[:3], view.variables[:6]):
        if name != other:
            yield f"{name}.append({other})", 0.3
    for name, other in itertools.product(local[:5], view.variables[:7]):
        if name != other and view.hints.get(name, "") == view.hints.get(other, ""):
            yield f"{name} = {other}", 0.2
    for name in view.operands[:7]:
        yield f"return {name}", 0.4
    for value in ("True", "False", "None"):
        yield f"return {value}", 0.2
    if block.in_loop:
        yield "continue", 0.5
        yield "break", 0.7
    if block.in_loop or first:
        leave = ("continue", "break") if block.in_loop else ()
        yield from _early_exits(view, leave)
    for name in view.parameters[:3]:
        if view.hints.get(name, "") in ("list", "str", "") and first:
            for value in (f"list({name})", f"sorted({name})", f"{name}.copy()", f"{name}.lower()", f"abs({name})"):
                yield f"{name} = {value}", 0.2


def _simple_lines(view: FunctionView) -> list[str]:
    """Return the function's own one-line assignments and calls: a lost line often resembles one that is left."""
    found = [
        view.raw(node)
        for node in view.nodes
        if isinstance(node, (ast.Assign, ast.AugAssign, ast.Expr)) and node.lineno == node.end_lineno
    ]
    return list(dict.fromkeys(found))[:8]


def _early_exits(view: FunctionView, leave: Sequence[str]) -> Iterator[tuple[str, float]]:
    returned = [
        view.raw(n.value) for n in view.nodes if isinstance(n, ast.Return) and isinstance(n.value, ast.Constant)
    ]
    if leave:
        for test in view.tests[:6]:
            for word in leave:
                yield f"if {view.source(test)}: {word}", 0.3
        names = [name for name in view.variables if name not in view.parameters]
        for condition, share in simple_conditions(view, names[:3], 0.1):
            yield f"if {condition}: {leave[0]}", share
        return
    subjects = [*view.parameters[:3], *[name for name in view.operands if "." in name][:2]]
    raised = [f"raise {name}" for name in [*view.exceptions, "ValueError", "KeyError", "IndexError", "TypeError"]]
    for name in subjects:
        kind = view.hints.get(name, "")
        values = list(dict.fromkeys([*returned, "[]", "0", "None", "False", "True", "''", "1", name]))
        conditions = [f"not {name}", f"{name} is None"]
        if kind in ("num", ""):
            conditions += [f"{name} == 0", f"{name} == 1", f"{name} < 0", f"{name} < 2", f"{name} <= 0", f"{name} == 2"]
        if kind in ("list", "str", "dict", "set", ""):
            conditions += [f"len({name}) == 1", f"len({name}) < 2"]
        for condition, value in itertools.product(conditions, values):
            yield f"if {condition}: return {value}", 0.1
        for condition, line in itertools.product(conditions, list(dict.fromkeys(raised))[:5]):
            yield f"if {condition}: {line}", 0.05


def edit_statements(view: FunctionView) -> Proposals:
    """Yield every edit of every statement."""
    for node in view.nodes:
        if isinstance(node, (ast.stmt, ast.ExceptHandler)):
            yield from _edit_statement(view, node)
    for block in view.blocks:
        yield from _edit_block(view, block)
