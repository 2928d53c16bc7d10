from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from bot.discover import discover
from bot.functions import BodyError, find_function
from bot.patches import make_patch, unified_diff
from bot.records import Discovery
from bot.verify import verify
from runners.runner import Limits
from tests.circle import SOURCE, function

# ---------------------------------------------------------------------------------------------------------- patches


@pytest.mark.parametrize(
    "source",
    [
        SOURCE,
        SOURCE.rstrip(b"\n"),
        SOURCE.replace(b"\n", b"\r\n"),
        b"# coding: latin-1\ndef area(x):\n    return '\xe9'\n",
        b"def area(x):\n    return x",
        b"\xef\xbb\xbfdef area(x): return x\n",
    ],
)
def test_git_applies_the_diff_to_the_very_bytes_of_the_patch(source, tmp_path):
    patch = make_patch("src/core.py", source, function(source, "area"), "    y = 1\n    return y\n")
    file = tmp_path / "src" / "core.py"
    file.parent.mkdir()
    file.write_bytes(source)
    diff = patch.diff.encode("latin-1" if b"latin-1" in source else "utf-8")
    subprocess.run(["git", "apply", "--whitespace=nowarn", "-"], input=diff, cwd=tmp_path, check=True)
    assert file.read_bytes() == patch.after


def test_a_patch_of_an_invalid_body_is_an_error():
    with pytest.raises(BodyError):
        make_patch("a.py", SOURCE, function(SOURCE, "area"), "    return (\n")


def test_equal_files_have_no_diff():
    assert unified_diff("a.py", SOURCE, SOURCE) == ""


# ---------------------------------------------------------------------------------------------------------- verdicts

PATH = "shop.py"
SHOP = """def price(amount, discount):
    return amount - discount


def tax(amount):
    return amount * 2
"""
TESTS = """import pytest
from shop import price, tax


@pytest.mark.parametrize("amount, discount, expected", [(200, 10, 180), (50, 50, 25), (70, 100, 0)])
def test_price(amount, discount, expected):
    assert price(amount, discount) == expected


def test_no_discount():
    assert price(80, 0) == 80


def test_tax():
    assert tax(3) == 6


@pytest.mark.skip(reason="later")
def test_later():
    pass
"""
RIGHT = "    return amount - amount * discount / 100\n"
LIMITS = Limits(suite_timeout_s=90, test_timeout_s=10)


def silent(event: str, **fields: object) -> None:
    pass


class Case:
    """A repository with its discovery and a patch for `price`."""

    def __init__(self, root: Path, runner) -> None:
        self.root, self.runner = root, runner
        self.discovery: Discovery = discover(runner, emit=silent)
        self.failures = [failure for failure in self.discovery.failures if "test_price" in failure.node_id]

    def judge(self, body: str, **options):
        source = (self.root / PATH).read_bytes()
        target = find_function(source, "price", 1)
        assert target is not None
        patch = make_patch(PATH, source, target, body)
        read = lambda path: (self.root / path).read_bytes()  # noqa: E731
        return verify(patch, self.failures, self.discovery, self.runner, read=read, **options)


@pytest.fixture(scope="module")
def shop(repo, runner):
    root = repo({PATH: SHOP, "test_shop.py": TESTS})
    return Case(root, runner(root, LIMITS))


def test_a_right_patch_is_strong_only_with_held_out_cases_and_isolation(shop):
    ids = [failure.node_id for failure in shop.failures]
    assert len(ids) == 3
    verdict = shop.judge(RIGHT, held_out=ids[2:])
    assert verdict.fixed == tuple(ids)
    assert (verdict.still_failing, verdict.broken, verdict.regression_tests) == ((), (), 2)
    if shop.runner.isolated:
        assert (verdict.word, verdict.level) == ("strong", f"J4 + J5 in {shop.runner.kind}")
    else:
        assert verdict.word == "plausible"
        assert "judged without isolation" in verdict.reasons
    verdict = shop.judge(RIGHT, red_check=False)
    assert verdict.word == "plausible"
    assert "nothing breaks" in verdict.reasons[0]


def test_patches_that_pass_only_some_tests_break_others_or_learn_them_are_not_published(shop):
    verdict = shop.judge("    return 180\n")
    assert verdict.word == "rejected"
    assert len(verdict.still_failing) == 2
    assert "still fail" in verdict.reasons[0]
    body = "    return {200: 180, 50: 25, 70: 0}[amount]\n"
    verdict = shop.judge(body)
    assert verdict.word == "rejected"
    assert verdict.broken == ("test_shop.py::test_no_discount",)
    verdict = shop.judge(body.replace("[amount]", ".get(amount, amount)"), red_check=False)
    assert verdict.word == "suspect"
    assert "overfitting" in verdict.reasons[0]


def test_a_refused_body_is_rejected_before_anything_runs(shop):
    verdict = shop.judge("    import os\n    os._exit(0)\n")
    assert verdict.word == "rejected"
    assert "may not be run" in verdict.reasons[0]


def test_a_patch_that_touches_more_than_one_body_is_rejected(shop):
    source = SHOP.encode()
    target = find_function(source, "price", 1)
    assert target is not None
    patch = make_patch(PATH, source, target, RIGHT)
    for after in (patch.after.replace(b"* 2", b"* 3"), patch.after.replace(b"def price(a", b"def price(a_, a")):
        changed = type(patch)(PATH, "price", source, after, "")
        assert verify(changed, shop.failures, shop.discovery, shop.runner).word == "rejected"


def test_green_tests_that_do_not_run_the_patched_body_prove_nothing(repo, runner):
    """The test passes on its second run whatever the code does, so the patch did not repair it."""
    tests = "import shop\n\ndef test_price():\n    assert len(open(shop.__file__).read()) != 99\n"
    assert len(SHOP) == 99
    root = repo({PATH: SHOP, "test_shop.py": tests})
    verdict = Case(root, runner(root, LIMITS)).judge("    return amount + discount * 1\n")
    assert verdict.word == "rejected"
    assert "other code is being tested" in verdict.reasons[0]
