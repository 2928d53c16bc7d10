"""What of a bundle may be published: bodies of the functions that it names, in files that may change."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bot.admission import changed_functions, refusal, refused_path, together_refusal
from bot.bundle import Failing, FileChange, Function, Proposal

BEFORE = b'''# shapes
import math


@math.isclose
def area(w, h=2):
    """Return the area."""
    return w + h


class Box:
    size = 3

    def grow(self, by):
        def inner():
            return by
        return inner() - 1  # less

    @property
    def full(self): return self.size == 0


LIMIT = 10
'''


def proposal(
    after: bytes, *, before: bytes = BEFORE, path: str = "src/shapes.py", name: str = "area", **changes: object
):
    made = Proposal(
        kind="code",
        tests=(Failing("tests/test_shapes.py::test_area"),),
        functions=(Function(path, name),),
        files=(FileChange(path, before, after),),
        word="strong",
        reasons=(),
        fixed=(),
        level="",
        regression_tests=1,
        origin="edit",
        setting="",
        spent={},
    )
    return replace(made, **changes)


def edited(*pairs: tuple[bytes, bytes]) -> bytes:
    content = BEFORE
    for old, new in pairs:
        assert content.count(old) == 1, old
        content = content.replace(old, new)
    return content


BODY = (b"return w + h", b"total = w * h\n    return total")
INNER = (b"return inner() - 1  # less", b"if by:\n            return inner() + 1\n        # more\n        return 0")
INLINE = (b"return self.size == 0", b"return self.size != 0")


@pytest.mark.parametrize(
    ("pair", "name"),
    [
        (BODY, "area"),
        (INNER, "Box.grow"),
        (INNER, "Box.grow.<locals>.inner"),
        (INLINE, "Box.full"),
        ((b"    return w + h\n", b"    return w * h\n    # why\n"), "area"),
    ],
)
def test_another_body_of_a_function_it_names_is_admitted(pair, name):
    assert refusal(proposal(edited(pair), name=name)) == ""


@pytest.mark.parametrize(
    ("pair", "said"),
    [
        ((b"h=2", b"h=3"), "more than bodies"),
        ((b"def area(w, h=2)", b"async def area(w, h=2)"), "more than bodies"),
        ((b"@math.isclose\n", b""), "more than bodies"),
        ((b"Return the area.", b"Return it."), "more than bodies"),
        ((b"LIMIT = 10", b"LIMIT = 11"), "more than bodies"),
        ((b"import math", b"import math, os"), "more than bodies"),
        ((b"size = 3", b"size = 4"), "more than bodies"),
        ((b"    return w + h\n", b"    return w * h\n\n\nprint('hello')\n"), "more than bodies"),
        ((b"    return w + h\n", b"    return w * h\n\n\ndef area(w):\n    return 0\n"), "more than bodies"),
        ((b"# shapes\n", b"# forms\n"), "bytes outside"),
        ((b"LIMIT = 10\n", b"LIMIT  = 10\n"), "bytes outside"),
        ((b"# shapes\n", b"# -*- coding: latin-1 -*-\n"), "encoding"),
        ((b"# shapes\n", b"\xef\xbb\xbf# shapes\n"), "encoding"),
        ((b"return w + h", b"return w +"), "not Python"),
        ((b"return w + h", b"nonlocal w"), "not Python"),
        ((b"return w + h", b"return w + h"), "no body"),
        ((b"return w + h", b"return eval('w') * h"), "eval"),
        ((b"return w + h", b"import subprocess\n    return w * h"), "subprocess"),
        (INLINE, "which it does not name"),
    ],
)
def test_whatever_else_differs_is_refused(pair, said):
    assert said in refusal(proposal(edited(pair)))


def test_one_hidden_change_beside_an_honest_one_is_refused():
    assert "bytes outside" in refusal(proposal(edited(BODY, (b"LIMIT = 10\n", b"LIMIT = 10 \n"))))
    assert "which it does not name" in refusal(proposal(edited(BODY, INLINE)))


@pytest.mark.parametrize(
    "path",
    [
        "tests/shapes.py", "src/test_shapes.py", "conftest.py", "src/conftest.py", "setup.py", "pyproject.toml",
        "uv.lock", ".github/workflows/ci.py", ".GitHub/x.py", "/etc/x.py", "../x.py", "a//b.py", "a/./b.py",
        "a\\b.py", "a\nb.py", ".git/hooks/x.py", "noxfile.py", "lib/site-packages/x.py",
    ],
)  # fmt: skip
def test_files_that_are_no_ordinary_code_are_refused(path):
    assert refused_path(path)
    assert refusal(proposal(edited(BODY), path=path))


def test_excluded_files_verdicts_and_repeated_files_are_refused():
    good = proposal(edited(BODY))
    assert refusal(good, exclude=["src/*"]) == "src/shapes.py: --exclude names it"
    for word in ("suspect", "rejected"):
        assert word in refusal(replace(good, word=word))
    assert "twice" in refusal(replace(good, files=good.files * 2))


def test_a_labelled_repair_of_one_test_function_needs_a_flag():
    before = b"def test_a():\n    assert f() == 1\n\n\ndef test_b():\n    assert f() == 2\n"
    one, both = before.replace(b"== 1", b"== 3"), before.replace(b"== 1", b"== 3").replace(b"== 2", b"== 4")
    stale = proposal(one, before=before, path="tests/test_f.py", name="test_a", kind="tests")
    assert "--allow-tests" in refusal(stale)
    assert refusal(stale, allow_tests=True) == ""
    assert "a test is never changed" in refusal(replace(stale, kind="code"), allow_tests=True)
    two = replace(stale, files=(FileChange("tests/test_f.py", before, both),))
    two = replace(two, functions=(Function("tests/test_f.py", "test_a"), Function("tests/test_f.py", "test_b")))
    assert "more than one test function" in refusal(two, allow_tests=True)
    assert "this is none" in refusal(proposal(edited(BODY), kind="tests"), allow_tests=True)
    helper = replace(stale, files=(FileChange("tests/conftest.py", before, one),))
    assert refusal(helper, allow_tests=True)


def test_together_only_bodies_that_were_proposed_are_admitted():
    first, second = proposal(edited(BODY)), proposal(edited(INLINE), name="Box.full")
    both = FileChange("src/shapes.py", BEFORE, edited(BODY, INLINE))
    assert together_refusal([both], [first, second]) == ""
    assert "no proposal has this body" in together_refusal([both], [first])
    other = FileChange("src/other.py", BEFORE, edited(BODY))
    assert "no proposal changes it" in together_refusal([other], [first])


def test_carriage_returns_tabs_and_other_encodings_survive_the_look():
    before = "# -*- coding: latin-1 -*-\r\ndef f(x):\r\n\treturn 'é' + x\r\n\r\n\r\nlast = 'ü'\r\n".encode("latin-1")
    after = before.replace(b"+ x", b"* x")
    assert [one.qualname for one in changed_functions(FileChange("f.py", before, after))] == ["f"]
    with pytest.raises(ValueError, match="bytes outside"):
        changed_functions(FileChange("f.py", before, after.replace(b"\r\n\r\nlast", b"\n\nlast")))
