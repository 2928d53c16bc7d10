from __future__ import annotations

import ast
import random
import sys
import sysconfig
import time
import tokenize
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import CodeType

import pytest

from bot import functions
from bot.functions import (
    BodyError,
    FunctionText,
    at_statement_boundary,
    complete,
    find_function,
    function_at,
    functions_in,
    logical_lines,
    refusal,
    splice,
)
from runners.runner import FRONTIER

RAISE = f"raise {FRONTIER}()"
STACK = b'''"""A module."""
import math


class Stack:
    size = 3

    @property
    @staticmethod
    def top(self,
            default=None):
        """Return the top.

          indented text
        """
        # why
        if self.items:
            return self.items[-1]
        return default  # last


def outer():
    def inner(x):
        return x
    return inner
'''


def only(source: str | bytes, name: str = "f") -> FunctionText:
    source = source.encode() if isinstance(source, str) else source
    found = [function for function in functions_in(source) if function.name == name]
    assert len(found) == 1
    return found[0]


def spliced(source: str, body: str, name: str = "f") -> str:
    return splice(source.encode(), only(source, name), body).decode()


# ---------------------------------------------------------------------------------------------------------- finding


def test_functions_carry_the_names_that_their_code_objects_have():
    assert [f.qualname for f in functions_in(STACK)] == ["Stack.top", "outer", "outer.<locals>.inner"]
    source = b"def f():\n    global g\n    def g(): pass\n    class A:\n        async def m(self): pass\n"
    assert [f.qualname for f in functions_in(source)] == ["f", "g", "f.<locals>.A.m"]


def test_a_function_starts_with_its_first_decorator_and_its_header_ends_with_its_docstring():
    top = find_function(STACK, "Stack.top", 8)
    assert top is not None
    assert (top.first_line, top.end_line) == (8, 19)
    assert top.text.startswith("@property\n@staticmethod\ndef top(self,\n        default=None):\n")
    assert top.header.endswith('          indented text\n        """\n    # why\n')
    assert top.body == "    if self.items:\n        return self.items[-1]\n    return default  # last\n"
    assert top.header + top.body == top.text


def test_a_function_is_found_only_at_its_own_first_line():
    assert find_function(STACK, "Stack.top", 9) is None
    assert find_function(STACK, "Stack.pop", 8) is None


def test_the_function_at_a_line_is_the_innermost():
    assert function_at(STACK, 24) == find_function(STACK, "outer.<locals>.inner", 23)
    assert function_at(STACK, 25) == find_function(STACK, "outer", 22)
    assert function_at(STACK, 2) is None


def test_files_that_do_not_parse_or_decode_hold_no_functions():
    assert functions_in(b"def f(:\n    pass\n") == []
    assert functions_in(b"# coding: utf-8\ndef f():\n    return '\xff'\n") == []
    assert functions_in(b"# coding: no-such-codec\ndef f():\n    return 1\n") == []
    assert functions_in(b"") == []
    assert function_at(b"def f(:", 1) is None


def test_any_indentation_is_normalised_to_four_spaces():
    for indent in ("  ", "\t", "        ", "   "):
        source = f"class A:\n{indent}def f(self, x):\n{indent * 2}if x:\n{indent * 3}return 1\n{indent * 2}return 2\n"
        assert only(source).text == "def f(self, x):\n    if x:\n        return 1\n    return 2\n"


def test_lines_inside_strings_keep_their_indentation():
    source = "class A:\n\tdef f(self):\n\t\treturn '''a\n\tb\n  c''', 1\n"
    assert only(source).text == "def f(self):\n    return '''a\n\tb\n  c''', 1\n"


def test_aligned_arguments_stay_aligned_in_a_file_of_two_spaces():
    source = "def f(a):\n  if a:\n    return g(a,\n             1)\n"
    assert only(source).text == "def f(a):\n    if a:\n        return g(a,\n                 1)\n"


def test_comments_keep_the_level_of_the_block_they_stand_in():
    source = "def f(a):\n\tif a:\n\t\t# yes\n\t\treturn 1\n\t# no\n\treturn 2\n"
    assert only(source).text == "def f(a):\n    if a:\n        # yes\n        return 1\n    # no\n    return 2\n"


def test_generators_and_coroutines_are_known():
    assert only("def f():\n    yield 1\n").is_generator
    assert not only("def f():\n    return lambda: (yield)\n").is_generator
    assert not only("def f():\n    def g():\n        yield\n    return g\n").is_generator
    assert only("async def f():\n    return 1\n").is_async


def test_a_body_on_the_header_line_gets_a_line_of_its_own():
    function = only("class A:\n    def f(self): return 1  # one\n    x = 2\n")
    assert function.inline
    assert (function.header, function.body) == ("def f(self):\n", "    return 1  # one\n")


def test_a_body_that_shares_a_line_with_something_else_is_not_offered():
    assert functions_in(b'def f(): "doc"; return 1\n') == []
    assert functions_in(b'def f():\n    """doc"""; return 1\n') == []
    assert functions_in(b"def f(): \\\n  return 1\n") == []
    assert functions_in(b"def f():\n  return 1 \\\n\nx = 1\n") == []


# --------------------------------------------------------------------------------------------------------- splicing


SOURCES = {
    "plain": STACK,
    "no newline at the end": b"def f(x):\n    return x",
    "tabs": b"class A:\n\tdef f(self):\n\t\tif self:\n\t\t\treturn 1\n\t\treturn 2\n\n\tx = 1\n",
    "crlf": b"def f(x):\r\n    y = '''a\r\n  b'''\r\n    return x\r\n# end\r\n",
    "old mac": b"def f(x):\r    return x\rz = 1\r",
    "mixed newlines": b"def f(x):\r\n    y = 1\n    return x\r\nz = 1\n",
    "byte order mark": b"\xef\xbb\xbfdef f(x):\n    return x\n",
    "inline after a byte order mark": b"\xef\xbb\xbfdef f(x): return x\n",
    "latin-1": "# coding: latin-1\ndef f(x):\n    'ä'\n    return 'é' + x  # ü\n".encode("latin-1"),
    "shift_jis": "# coding: shift_jis\ndef f(x):\n    return 'ソ表' + x\ny = 'ソ'\n".encode("shift_jis"),
    "form feeds": b"class A:\n    pass\n\x0c\ndef f(x):\n\x0c    y = 1\n    return x\n",
    "docstring only": b'def f():\n    """Only this."""\nx = 1\n',
    "docstring only at the end": b'def f():\n    """Only this."""',
    "column-zero comments": b"def f(x):\n    y = 1\n# odd\n    return y\n# after\n",
    "trailing semicolon": b"def f(x):\n    y = 1;\n    return y;\n",
    "inconsistent levels": b"def f(x):\n  if x:\n       return 1\n  else:\n      return 2\n",
    "tabs and spaces": b"class A:\n\tdef f(x):\n\t    if x:\n\t    \treturn 1\n\t    return 2\n",
    "inline": b"class A:\n    def f(self): return 1\n    x = 2\n",
    "whitespace lines": b"def f(x):\n    y = 1\n   \n\t\n    return y   \n",
}


@pytest.mark.parametrize("name", SOURCES)
def test_splicing_the_same_body_back_changes_no_byte(name):
    source = SOURCES[name]
    assert functions_in(source)
    for function in functions_in(source):
        assert splice(source, function, function.body) == source


@pytest.mark.parametrize("name", SOURCES)
def test_a_new_body_leaves_every_other_byte(name):
    source = SOURCES[name]
    for function in functions_in(source):
        result = splice(
            source, function, "    if 1:\n        spam = [\n            1,\n        ]\n    return '''x\n y'''\n"
        )
        assert result.startswith(source[: function.start])
        assert result.endswith(source[function.end :])
        after = find_function(result, function.qualname, function.first_line)
        assert after is not None
        assert after.header == function.header
        assert ast.dump(ast.parse(after.body.replace("    if", "if 1:\n    if", 1))).count("spam") == 1
        assert others(result, function) == others(source, function)


def test_a_new_body_is_written_in_the_files_own_indentation_and_newlines():
    source = "class A:\r\n\tdef f(self, x):\r\n\t\treturn x\r\n\r\n\ty = 1\r\n"
    body = "    for a in x:\n        g(a,\n            1)\n    return x\n"
    new = "for a in x:\r\n\t\t\tg(a,\r\n\t\t\t\t1)\r\n\t\treturn x"
    assert spliced(source, body) == source.replace("return x", new)


def test_strings_over_several_lines_are_written_as_they_are():
    source = "class A:\n\tdef f(self):\n\t\tpass\n"
    assert spliced(source, "    return '''a\n    b\n'''\n") == "class A:\n\tdef f(self):\n\t\treturn '''a\n    b\n'''\n"


def test_lines_that_stay_keep_their_bytes():
    source = "def f(x):\n  y = g(x,\n     1)   \n  if x:\n      return 1  # odd\n  return y\n"
    body = only(source).body.replace("    return y\n", "    return y + 1\n")
    assert spliced(source, body) == source.replace("return y\n", "return y + 1\n")


def test_comments_after_the_body_survive():
    source = "def f(x):\n    return x\n    # still inside\n\n# outside\n"
    assert spliced(source, "    return 1\n") == source.replace("return x", "return 1")


def test_a_body_with_other_indentation_than_four_spaces_is_normalised():
    assert spliced("def f(x):\n    pass\n", "    if x:\n      return 1\n") == "def f(x):\n    if x:\n        return 1\n"


def test_an_inline_body_is_replaced_on_lines_of_its_own():
    source = "class A:\n    def f(self): return 1\n    x = 2\n"
    assert spliced(source, "    y = 1\n    return y\n") == (
        "class A:\n    def f(self):\n        y = 1\n        return y\n    x = 2\n"
    )


def test_a_function_with_only_a_docstring_gets_a_body_below_it():
    assert spliced("def f():\n    'doc'\nx = 1\n", "    return 1\n") == "def f():\n    'doc'\n    return 1\nx = 1\n"
    assert spliced("def f():\n    'doc'", "    return 1\n") == "def f():\n    'doc'\n    return 1"


@pytest.mark.parametrize(
    "body",
    [
        "    return 1\nx = 1\n",
        "    return 1\ndef g():\n    pass\n",
        "    return (\n",
        "    return '''\n",
        "    return 1 \\\n",
        "return 1\n",
        "    return 1\n  return 2\n",
        "",
        "\n",
        "    # only a comment\n",
        "    break\n",
        "    return 1\n\n    def f(:\n",
        "    return '\0'\n",
        "    return 1\r    return 2\n",
        "    return 1\n@property\n",
    ],
)
def test_a_body_that_is_not_exactly_one_body_is_refused(body):
    for source in (
        b"def f(x):\n    return x\nelse_ = 1\n",
        b"class A:\n    if 1:\n        def f(x):\n            return x\n",
    ):
        with pytest.raises(BodyError):
            splice(source, only(source), body)


def test_a_body_cannot_close_the_block_around_its_function():
    source = b"if x:\n    def f():\n        pass\nelse:\n    y = 1\n"
    for body in (
        "    pass\nelse:\n    z = 1\n",
        "    pass\nelif z:\n    pass\n",
        "    if z:\n        pass\nelse:\n    pass\n",
    ):
        with pytest.raises(BodyError):
            splice(source, only(source), body)


def test_characters_that_the_files_encoding_lacks_are_refused_by_name():
    source = "# coding: latin-1\ndef f():\n    return 1\n".encode("latin-1")
    with pytest.raises(BodyError, match=r"iso-8859-1.*'→'"):
        splice(source, only(source), "    return '→'\n")


def test_a_function_of_another_version_of_the_file_is_refused():
    source = b"def f():\n    return 1\n"
    with pytest.raises(BodyError, match="changed"):
        splice(b"# new\n" + source, only(source), "    return 2\n")


def test_a_nonlocal_statement_is_no_error():
    source = "def g():\n    x = 1\n    def f():\n        return x\n    return f\n"
    assert "nonlocal x" in spliced(source, "    nonlocal x\n    x = 2\n")


def test_warnings_about_the_repositorys_code_are_not_ours():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        source = b"def f():\n    return '\\d' is 1\n"
        assert splice(source, only(source), "    return '\\w' is 2\n")


def test_splicing_is_fast_whatever_the_length_of_the_file():
    source = b"def f(x):\n    return x\n" + b"".join(b"def g%d(x):\n    return [x, %d]\n" % (n, n) for n in range(3000))
    function = only(source)
    start = time.process_time()
    for number in range(50):
        splice(source, function, f"    return {number}\n")
    assert (time.process_time() - start) / 50 < 0.02


KINDS = b'''# -*- coding: utf-8 -*-
import typing


class A:
    @property
    def x(self):
        return self._x

    @x.setter
    def x(self, value):  # type: (int) -> None
        # kept
        self._x = value  # last

    @typing.overload
    def f(self, a: int) -> int: ...
    @typing.overload
    def f(self, a: str) -> str: ...
    def f(self, a):
        """Doc."""
        match a:
            case [1, *_] | {"k": 2}:
                return a
            case _:
                return None

    @staticmethod
    async def g(
        a,  # type: int
        *,
        b=(1, 2),
    ):
        # type: (...) -> None
        async with a as c, b as d:
            yield c
        async for e in d:
            yield e

    @classmethod
    def one(cls): return cls; x = 1


if typing.TYPE_CHECKING:
    def conditional(): return 1
else:
    def conditional():
        return 2
\x0c
def same():
    return 1


def same():
    try:
        return 2
    except* ValueError:
        raise
    finally:
        pass


double = lambda x: x + x
'''


def test_every_kind_of_function_is_found_at_its_own_line_and_spliced_back():
    found = [(f.qualname, f.first_line) for f in functions_in(KINDS)]
    assert len(found) == len(set(found)) == 11
    assert [line for name, line in found if name == "A.x"] == [6, 10]
    assert [line for name, line in found if name == "A.f"] == [15, 17, 19]
    assert [line for name, line in found if name == "same"] == [49, 53]
    for number, (qualname, first_line) in enumerate(found):
        function = find_function(KINDS, qualname, first_line)
        assert function is not None
        assert splice(KINDS, function, function.body) == KINDS
        result = splice(KINDS, function, "    spam = 1\n    return spam\n")
        changed = [f.body for f in functions_in(result)]
        kept = [f.body for f in functions_in(KINDS)]
        assert changed.pop(number) == "    spam = 1\n    return spam\n"
        kept.pop(number)
        assert changed == kept
    setter = find_function(KINDS, "A.x", 10)
    assert setter is not None
    assert setter.body == "    self._x = value  # last\n"
    assert "# type: (int) -> None\n    # kept\n" in setter.header


def test_what_cannot_be_rewritten_has_a_reason():
    assert refusal(KINDS, "same", 49) == ""
    assert "lambda" in refusal(KINDS, "<lambda>", 67)
    assert "around" in refusal(KINDS, "f.<locals>.<genexpr>", 3)
    assert "begins" in refusal(KINDS, "same", 50)
    assert "shares a line" in refusal(b'def f(): "doc"; return 1\n', "f", 1)
    newer = refusal(b"def f(:\n    pass\n", "f", 1)
    assert "does not parse" in newer
    assert "line 1" in newer
    assert "newer" in newer
    assert "not utf-8" in refusal(b"# coding: utf-8\ndef f():\n    return '\xff'\n", "f", 2)
    assert refusal(b"# coding: no-such-codec\ndef f():\n    return 1\n", "f", 2)


NEW_SYNTAX = b"""type Pair[T] = tuple[T, T]


class Box[T = int]:
    def get[S: (int, str)](self, *a: *tuple[S, ...]) -> S:
        return f"{self.d["#"]} {"(" + f"{1:>{4}}"}"
"""


def test_newer_syntax_is_spliced_where_our_python_has_it_and_told_where_not():
    if sys.version_info >= (3, 13):
        function = only(NEW_SYNTAX, "get")
        assert splice(NEW_SYNTAX, function, function.body) == NEW_SYNTAX
        assert b"    def get[S: (int, str)]" in splice(NEW_SYNTAX, function, "    return 1\n")
        assert at_statement_boundary(function, function.body)
    else:
        assert functions_in(NEW_SYNTAX) == []
        assert "newer" in refusal(NEW_SYNTAX, "Box.get", 5)


# ------------------------------------------------------------------------------------------------- the whole library


@pytest.fixture(scope="module")
def whole(request) -> bool:
    return bool(request.config.getoption("--whole-library"))


def library(count: int, *, whole: bool = False) -> list[Path]:
    """Return some files of the standard library, other ones every day but the same all day; or all of them."""
    root = Path(sysconfig.get_paths()["stdlib"])
    files = sorted(path for path in root.rglob("*.py") if "site-packages" not in path.parts)
    if whole:
        return files
    files = [path for path in files if path.stat().st_size < 60_000]
    return random.Random(time.strftime("%Y-%m-%d")).sample(files, count)


def test_every_function_of_the_standard_library_can_be_spliced(whole):
    """In a sample of files, or, with --whole-library, in all of them."""
    spent = time.process_time() + (3600 if whole else 3)
    seen = 0
    for path in library(120, whole=whole):
        if time.process_time() > spent:
            break
        source = path.read_bytes()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                names = {(c.co_qualname, c.co_firstlineno) for c in codes(compile(source, str(path), "exec"))}
            except (SyntaxError, UnicodeDecodeError, ValueError):
                assert functions_in(source) == []
                continue
        for number, function in enumerate(functions_in(source)[: None if whole else 25]):
            seen += 1
            where = f"{path}:{function.first_line}"
            assert (function.qualname, function.first_line) in names, where
            assert splice(source, function, function.body) == source, where
            normal_again(function, where)
            if not function.inline:
                assert function.text.count("\n") == function.end_line - function.first_line + 1, where
            if number < 25:
                changed = splice(source, function, f"    spam = 1\n{function.body}    spam = '''\n  1'''\n")
                assert others(changed, function) == others(source, function), where
    assert seen > 40


def normal_again(function: FunctionText, where: str) -> None:
    """Normalising what is normal changes nothing, and written back into any indentation it reads the same."""
    again = find_function(function.text.encode(), function.name, 1)
    assert again is not None, where
    assert (again.text, again.header_lines) == (function.text, function.header_lines), where
    empty = f"class A:\n\tclass B:\n\t\tdef {function.name}(self):\n\t\t\tpass\n".encode()
    if function.body and not function.is_async and "nonlocal" not in function.body:
        back = only(splice(empty, only(empty, function.name), function.body), function.name)
        assert statements(back) == statements(function)[-len(statements(back)) :], where
        assert len(statements(function)) - len(statements(back)) in (0, 1), where  # the docstring stays behind


def statements(function: FunctionText) -> list[str]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        node = ast.parse(function.text).body[0]
    assert isinstance(node, functions.FunctionNode)
    return [ast.dump(statement) for statement in node.body]


def codes(code: CodeType) -> Iterator[CodeType]:
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield constant
            yield from codes(constant)


def others(source: bytes, function: FunctionText) -> str:
    """Return the whole module's tree without the body of one function."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, functions.FunctionNode) and node.name == function.name:
            first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
            if first == function.first_line:
                node.body = node.body[:1] if ast.get_docstring(node, clean=False) is not None else []
    return ast.dump(tree)


# ---------------------------------------------------------------------------------------------- half-written bodies

F = only("@deco\ndef f(xs, y):\n    '''doc'''\n    return xs\n")
G = only("def f(xs):\n    yield 1\n")


def ending(text: str) -> str:
    return text + f"    {RAISE}\n"


COMPLETIONS = {
    "nothing yet": ("", ending("")),
    "a whole line": ("    x = 1\n", ending("    x = 1\n")),
    "an unfinished word": ("    x = 1\n    retur", ending("    x = 1\n")),
    "a line that may not be whole": ("    x = 1\n    return x", ending("    x = 1\n")),
    "an open for": ("    for x in xs:\n", ending(f"    for x in xs:\n        {RAISE}\n")),
    "an open header with the next indentation": ("    if y:\n        ", ending(f"    if y:\n        {RAISE}\n")),
    "an open else": (
        "    if y:\n        return 1\n    else:\n",
        ending(f"    if y:\n        return 1\n    else:\n        {RAISE}\n"),
    ),
    "an unfinished else": ("    if y:\n        return 1\n    els", ending("    if y:\n        return 1\n")),
    "a call over open lines": ("    a = 1\n    g(\n        a,\n", ending("    a = 1\n")),
    "an open try": (
        "    try:\n        a = 1\n        ",
        ending(f"    try:\n        a = 1\n        {RAISE}\n    except BaseException:\n        raise\n"),
    ),
    "an empty try": (
        "    try:\n",
        ending(f"    try:\n        {RAISE}\n    except BaseException:\n        raise\n"),
    ),
    "a try whose handler is being written": (
        "    try:\n        a = 1\n    exce",
        ending("    try:\n        a = 1\n    except BaseException:\n        raise\n"),
    ),
    "an open handler": (
        "    try:\n        a = 1\n    except ValueError:\n",
        ending(f"    try:\n        a = 1\n    except ValueError:\n        {RAISE}\n"),
    ),
    "an open finally": (
        "    try:\n        a = 1\n    finally:\n",
        ending(f"    try:\n        a = 1\n    finally:\n        {RAISE}\n"),
    ),
    "nested tries": (
        "    try:\n        try:\n            a = 1\n",
        ending(
            f"    try:\n        try:\n            a = 1\n            {RAISE}\n        except BaseException:\n"
            "            raise\n    except BaseException:\n        raise\n"
        ),
    ),
    "an unterminated long string": ("    a = 1\n    s = '''abc\n  d\n", ending("    a = 1\n")),
    "an unterminated string on an inner line": ("    a = 1\n    s = 'abc\n    c = 2\n", ending("    a = 1\n")),
    "an unfinished def": ("    a = 1\n    def g(", ending("    a = 1\n")),
    "an open def": ("    def g(a):\n", ending(f"    def g(a):\n        {RAISE}\n")),
    "an open class": ("    class A:\n", ending(f"    class A:\n        {RAISE}\n")),
    "an open match": ("    match y:\n", ending(f"    match y:\n        case _:\n            {RAISE}\n")),
    "the next case": (
        "    match y:\n        case 1:\n            a = 1\n        ",
        ending(f"    match y:\n        case 1:\n            a = 1\n        case _:\n            {RAISE}\n"),
    ),
    "no case after the last": (
        "    match y:\n        case _:\n            a = 1\n        ",
        ending(f"    match y:\n        case _:\n            a = 1\n            {RAISE}\n"),
    ),
    "an open case": (
        "    match y:\n        case [1, *_]:\n",
        ending(f"    match y:\n        case [1, *_]:\n            {RAISE}\n"),
    ),
    "a decorator of nothing": ("    x = 1\n    @cache\n    # why\n", ending("    x = 1\n")),
    "a continued line": ("    x = 1\n    y = x + \\\n", ending("    x = 1\n")),
    "back at the function's level": ("    if y:\n        return 1\n    ", ending("    if y:\n        return 1\n")),
    "a branch that may still go on": (
        "    if y:\n        a = 1\n",
        ending(f"    if y:\n        a = 1\n        {RAISE}\n"),
    ),
    "inside a loop, after its if": (
        "    while y:\n        if xs:\n            break\n        ",
        ending(f"    while y:\n        if xs:\n            break\n        {RAISE}\n"),
    ),
    "comments": ("    # first\n    x = 1  # one\n    # last\n", ending("    # first\n    x = 1  # one\n    # last\n")),
    "an indentation that is not legal": ("    x = 1\n            ", ending("    x = 1\n")),
    "a syntax error after good lines": ("    a = 1\n    b = = 2\n    c = 3\n", ending("    a = 1\n")),
    "a line with a body of its own": ("    if y: return 1\n    ", ending("    if y: return 1\n")),
    "a with over two lines": (
        "    with a as b, \\\n            c as d:\n",
        ending(f"    with a as b, \\\n            c as d:\n        {RAISE}\n"),
    ),
    "carriage returns": ("    x = 1\r\n    ", ending("    x = 1\n")),
    "a docstring": ("    'text'\n", ending("    'text'\n")),
    "an unreachable end": ("    return xs\n", ending("    return xs\n")),
}


@pytest.mark.parametrize("name", COMPLETIONS)
def test_a_half_written_body_is_completed(name):
    partial, expected = COMPLETIONS[name]
    assert complete(F, partial) == expected


@pytest.mark.parametrize("name", COMPLETIONS)
def test_a_completed_body_can_be_spliced(name):
    source = b"class A:\n\tdef f(self, xs, y):\n\t\treturn xs\n"
    body = complete(only(source), COMPLETIONS[name][0])
    assert body is not None
    assert FRONTIER.encode() in splice(source, only(source), body)


@pytest.mark.parametrize(
    "text", ["    x = = 1\n", "    break\n", "    )\n", "    return 'a\n    b = 2\n", "      x = 1\n"]
)
def test_a_body_of_which_nothing_parses_has_no_completion(text):
    function = only("def f():\n    '''doc'''\n    return 1\n")
    assert complete(function, text) is None


def test_a_body_that_has_ended_gets_no_frontier():
    assert complete(F, "    return 1\ndef g():\n") == "    return 1\n"


def test_a_generator_stays_one():
    assert complete(G, "    x = 1\n") == f"    x = 1\n    {RAISE}\n    yield\n"
    assert complete(G, "    yield 1\n") == f"    yield 1\n    {RAISE}\n"
    assert complete(G, "    for x in xs:\n") == f"    for x in xs:\n        {RAISE}\n    {RAISE}\n    yield\n"
    assert (
        complete(G, "    def g():\n        yield 1\n    ") == f"    def g():\n        yield 1\n    {RAISE}\n    yield\n"
    )


def test_no_half_of_any_library_body_ever_returns_by_itself():
    """Every prefix of real bodies completes, keeps its whole lines verbatim, and ends with the frontier."""
    for path in library(6):
        for function in functions_in(path.read_bytes())[:8]:
            lines = logical_lines(function.body)
            for count in range(len(lines)):
                partial = "".join(lines[:count])
                body = complete(function, partial)
                assert body is not None, (path, function.qualname, partial)
                assert not partial.rstrip().endswith(":") or body.startswith(partial)
                last = ast.parse(function.header + body).body[0]
                assert isinstance(last, functions.FunctionNode)
                assert any(FRONTIER in ast.dump(statement) for statement in last.body[-2:])


EVERY_STATEMENT = '''    global g1
    nonlocal n1
    import a.b as c, d
    from . import (
        e,
        f as h,
    )
    x: int = 1; y = 2
    x += 1
    del x
    assert y, "no"
    if y: return 1
    elif (
        y
    ):
        pass
    else:
        y = lambda: (
            1
        )
    for a, b in c:
        continue
    else:
        y = [z for z in c if z]
    while (n := d()):
        break
    else:
        pass
    with open(a) as b, \\
            open(c):
        pass
    try:
        raise ValueError("x") from None
    except (KeyError, OSError) as error:
        pass
    except ValueError: y = 3
    else:
        pass
    finally:
        y = 4
    try:
        pass
    except* TypeError:
        y = 5
    match y:
        case 1 | 2 if y:
            pass
        case {"k": [*_]}:
            pass
    @cache
    # why
    @other(
        1)
    class C(B, k=1):
        """Doc."""
        z = f"{y!r:>{10}}"

        def m(self): return 1
    async def k(*a, **b):
        async for i in a:
            await i
        async with a as b:
            yield b
    s = """text
  with # lines
"""
    print(
        # inside
        s,
    )
    return y
'''


def test_every_prefix_of_every_kind_of_statement_has_a_completion_that_stops_at_its_frontier():
    outer = "def outer():\n    n1 = 1\n    def f(a, c, d, cache, other):\n        return 1\n    return f\n"
    function = only(outer)
    assert splice(outer.encode(), function, EVERY_STATEMENT)
    kept = 0
    for end in range(len(EVERY_STATEMENT) + 1):
        partial = EVERY_STATEMENT[:end]
        body = complete(function, partial)
        assert body is not None, partial
        assert FRONTIER in body, partial
        node = ast.parse(function.header + body).body[0]
        assert isinstance(node, functions.FunctionNode)
        assert any(FRONTIER in ast.dump(statement) for statement in node.body[-2:]), partial
        same = next((n for n, pair in enumerate(zip(body, partial, strict=False)) if pair[0] != pair[1]), len(partial))
        assert same >= kept - len("    @other(\n        1)\n    # why\n    @cache\n"), partial  # nothing is lost again
        kept = max(kept, same)


# --------------------------------------------------------------------------------------------- statement boundaries


@pytest.mark.parametrize(
    "text", ["", "    ", "    x = 1\n", "    x = 1\n    ", "    if x:\n        ", "    g(\n    1)\n"]
)
def test_a_statement_may_begin_after_a_whole_logical_line(text):
    assert at_statement_boundary(F, text)


@pytest.mark.parametrize(
    "text",
    [
        "    x",
        "    x = 1",
        "    g(\n",
        "    g(\n        1,\n        ",
        "    s = '''\n",
        "    s = '''\n  a\n",
        "    x = \\\n",
        "    x = 1\n\n",
        "    x = 1\n    # c\n",
        "    # c\n    ",
        "    s = f'''{\n",
        "    x = 'a\n",
    ],
)
def test_no_statement_begins_inside_brackets_and_strings_or_after_blank_and_comment_lines(text):
    assert not at_statement_boundary(F, text)


def test_boundaries_of_library_bodies_are_where_tokenize_ends_logical_lines():
    for path in library(3):
        for function in functions_in(path.read_bytes())[:6]:
            lines = function.text.split("\n")[:-1]
            tokens = tokenize.generate_tokens(iter(f"{line}\n" for line in lines).__next__)
            ends = {token.start[0] for token in tokens if token.type == tokenize.NEWLINE}
            for number in range(function.header_lines + 1, len(lines) + 1):
                text = "".join(f"{line}\n" for line in lines[function.header_lines : number])
                assert at_statement_boundary(function, text) == (number in ends), (path, number)
