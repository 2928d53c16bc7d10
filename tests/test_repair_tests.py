"""Stale tests repaired on request: the examples end to end, and what may not be proposed. In a real sandbox."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from bot import report
from bot.config import Config
from bot.discover import discover
from bot.functions import functions_in
from bot.json_documents import repair_document
from bot.mutants import noticed
from bot.observed import corrected
from bot.patch_file import changes, patch_file
from bot.patches import make_patch
from bot.pipeline import combined, repair
from bot.records import Budget, Verdict
from bot.repair_tests import LABEL, by_test_function, judged
from bot.wording import commit_message
from runners.runner import Frame, TestRun

EXAMPLES = Path(__file__).parents[1] / "examples"
CONFIG = Config(model="none", runner="local", repair="tests", budget=Budget(60.0, None, None, 200), unsafe_local=True)


def quiet(event, **fields):
    """Tell nobody."""


NEW = {
    "postage": ["== 95", "== 120", "== 180", "postage(catalogue) == 225"],
    "inventory": ["with pytest.raises(ValueError):"],
    "receipts": ["'Tea: 4.50 EUR')", "'Total: 16.75 EUR')"],
}


@pytest.mark.parametrize("name", NEW)
def test_a_stale_example_gets_its_one_test_brought_up_to_date(name, tmp_path):
    root = Path(shutil.copytree(EXAMPLES / f"stale_{name}", tmp_path / name))
    outcome = repair(root, CONFIG, quiet)
    (one,) = outcome.repairs
    assert outcome.all_repaired
    assert (one.verdict.word, one.patch.subject, one.candidate.origin) == ("plausible", "tests", "observed")
    assert one.verdict.reasons[0] == LABEL
    assert list(combined(outcome.repairs)) == [f"tests/test_{name}.py"]
    added = [line for line in one.patch.diff.splitlines() if line.startswith("+ ")]
    assert len(added) == len(NEW[name])
    assert all(new in line for new, line in zip(NEW[name], added, strict=True))
    patches = changes(outcome.repairs, combined(outcome.repairs))
    assert patch_file(patches).startswith(b"# A TEST is changed here")
    assert "A TEST is changed here" in commit_message(outcome, patches)
    assert "A TEST is changed here" in report.markdown(outcome, report.Run())
    assert repair_document(outcome, report.Run(), exit_code=0)["repairs"][0]["patch"]["subject"] == "tests"


CODE = b'''def price(amount, member=False):
    """Return the price in cents."""
    return amount * (90 if member else 110)


def broken(x):
    return x.missing
'''
TESTS = b"""import pytest

from shop import broken, price


@pytest.mark.parametrize("amount, expected", [(1, 100), (2, 200)])
def test_by_parameter(amount, expected):
    assert price(amount) == expected


def test_price():
    assert price(2) == 200
    assert price(3, member=True) == 270


def test_broken():
    assert broken(1) == 3
"""


@pytest.fixture(scope="module")
def shop(repo, runner):
    root = repo({"shop.py": CODE, "tests/test_shop.py": TESTS})
    opened = runner(root)
    return root, opened, discover(opened, emit=quiet)


def test_what_stands_in_parameters_or_raises_is_left_to_a_person(shop):
    root, _, discovery = shop
    config = replace(CONFIG, tests=("tests/test_shop.py::test_by_parameter", "tests/test_shop.py::test_broken"))
    outcome = repair(root, replace(config, budget=Budget(20.0, None, None, 8)), quiet)
    assert {f.node_id.partition("::")[2].partition("[")[0] for r in outcome.repairs for f in r.failures} == {
        "test_by_parameter",
        "test_broken",
    }
    assert not any(one.published for one in outcome.repairs)
    groups = by_test_function(discovery.failures, lambda path: (root / path).read_bytes())
    assert sorted((len(failures), suspects[0].key.qualname) for failures, suspects in groups) == [
        (1, "test_broken"),
        (1, "test_price"),
        (2, "test_by_parameter"),
    ]


def test_a_new_test_that_misses_a_fault_the_old_one_noticed_is_rejected(shop):
    root, runner, discovery = shop
    function = next(f for f in functions_in(TESTS) if f.name == "test_price")
    (failure,) = (f for f in discovery.failures if f.node_id.endswith("::test_price"))
    (key,) = (key for key in failure.functions if key.qualname == "price")
    code = next(f for f in functions_in(CODE) if f.name == "price")

    good = "    assert price(2) == 220\n    assert price(3, member=True) == 270\n"
    patch = make_patch("tests/test_shop.py", TESTS, function, good)
    found = noticed(patch, [failure.node_id], [(key, code, CODE)], runner)
    assert found.missed == ()
    assert 0 < found.by_old <= found.by_new <= found.tried
    blind = "    assert price(0) == 0\n    assert price(0, member=True) == 0\n"
    patch = make_patch("tests/test_shop.py", TESTS, function, blind)
    (group,) = (g for g in by_test_function([failure], lambda path: (root / path).read_bytes()))
    under_test = [replace(group[1][0], key=key)]
    passing = Verdict("plausible", ("passes",))

    def read(path):
        return (root / path).read_bytes()

    verdict = judged(patch, passing, function, blind, under_test, runner, [failure.node_id], read)
    assert verdict.word == "rejected"
    assert "faults that the old test noticed" in verdict.reasons[1]
    assert "price in shop.py, line 3" in verdict.reasons[1]
    weak = "    assert price(2) is not None\n    assert price(3, member=True) == 270\n"
    verdict = judged(patch, passing, function, weak, under_test, runner, [failure.node_id], read)
    assert (verdict.word, verdict.reasons[1]) == ("rejected", "an assertion says less than before")
    verdict = judged(patch, passing, function, good, [], runner, [failure.node_id], read)
    assert verdict.word == "suspect"
    assert "nothing shows that it still tests the code" in verdict.reasons[1]


STALE = b'''def test_it(thing):
    """A test."""
    expected = "\xc3\xa4"
    assert thing.name() == expected
    assert 3 == thing.size(
        "x"
    )
    assert thing.share == pytest.approx(0.5)
    with pytest.raises(KeyError):
        thing.drop()
    assert thing.lenght == 2
'''


def corrected_at(line: int, message: str, exception: str = "AssertionError", names=()) -> str:
    function = next(iter(functions_in(STALE)))
    frames = (Frame("tests/t.py", line, "test_it"), Frame("thing.py", 3, "size"))
    run = TestRun("t", "failed", exception=exception, message=message, frames=frames)
    return corrected(function, function.body, run, names)


def test_corrections_take_over_what_was_met():
    assert "expected = 'b'" in corrected_at(4, "AssertionError: assert 'b' == '\xe4'\n +  where 'b' = name()")
    assert "assert 4 == thing.size(" in corrected_at(5, "assert 3 == 4")
    assert "approx(0.75)" in corrected_at(8, "assert 0.75 == 0.5 ± 5.0e-07\nassert 0.75 == 0.5")
    assert "pytest.raises(ValueError)" in corrected_at(10, "ValueError: no", "ValueError")
    assert "pytest.raises(Gone)" in corrected_at(10, "Gone", "Gone", names=("Gone",))
    meant = "AttributeError: 'T' object has no attribute 'lenght'. Did you mean: 'length'?"
    assert "thing.length == 2" in corrected_at(11, meant, "AttributeError")


@pytest.mark.parametrize(
    ("line", "message", "exception"),
    [
        (4, "AssertionError: assert <Thing at 0x7f> == 'x'", "AssertionError"),
        (4, "assert open('/etc/passwd') == 'x'", "AssertionError"),
        (4, "a text that an author wrote", "AssertionError"),
        (5, "assert 3 == " + "9" * 500, "AssertionError"),
        (10, "Unknown", "Unknown"),
        (99, "assert 3 == 4", "AssertionError"),
    ],
)
def test_only_plain_values_and_known_names_are_taken_over(line, message, exception):
    assert corrected_at(line, message, exception) == ""
