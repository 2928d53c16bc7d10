"""The benchmark of real packages: how failing tests are dealt, and one fault from the package to the table."""

from __future__ import annotations

from pathlib import Path

from benchmarks import packages
from benchmarks.package_faults import dealt, draw, faulty_source, healthy, load, save

MODULE = '''\
def total(prices, discount):
    """Return the sum of the prices, less the discount, never below zero."""
    value = sum(prices)
    if value > discount:
        return value - discount
    return 0


NAMES = {1: "one"}
'''
TESTS = """\
import pytest

from shop import NAMES, total


@pytest.mark.parametrize("number", range(6))
def test_names(number):
    assert NAMES.get(number) in (None, "one")


def test_one_price():
    assert total([5], 1) == 4


def test_two_prices():
    assert total([5, 7], 2) == 10


def test_no_discount():
    assert total([3, 4], 0) == 7


def test_a_large_discount_leaves_nothing():
    assert total([3], 9) == 0


def test_the_whole_price_as_a_discount():
    assert total([3], 3) == 0
"""


def package(folder: Path) -> Path:
    root = folder / "shop-1.0"
    (root / "tests").mkdir(parents=True)
    (root / "shop.py").write_text(MODULE)
    (root / "tests" / "test_shop.py").write_text(TESTS)
    (root / "pyproject.toml").write_text('[tool.pytest.ini_options]\npythonpath = ["."]\n')
    return root


def test_every_second_failing_function_is_held_back_with_all_its_cases():
    visible, held = dealt(["t.py::a[1]", "t.py::a[2]", "t.py::b[1]", "t.py::c"])
    assert (visible, held) == (("t.py::a[1]", "t.py::a[2]", "t.py::c"), ("t.py::b[1]",))


def test_cases_of_a_single_function_are_dealt_themselves():
    assert dealt(["t.py::a[1]", "t.py::a[2]", "t.py::a[3]"]) == (("t.py::a[1]", "t.py::a[3]"), ("t.py::a[2]",))


def test_a_test_whose_id_begins_like_a_held_one_is_held_as_well():
    """Deselecting goes by the beginning of the id, so the repair would not see it either."""
    visible, held = dealt(["t.py::a", "t.py::b", "t.py::b_too"])
    assert (visible, held) == (("t.py::a",), ("t.py::b", "t.py::b_too"))


def test_a_drawn_fault_fails_tests_of_both_halves_and_goes_through_the_benchmark(tmp_path: Path):
    root = package(tmp_path)
    whole = healthy(root, "local")
    assert len(whole.passing) == 11
    (fault,) = draw(whole, 1, seed=3, runner="local")
    assert fault.qualname == "total"
    assert fault.visible
    assert fault.held
    assert faulty_source(root, fault) != (root / "shop.py").read_bytes()
    save([fault], tmp_path / "out.faults.jsonl")
    assert load(tmp_path / "out.faults.jsonl") == [fault]
    result = packages.measured(root, fault, packages.ARMS["J"], None, 20.0, whole.passing)
    assert (result.error, result.found, result.rank) == ("", True, 1)
    assert result.came in ("same", "right", "wrong", "")
    assert "| total |" in packages.report([fault], [result])
    assert (root / "shop.py").read_text() == MODULE
