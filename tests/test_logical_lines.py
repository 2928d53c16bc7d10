from __future__ import annotations

import pytest

from bot.logical_lines import logical_lines, placed, scan


def kinds(text):
    return [(line.kind, line.whole) for line in scan(text)]


def test_logical_lines_take_the_comments_before_them_along():
    text = "    # a\n\n    x = g(\n        1,\n    )\n    return '''\n'''\n    # end\n"
    parts = logical_lines(text)
    assert parts == ["    # a\n\n    x = g(\n        1,\n    )\n", "    return '''\n'''\n", "    # end\n"]
    assert logical_lines("    x = (\n") == ["    x = (\n"]
    assert logical_lines("") == []


def test_statements_comments_and_blank_lines_are_told_apart():
    assert kinds("x = 1\n\n  # c\ny = (\n  2, # d\n\n  3)\n") == [
        ("code", True),
        ("blank", True),
        ("comment", True),
        ("code", True),
    ]


@pytest.mark.parametrize("end", ["f(", "x = [\n  1,\n", "s = '''a\n", "x = 1 + \\\n", "retur", 's = f"{', "{'a': 1"])
def test_the_last_line_is_not_whole_while_something_is_open(end):
    assert kinds(f"x = 1\n{end}") == [("code", True), ("code", False)]


def test_brackets_quotes_and_hashes_inside_strings_and_comments_mean_nothing():
    text = "a = '(' + \"#\" + '''[\n\"''' # ((' \nb = r'\\'\nc = 'it\\'s'\n"
    assert kinds(text.replace("r'\\'", "r'\\\\'")) == [("code", True)] * 3


def test_a_string_cut_by_the_end_of_its_line_spoils_only_that_line():
    first, second = scan("x = 'a\ny = 2\n")
    assert (first.broken, second.broken) == (True, False)


def test_lines_that_begin_inside_a_string_are_known():
    [line] = scan("x = '''a\n  b\n''', g(\n  1)\n")
    assert (line.first, line.last, sorted(line.in_string)) == (0, 3, [1, 2])


def test_headers_of_blocks_are_known_by_their_colon_and_keyword():
    text = "if x:  # why\n    async with y as z:\n        d = x[1:]\n@deco\nlambda: 1\n"
    assert [(line.keyword, line.opens_block) for line in scan(text)] == [
        ("if", True),
        ("with", True),
        ("d", False),
        ("@", False),
        ("lambda", False),
    ]


def test_levels_follow_the_indentation_whatever_its_width():
    text = "if x:\n  # c\n  if y:\n         z\n  w\n# d\nv\n"
    assert [place for _, place in placed(scan(text))] == [(0, 0), (1, 0), (1, 0), (2, 0), (1, 0), (0, 0), (0, 0)]


@pytest.mark.parametrize(
    "line",
    [
        'print(f"{d["#"]} and {d["("]}")\n',
        'x = f"{", ".join(f"{n:>{width}}" for n in names)}"\n',
        'x = rf"{d["a"]}\\d{{" + "("\n',
        "x = f'{f'{f'{1}'}'}' + '''(\n'''\n",
        'x = f"""{\n    d["]"]  # a "comment\n}\n"""\n',
        'x = f"{a}\\N{LEFT PARENTHESIS}{b!r:{c}}"\n',
        't"{x["y"]}"\n',
        'x = f"{x:%H:%M}"; y = "{"\n',
    ],
)
def test_fields_of_format_strings_may_hold_their_own_quotes(line):
    assert logical_lines(line + "y = 1\n") == [line, "y = 1\n"]


@pytest.mark.parametrize("line", ["x = f'{\n", 'x = f"{d["a\n', "x = f'{a:{\n", "x = f'" + "{f'" * 5000 + "\n"])
def test_a_format_string_that_is_cut_is_a_broken_line(line):
    assert not scan(line)[-1].whole or scan(line)[-1].broken
