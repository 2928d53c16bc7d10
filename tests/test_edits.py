"""The edit neighbourhood: which single edits there are, and what they leave alone."""

from __future__ import annotations

import ast
import sys
import textwrap
import warnings

import pytest

from bot.decoding.edit_pool import names_in_scope
from bot.edit_scope import unbound
from bot.edits import WEIGHTS, Edit, Neighbourhood, same_code, single_edits
from bot.functions import FunctionText, functions_in


def function(source: str) -> FunctionText:
    return functions_in(textwrap.dedent(source).lstrip("\n").encode())[0]


def edit_to(faulty: str, repaired: str, *names: str) -> Edit | None:
    """Return the edit of `faulty` whose code is that of `repaired`, if there is one."""
    text = function(faulty)
    wanted = function(repaired).text
    return next((edit for edit in single_edits(text, names=names) if same_code(text.header + edit.body, wanted)), None)


def one_line(faulty: str, repaired: str) -> tuple[str, str]:
    return f"def f(a, b, items, text):\n    {faulty}\n", f"def f(a, b, items, text):\n    {repaired}\n"


@pytest.mark.parametrize(
    ("operator", "faulty", "repaired"),
    [
        ("VAR", "return a", "return b"),
        ("CMP", "return a < b", "return a <= b"),
        ("CMP", "return a == b", "return a != b"),
        ("CMP", "return a in items", "return a not in items"),
        ("CMP", "return a is None", "return a is not None"),
        ("NUM", "return a > 1", "return a > 2"),
        ("NUM", "return a + 10", "return a + 9"),
        ("NUM", "return -a", "return a"),
        ("EXPR_ADD", "return items[a]", "return items[a - 1]"),
        ("EXPR_ADD", "return a", "return a * b"),
        ("EXPR_ADD", "return 2 * a", "return 2 * (a + 1)"),
        ("EXPR_DROP", "return a + b", "return a"),
        ("EXPR_DROP", "return 3 * (a - b)", "return 3 * a"),
        ("BIN", "return a + b", "return a - b"),
        ("BIN", "return a // b", "return a / b"),
        ("BIN", "return a & b", "return a ^ b"),
        ("BOOLOP", "return a and b", "return a or b"),
        ("NOT", "return not a", "return a"),
        ("COND_DROP", "return [i for i in items if i > a]", "return [i for i in items]"),
        ("COND_DROP", "return a and b", "return b"),
        ("CALL_ADD", "return a - b", "return abs(a - b)"),
        ("CALL_ADD", "return sum(i for i in items)", "return sum(i for i in set(items))"),
        ("CALL_ADD", "return text", "return text.lower()"),
        ("CALL_DROP", "return sorted(items)", "return items"),
        ("CALL_DROP", "return text.strip()", "return text"),
        ("FUNC", "return min(items)", "return max(items)"),
        ("FUNC", "return text.lstrip()", "return text.rstrip()"),
        ("FUNC", "items.append(a)", "items.extend(a)"),
        ("ARG", "return f(a, b, items, text)", "return f(b, a, items, text)"),
        ("ARG", "return sorted(items)", "return sorted(items, reverse=True)"),
        ("ARG", "return round(a, 2)", "return round(a)"),
        ("NUM", "return items[0]", "return items[-1]"),
        ("SUBSCRIPT", "return items[1:]", "return items[:]"),
        ("EXPR_ADD", "return items[:a]", "return items[:a + 1]"),
        ("SUBSCRIPT", "return text", "return text[::-1]"),
        ("OPERAND_SWAP", "return a - b", "return b - a"),
        ("OPERAND_SWAP", "return a + b * 2", "return (a + b) * 2"),
        ("OPERAND_SWAP", "return (a + b) * 2", "return a + b * 2"),
        ("RETURN", "return a + b", "return items"),
        ("RETURN", "return a + b", "yield a + b"),
        ("RETURN", "items.index(a)", "return items.index(a)"),
        ("LIT", "return 'yes'", "return 'Yes'"),
        ("LIT", "return True", "return False"),
        ("LIT", "return [a, b, 3]", "return [a, 3]"),
        ("LIT", "return 'yes' if a else 'no'", "return 'Yes' if a else 'No'"),
        ("CONTROL", "return [i for i in range(a)]", "return [i for i in range(1, a)]"),
        ("CONTROL", "return a if text else b", "return b if text else a"),
        ("INIT", "a = 0; return a", "a = text[0]; return a"),
        ("EXC", "raise KeyError(a)", "raise ValueError(a)"),
        ("EXCHANGE", "return a - f(b)", "return b - f(a)"),
    ],
)
def test_a_small_fault_in_one_line_is_one_edit_away(operator: str, faulty: str, repaired: str) -> None:
    edit = edit_to(*one_line(faulty, repaired))
    assert edit is not None
    assert edit.operator == operator


LOOP = """
    def f(items, limit):
        total = 0
        for item in items:
            if item > limit:
                continue
            total += item
        return total
"""


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("continue", "break"),
        ("total += item", "total -= item"),
        ("total += item", "total = item"),
        ("        return total", "            return total"),
        ("            total += item\n", ""),
        (
            "                continue\n            total += item",
            "                total += item\n                continue",
        ),
        ("if item > limit:\n                continue\n            total", "total"),
        ("if item > limit:", "if item > limit or item < 0:"),
        ("if item > limit:", "if not item > limit:"),
        ("total += item", "total += 1"),
        ("        total = 0\n", "        if not items: return None\n        total = 0\n"),
        ("        total = 0\n", "        items = list(items)\n        total = 0\n"),
        ("            total += item", "            if total != item:\n                total += item"),
        ("for item in items:", "for item in reversed(items):"),
        ("total = 0", "total = limit"),
        ("            total += item\n", "            total += item\n            break\n"),
    ],
)
def test_a_small_fault_in_a_loop_is_one_edit_away(old: str, new: str) -> None:
    assert old in LOOP
    assert edit_to(LOOP, LOOP.replace(old, new)) is not None


def test_attributes_that_are_told_of_replace_attributes() -> None:
    faulty = "def size(self):\n    return self.first\n"
    assert edit_to(faulty, faulty.replace("first", "last"), "self.last") is not None
    assert edit_to(faulty, faulty.replace("first", "last")) is None


def test_functions_that_are_told_of_replace_called_functions() -> None:
    faulty = "def size(x):\n    return encode(x)\n"
    assert edit_to(faulty, faulty.replace("encode", "decode_all"), "decode_all") is not None


def test_self_is_never_exchanged_for_another_name() -> None:
    edits = single_edits(function("def size(self, other):\n    return self.first + other\n"))
    assert not any("other.first" in edit.body for edit in edits)


FORMATTED = '''
def report(rows, width=10):
    """Return the rows as text."""
    out  =  [ ]   # the lines
    # every row
    for row in rows :
        out.append( str(row)[:width] )
    banner = """
  two
    lines   """
    return "\\n".join(out)+banner
'''


def test_formatting_and_comments_outside_the_touched_span_are_kept() -> None:
    text = function(FORMATTED)
    edit = edit_to(FORMATTED, FORMATTED.replace("[:width]", "[:width + 1]"))
    assert edit is not None
    assert edit.body == text.body.replace("[:width]", "[:width + 1]")
    assert edit.line == 4


def test_lines_of_a_multiline_string_are_never_indented() -> None:
    text = function(FORMATTED)
    for edit in single_edits(text):
        tree = ast.parse(text.header + edit.body)
        strings = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)]
        long = [value for value in strings if isinstance(value, str) and "two" in value]
        assert all(value == "\n  two\n    lines   " for value in long)


def test_every_edit_compiles_and_no_two_are_the_same_code() -> None:
    text = function(LOOP)
    edits = single_edits(text)
    trees = [ast.dump(ast.parse(text.header + edit.body)) for edit in edits]
    assert len({*trees, ast.dump(ast.parse(text.text))}) == len(edits) + 1
    for edit in edits:
        compile(text.header + edit.body, "<edit>", "exec")
    assert all(edit.operator in WEIGHTS for edit in edits)


def test_the_likeliest_edits_come_first_and_their_weights_add_up() -> None:
    weights = [edit.weight for edit in single_edits(function(LOOP))]
    assert weights == sorted(weights, reverse=True)
    assert sum(weights) == pytest.approx(1.0)


def test_a_limit_keeps_the_likeliest() -> None:
    text = function(LOOP)
    assert [edit.body for edit in single_edits(text, limit=20)] == [edit.body for edit in single_edits(text)][:20]
    assert single_edits(text, limit=0) == []


def test_the_same_function_gives_the_same_edits() -> None:
    text = function(LOOP)
    assert single_edits(text, names=["helper"]) == single_edits(text, names=["helper"])


def test_the_line_is_the_first_line_that_changes() -> None:
    text = function(LOOP)
    old = text.body.splitlines()
    for edit in single_edits(text):
        new = edit.body.splitlines()
        assert new[: edit.line - 1] == old[: edit.line - 1]


def test_the_docstring_and_the_signature_are_never_edited() -> None:
    source = 'def f(a, b=1):\n    """Return 2 > 1."""\n    return a\n'
    text = function(source)
    for edit in single_edits(text):
        assert function(text.header + edit.body).header == text.header


def test_a_function_that_rebinds_a_name_of_its_enclosing_function_has_edits() -> None:
    source = (
        "def outer():\n    count = 0\n    def inner(x):\n        nonlocal count\n        count += x\n    return inner\n"
    )
    inner = next(found for found in functions_in(source.encode()) if found.name == "inner")
    assert any("count -= x" in edit.body for edit in single_edits(inner))


def test_an_async_method_has_edits() -> None:
    source = "class A:\n    async def f(self, x):\n        async for y in x:\n            await self.g(y + 1)\n"
    assert any("y - 1" in edit.body for edit in single_edits(functions_in(source.encode())[0]))


@pytest.mark.parametrize(
    "body",
    [
        "pass",
        "return f'{a!r:>{b}} {items[0]}' 'x' \"y\"",
        "return (lambda *x, **y: (x, y))(*items, **text)",
        "match a:\n        case [1, x] if x > 2: return x\n        case {'k': 1}: return 2\n        case _: return 3",
        "try:\n        return items[a]\n    except (KeyError, OSError) as e:\n        raise\n    finally:\n        b()",
        "with a as x, b as y:\n        del x[0], y\n        assert text, 'no'\n    return {**a, 'é': (yield)}",
        "x: int = 1; y = (z := a); return x if y else not -z @ b",
        "global g; g, *h = items[1:2, ..., ::3]; return a < b <= 3 in h",
        "if a: return 1\n    elif b: return 2\n    else:\n        while 1: break\n        else: pass",
        "ü = 'ä' * a; return ü + 'ö'[b] + text  # ß",
        "def g(x=a):\n        class C(list):\n            y = x\n        return C\n    return g(1)(b)",
        "return a + 1" + 400 * "0" + " - 1e999 * 2j",
        "return [\n        a +\n        b,\n    ] + (\n        items)",
        'return """\n  two\n""" + text',
    ],
)
def test_any_syntax_can_be_edited(body: str) -> None:
    text = function(f"def f(a, b, items, text):\n    {body}\n")
    for edit in single_edits(text):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SyntaxWarning)
            compile(text.header + edit.body, "<edit>", "exec")
        assert edit.body.endswith("\n")
        assert 1 <= edit.line <= edit.body.count("\n") + 1


@pytest.mark.parametrize(
    "prefix", ["f", pytest.param("t", marks=pytest.mark.skipif(sys.version_info < (3, 14), reason="Python 3.14"))]
)
def test_the_text_around_the_fields_of_a_string_is_left_as_it_is(prefix: str) -> None:
    text = function(f"def f(a, b):\n    return {prefix}'sum: {{a - b}}.'\n")
    bodies = [edit.body for edit in single_edits(text)]
    assert f"    return {prefix}'sum: {{a + b}}.'\n" in bodies
    assert all("'sum: {" in body and "}.'" in body for body in bodies if f"{prefix}'" in body)


def test_a_function_with_nothing_but_a_docstring_has_no_edits() -> None:
    assert single_edits(function('def f():\n    """Nothing."""\n')) == []


@pytest.mark.parametrize(
    ("source", "repair"),
    [
        ("def f(xs, reverse=False):\n    return sorted(xs)\n", "    return sorted(xs, reverse=reverse)\n"),
        ("def f(x, low):\n    return x * 2\n", "    return max(x * 2, low)\n"),
        (
            "def f(xs, limit):\n    return [x for x in xs if x > 0]\n",
            "    return [x for x in xs if x > 0 and x < limit]\n",
        ),
        ("def f(d, key, default=None):\n    return d.get(key)\n", "    return d.get(key, default)\n"),
        ("def f(a, b, c):\n    return g(a, b)\n", "    return g(a, b, c)\n"),
    ],
)
def test_edits_that_use_a_forgotten_parameter_come_first(source, repair):
    found = [edit.body for edit in single_edits(function(source))]
    assert repair in found
    assert found.index(repair) < 40


def test_edits_that_use_a_variable_which_is_never_read_come_first():
    loop = "def f(lines):\n    total = 0\n    for {}, price in lines:\n        total += price\n    return total\n"

    def weight(name: str) -> float:
        repaired = loop.format(name).replace("+= price", f"+= price * {name}")
        edit = edit_to(loop.format(name), repaired)
        assert edit is not None
        return edit.weight

    assert weight("count") > 3 * weight("_count")


def test_a_parameter_that_is_named_or_meant_to_be_unused_is_not_forgotten():
    used, unused = "def f(x, y):\n    return x + y\n", "def f(x, _y):\n    return x\n"
    assert not any("y=y" in edit.body for edit in single_edits(function(used)))
    assert not any("_y=_y" in edit.body for edit in single_edits(function(unused)))


def test_candidates_that_python_warns_about_are_tried_in_silence():
    text = function("def f(x):\n    return x == 1 and x is 'a' or '\\d'\n")
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        assert single_edits(text)
        assert same_code(text.text, text.text)
    assert told == []


def edited_in(source: str, repaired: str, which: int = -1) -> Edit | None:
    """Return the edit that turns one function of `source` into that of `repaired`, with what its file has in scope."""
    code = textwrap.dedent(source).lstrip("\n").encode()
    text, wanted = functions_in(code)[which], functions_in(textwrap.dedent(repaired).lstrip("\n").encode())[which].text
    found = single_edits(text, names=names_in_scope(code, text))
    return next((edit for edit in found if same_code(text.header + edit.body, wanted)), None)


@pytest.mark.parametrize(
    ("operator", "faulty", "repaired"),
    [
        ("GUARD", "if a.x > 1:\n        return 2", "if a is not None and a.x > 1:\n        return 2"),
        ("GUARD", "if text.strip() == b:\n        return 2", "if not text or text.strip() == b:\n        return 2"),
        ("GUARD", "m = a(b)\n    return m.x", "m = a(b)\n    if m is None: return None\n    return m.x"),
        (
            "GUARD",
            "for x in items:\n        y = a(x)\n        b(y)",
            "for x in items:\n        y = a(x)\n        if y is None: continue\n        b(y)",
        ),
        ("GUARD", "return a", "return max(a, 0)"),
        ("GUARD", "return a // b", "return -(-a // b)"),
        ("GUARD", "return int(text)", "return int(text or 0)"),
        ("GUARD", "return (a - 1) * b", "return (min(a, b) - 1) * b"),
        ("GUARD", "return text.split(',')", "text = text.strip()\n    return text.split(',')"),
        ("LEFT_OUT", "return max(items, key=lambda x: -x[1])", "return max(items, key=lambda x: (-x[1], x[0]))"),
        ("LEFT_OUT", "return [lambda: x for x in items]", "return [lambda x=x: x for x in items]"),
        ("OPERAND_SWAP", "return (a.x, a.y) < (b.x, b.y)", "return (a.y, a.x) < (b.y, b.x)"),
        ("OPERAND_SWAP", "return {**a, **(b or {})}", "return {**(b or {}), **a}"),
        ("LIT", "return f'{a}'", "return f'{a:02d}'"),
        ("FUNC", "return a.var()", "return a.std()"),
        ("ARG", "return a.sum(axis=1)", "return a.sum(axis=1, keepdims=True)"),
        ("RETURN", "items[a] = b", "items[a] = b\n    return items[a]"),
    ],
)
def test_what_people_leave_out_is_put_back(operator: str, faulty: str, repaired: str) -> None:
    edit = edit_to(*one_line(faulty, repaired))
    assert edit is not None, repaired
    assert edit.operator == operator


def test_a_parameter_that_may_be_none_gets_something_in_its_place() -> None:
    assert edit_to("def f(tags=None):\n    return set(tags)\n", "def f(tags=None):\n    return set(tags or [])\n")
    assert edit_to("def f(log=None):\n    a.log = log\n", "def f(log=None):\n    a.log = [] if log is None else log\n")
    assert not edit_to("def f(tags=()):\n    return set(tags)\n", "def f(tags=()):\n    return set(tags or [])\n")


def test_the_last_group_behind_a_loop_is_put_back() -> None:
    loop = (
        "def f(xs):\n    some = []\n    for x in xs:\n        some.append(x)\n        if x:\n            yield some\n"
    )
    assert edit_to(loop, loop + "    if some: yield some\n")


@pytest.mark.parametrize(
    ("faulty", "repaired"), [("return a()", "return await a()"), ("self.q.put(a)", "await self.q.put(a)")]
)
def test_a_forgotten_await_is_among_the_first_repairs(faulty: str, repaired: str) -> None:
    source = "class C:\n    async def f(self, a):\n        {}\n"
    edit = edited_in(source.format(faulty), source.format(repaired))
    assert edit is not None
    assert edit.operator == "AWAIT"
    assert edit.weight > 0.01
    assert edited_in(source.replace("async ", "").format(faulty), source.format(repaired)) is None


CLASS = """
    class Base:
        log: list

        def save(self, item):
            self.log = item

        def full(self):
            return 1

    class Store(Base):
        closed = False
        def put(self, item):
            self.closed = None
            {}
"""


@pytest.mark.parametrize(
    ("faulty", "repaired"),
    [
        ("x = item", "x = item; super().put(item)"),
        ("x = item", "x = item; self.save(item)"),
        ("x = item", "x = item; self.log.append(item)"),
        ("x = item", "x = item; self.closed = True"),
        ("x = self.closed", "x = self.full()"),
    ],
)
def test_calls_and_changes_of_state_that_are_missing_are_found_in_the_class_and_its_bases(faulty, repaired):
    lines = repaired.replace("; ", "\n            ")
    assert edited_in(CLASS.format(faulty), CLASS.format(lines)) is not None


def test_another_type_is_refused_as_operators_do() -> None:
    source = "class P:\n    def __eq__(self, other):\n        {}return self.x == other.x\n"
    guard = "if not isinstance(other, type(self)): return NotImplemented\n        "
    assert edited_in(source.format(""), source.format(guard)) is not None


def test_of_a_long_function_only_what_is_asked_for_is_made():
    lines = "".join(f"    if n > {number}:\n        total += n * {number}\n" for number in range(60))
    found = Neighbourhood(function(f"def f(n):\n    total = 0\n{lines}    return total\n"))
    assert len(found.proposals) > 1000
    late = [place for place, proposal in enumerate(found.proposals) if proposal.line > 100]
    first = next(found.edits(late))
    assert first.line > 100
    assert found.made == [first]
    again = next(edit for edit in found.edits() if edit.line > 100)
    assert again is first


MODULE = """
    from math import floor
    from threading import Lock

    def parse(url):
        return url.split()

    def scheme(url):
        parts = parse(url)
        return parts[0]

    class Deque:
        def __init__(self, items, key=None):
            self._length = len(items)
            self.items, self.lock = items, Lock()

        def iterate(self):
            return iter(self.items)

        def norm(self, other):
            return other, 0

        def union(self, other):
            inc, exc = self.norm(other)
            return inc

        def {}
"""


def in_module(header: str, faulty: str, repaired: str) -> Edit | None:
    lines = [f"{header}:\n            {body}".replace("; ", "\n            ") for body in (faulty, repaired)]
    return edited_in(MODULE.format(lines[0]), MODULE.format(lines[1]))


@pytest.mark.parametrize(
    ("operator", "header", "faulty", "repaired"),
    [
        ("RESULT", "__len__(self)", "return ''", "return self._length"),
        ("RESULT", "__iter__(self)", "return False", "return self.iterate()"),
        ("RESULT", "__iter__(self)", "return None", "return self"),
        ("RESULT", "rounded(self, number)", "return 0", "return floor(number)"),
        ("CALLED", "__hash__(self)", "return self.items", "return hash(self.items)"),
        ("CALLED", "low(self, numbers)", "return [x / 2 for x in numbers]", "return [floor(x) / 2 for x in numbers]"),
        ("CALLED", "find(self, item, key)", "k = item; return k", "k = key(item); return k"),
        ("CALLED", "host(self, url)", "parts = url; return parts[1]", "parts = parse(url); return parts[1]"),
        ("CALLED", "check(self)", "raise 'empty'", "raise ValueError('empty')"),
        ("CALLED", "text(self)", "return ''", "return ''.join(self.items)"),
        ("CALLED", "text(self, n)", "return '%d items'", "return '%d items' % n"),
        ("CALLED", "renew(self)", "self.lock = self.items", "self.lock = Lock()"),
        ("TERM", "at(self, i)", "return 2 * i", "return self._length + 2 * i"),
        ("TERM", "full(self)", "return self.items == 0", "return self.items % self._length == 0"),
        ("STORE", "last(self)", "n = self.items; return found[-1]", "found = self.items; return found[-1]"),
        (
            "STORE",
            "last(self)",
            "n = self.items; x = found[-1]; found = 1; return x",
            "found = self.items; x = found[-1]; found = 1; return x",
        ),
        ("BIND", "sum(self, url)", "for x in url: n += x; return n", "n = 0; for x in url: n += x; return n"),
        ("BIND", "host(self, url)", "return parts[1]", "parts = parse(url); return parts[1]"),
        ("BIND", "minus(self, other)", "x = 1; return exc - x", "x = 1; inc, exc = self.norm(other); return exc - x"),
    ],
)
def test_what_the_module_and_the_class_hold_is_made_use_of(operator, header, faulty, repaired):
    edit = in_module(header, faulty, repaired)
    assert edit is not None, repaired
    assert edit.operator == operator


def test_a_name_that_is_bound_somewhere_is_not_taken_for_a_lost_one():
    inside = "global g\n        g = [c for c in a]\n        return b, g, len"
    bound = f"def outer(a):\n    def f(b):\n        {inside}\n    return f\n"
    code = (
        (bound + "\nimport os\nif os:\n    h = 1\nx = lambda y: y\n").replace("b, g, len", "b, g, len, h, os").encode()
    )
    inner = next(found for found in functions_in(code) if found.name == "f")
    assert unbound(names_in_scope(code, inner)) == []
    code = code.replace(b"return b,", b"return lost,")
    inner = next(found for found in functions_in(code) if found.name == "f")
    assert unbound(names_in_scope(code, inner)) == ["lost"]
    assert unbound(names_in_scope(b"from os import *\n" + code, functions_in(b"from os import *\n" + code)[1])) == []


def test_a_function_that_is_made_and_never_returned_is_returned():
    source = "def wrap(f):\n    def call(*args):\n        return f(*args)\n    return {}\n"
    edit = edit_to(source.format("f"), source.format("call"))
    assert edit is not None
    assert edit.operator in ("RETURN", "VAR")


def test_a_nested_function_may_name_what_the_functions_around_it_hold():
    source = "def outer(limit):\n    def inner(n):\n        return n < {}\n    return inner\n"
    assert edited_in(source.format("n"), source.format("limit")) is not None


@pytest.mark.parametrize(
    ("operator", "faulty", "repaired"),
    [
        ("NAMED", "return f(True)", "return f(items)"),
        ("NAMED", "a.b = 'yes'; return f(text, b)", "a.b = items; return f(text, b)"),
        ("NAMED", "a.b = items", "a.b = None"),
        ("NAMED", "return f(a, items.x)", "return f(a, None)"),
        ("TERM", "return 1 << (b * 3)", "return 1 << (b * 3 - 2)"),
        ("TERM", "a(b * 3, len(text))", "a(b * 3 - len(text), len(text))"),
        ("VAR", "return a - a", "return a - b"),
        ("ARG", "return isinstance(text)", "return isinstance(items, text)"),
    ],
)
def test_a_value_that_cannot_be_meant_gives_way(operator: str, faulty: str, repaired: str) -> None:
    edit = edit_to(*one_line(faulty, repaired))
    assert edit is not None, repaired
    assert edit.operator == operator


def test_a_name_beside_itself_is_likelier_to_be_wrong():
    def weight(beside: str) -> float:
        edit = edit_to(*one_line(f"a(items, text); return a({beside}, b)", "a(items, text); return a(text, b)"))
        assert edit is not None
        return edit.weight

    assert weight("b") > weight("items")


@pytest.mark.parametrize(
    ("source", "repair"),
    [
        ("def f(g, *args, **kwargs):\n    return g(1, *args)\n", "    return g(1, *args, **kwargs)\n"),
        ("def f(graph, **rest):\n    return draw(pos=1, **rest)\n", "    return draw(graph, pos=1, **rest)\n"),
        ("def f(a, name):\n    return getattr(a.x, a.x)\n", "    return getattr(a.x, name)\n"),
    ],
)
def test_a_forgotten_parameter_is_passed_on_in_every_way(source, repair):
    found = [edit.body for edit in single_edits(function(source))]
    assert repair in found
    assert found.index(repair) < 20


def test_the_check_with_which_other_functions_begin_is_offered():
    check = "    if not isinstance(x, str):\n        return True\n"
    others = "".join(f"def f{n}(x):\n{check}    return x == '{n}'\n\n" for n in range(2))
    faulty, repaired = (f"{others}def g(x):\n{begin}    return x.a()\n" for begin in ("", check))
    edit = edited_in(faulty, repaired)
    assert edit is not None
    assert edit.operator == "GUARD"
    alone = faulty.replace(check, "", 1)
    assert edited_in(alone, alone.replace("def g(x):\n", "def g(x):\n" + check)) is None


@pytest.mark.parametrize(
    ("body", "unwritten", "instead"),
    [
        ("if a:\n        b = 1\n    return b", "if True:", "    b = 1\n    return b\n"),
        ("if a:\n        b = 1\n    b += 2\n    return b", "if False:", "    b += 2\n    return b\n"),
        ("if a:\n        b = 1\n    else:\n        b = 2\n    return b", "if False:", "    b = 2\n    return b\n"),
    ],
)
def test_a_branch_that_is_always_or_never_taken_is_written_as_a_person_would(body, unwritten, instead):
    (function,) = functions_in(f"def f(a, b):\n    {body}\n".encode())
    bodies = [edit.body for edit in single_edits(function)]
    assert instead in bodies
    assert not any(unwritten in one for one in bodies)


def test_a_branch_that_cannot_be_taken_out_by_lines_alone_gets_a_constant():
    (function,) = functions_in(b"def f(a, b):\n    if a:\n        b = 1\n    elif b:\n        b = 2\n    return b\n")
    bodies = [edit.body for edit in single_edits(function)]
    assert any("    if False:\n        b = 1\n    elif b:" in one for one in bodies)
    assert any("    elif True:" in one for one in bodies)
