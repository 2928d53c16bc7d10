"""Mutants of packages: suites taken apart, classes of faults, and a small package through all of it."""

from __future__ import annotations

import random
import textwrap

import pytest

from benchmarks.cases import Case, all_pass, load
from benchmarks.fault_classes import CLASSES, EITHER, EXCESS, MISSING, SEVERAL, fault_class
from benchmarks.mutants import Covered, Package, main, mutant, packages
from benchmarks.suites import name_of, take_apart
from bot.functions import functions_in
from runners.local import bubblewrap_works
from runners.runner import FunctionKey
from training.faults import OPERATORS, inject

SUITE = '''
import pytest

from shop import price

KNOWN = {"tea": 3}


def helper():
    assert KNOWN


def test_price():
    count = 2
    assert price(3, count) == 6
    result = price(1, 1)
    assert result == 1
    with pytest.raises(TypeError):
        price(None, 1)


class TestMore:
    def test_free(self):
        assert price(0, 5) == 0

    @pytest.mark.parametrize("count", [1, 2])
    def test_count(self, count):
        assert price(1, count) == count
        assert price(2, count) == 2 * count


class TestOdd:
    """Nothing but tests."""

    def test_odd(self):
        assert price(3, 3) == 9
'''
SHOP = '''
def price(each, count):
    """Return what several cost."""
    total = 0
    for _ in range(count):
        total = total + each
    return total
'''
INSIDE = """
from shop import price


class Derived:
    pass


def test_state():
    seen = iter([price(1, 1), price(2, 1), price(3, 1)])
    assert next(seen) == 1
    assert next(seen) == 2


def test_large():
    assert price(7, 2) == 14
    assert price(9, 3) == 27
    assert price(5, 0) == 0
    assert price(4, 4) == 16
"""


def test_a_test_of_several_assertions_becomes_one_for_each_with_what_stands_before():
    suite = take_apart(SUITE)
    text = suite.text({("", "test_price_1")})
    assert "count = 2\n    result = price(1, 1)\n    assert result == 1" in text
    assert "test_price_0" not in text
    assert "def helper" in text
    assert "KNOWN" in text
    assert "raises" in suite.text({("", "test_price_2")})


def test_methods_keep_their_class_and_decorators_and_a_class_without_tests_is_empty():
    suite = take_apart(SUITE)
    text = suite.text({("TestMore", "test_count_1")})
    assert "parametrize" in text
    assert "test_free" not in text
    assert "class TestOdd" in text
    compile(text, "suite", "exec")


def test_every_name_is_kept_alone_and_together():
    suite = take_apart(SUITE)
    assert len(suite.names) == len(set(suite.names)) == 7
    for name in suite.names:
        assert sum(f"def {other[1]}(" in suite.text({name}) for other in suite.names) == 1
    assert all(f"def {name[1]}(" in suite.text(suite.names) for name in suite.names)


def test_a_fixture_that_is_named_like_a_test_stays_whatever_is_kept():
    fixture = "@pytest.fixture(params=[1, 2])\ndef test_input(request):\n    return request.param\n"
    bare = "@fixture\ndef test_shop():\n    return 3\n"
    suite = take_apart(f"{fixture}\n{bare}\n\ndef test_it(test_input):\n    assert test_input\n")
    assert suite.names == (("", "test_it"),)
    assert "def test_input" in suite.text(())
    assert "def test_shop" in suite.text(())


def test_the_name_of_a_test_is_read_from_its_node_id():
    assert name_of("tests/test_shop.py::TestMore::test_count_1[2]") == ("TestMore", "test_count_1")
    assert name_of("tests/test_shop.py::test_price_0") == ("", "test_price_0")


def test_every_operator_has_a_class():
    assert set(CLASSES) | set(EITHER) == set(OPERATORS)
    assert not set(CLASSES) & set(EITHER)


@pytest.mark.parametrize(
    ("operator", "faulty", "expected"),
    [
        ("ARG", "f(a)", MISSING),
        ("ARG", "f(a, b, c)", EXCESS),
        ("ARG", "f(b, a)", "variable misuse"),
        ("STMT_DEL", "f(a, b)", MISSING),
        ("NUM", "f(a, -b)", "value misuse"),
        ("NOT", "not f(a, b)", EXCESS),
    ],
)
def test_what_only_removes_is_missing_logic_and_what_only_adds_is_excess(operator, faulty, expected):
    before = "def g(a, b):\n    return f(a, b)\n"
    assert fault_class([operator], before.replace("f(a, b)", faulty), before) == expected


def test_two_operators_are_a_class_of_their_own_and_every_real_fault_has_one():
    assert fault_class(["NUM", "CMP"], "", "") == SEVERAL
    text = SHOP.strip() + "\n"
    faults = [inject(text, random.Random(seed)) for seed in range(60)]
    assert {fault_class(fault.operators, fault.text, text) for fault in faults if fault} >= {MISSING, "value misuse"}


def test_packages_without_tests_are_left_out_and_test_modules_are_kept_apart(tmp_path, capsys):
    for path, text in {"shop-1.0/shop.py": SHOP, "shop-1.0/setup.py": "", "bare-2/bare.py": "x = 1\n"}.items():
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(text)
    (tmp_path / "shop-1.0" / "tests").mkdir()
    (tmp_path / "shop-1.0" / "tests" / "test_shop.py").write_text(SUITE)
    (one,) = packages(tmp_path, ["bare", "gone", "shop"])
    assert (one.name, set(one.files), set(one.test_modules)) == (
        "shop-1.0",
        {"shop.py", "pyproject.toml"},
        {"tests/test_shop.py"},
    )
    assert capsys.readouterr().err == "bare: no tests in it, left out\ngone: not there, left out\n"


def test_mutants_of_functions_of_one_name_have_names_of_their_own():
    source = f"if True:\n{textwrap.indent(SHOP.strip(), '    ')}\nelse:\n{textwrap.indent(SHOP.strip(), '    ')}\n"
    package = Package("shop-1.0", {"shop.py": source}, {})
    names = set()
    for function in functions_in(source.encode()):
        key = FunctionKey("shop.py", "price", function.first_line)
        made = mutant(Covered(package, key, function, "test_shop.py", take_apart(SUITE), ()), 0, 0)
        assert made is not None
        names.add(made.name)
    assert names == {"shop-1.0 shop.py price in line 2 0", "shop-1.0 shop.py price in line 9 0"}


@pytest.mark.skipif(not bubblewrap_works(), reason="needs bubblewrap")
def test_mutants_of_a_package_fail_both_halves_and_an_interrupted_run_is_continued(tmp_path, capsys):
    folder, out = tmp_path / "packages", tmp_path / "mutants.jsonl"
    (folder / "shop-1.0" / "tests").mkdir(parents=True)
    (folder / "shop-1.0" / "shop.py").write_text(SHOP)
    (folder / "shop-1.0" / "tests" / "test_inside.py").write_text(INSIDE)
    arguments = ["--packages", str(folder), "--only", "shop", "--out", str(out), "--turns", "6"]
    assert main([*arguments, "--count", "1"]) == 0
    (first,) = load(out)
    assert main([*arguments, "--count", "2"]) == 0
    again, second = load(out)
    assert first == again != second
    assert "2 in" in capsys.readouterr().out
    for case in (first, second):
        assert isinstance(case, Case)
        assert case.function == "price"
        assert "def test_state_1" not in case.files["tests/test_inside.py"] + case.hidden["tests/test_inside.py"]
        for files in (case.files, {**case.files, **case.hidden}):
            assert not all_pass(files, "local")
            assert all_pass({**files, "shop.py": SHOP}, "local")
