"""What a new body of a test may not do, and what it may."""

from __future__ import annotations

import pytest

from bot.assertions import weakened
from bot.functions import FunctionText, functions_in

OLD = b"""import pytest


@pytest.mark.parametrize("extra", [1, 2])
def test_total(cart, extra):
    cart.add(2)
    assert cart.total() == 12
    assert cart.size == 1
    with pytest.raises(KeyError):
        cart.remove("x")
"""
BODY = """\
    cart.add(2)
    assert cart.total() == 15
    assert cart.size == 1
    with pytest.raises(ValueError):
        cart.remove("x")
"""


def function(source: bytes = OLD) -> FunctionText:
    return next(f for f in functions_in(source) if f.name.startswith("test_"))


def test_other_values_and_other_exceptions_are_no_less():
    assert weakened(function(), BODY) == ""
    assert weakened(function(), BODY.replace("cart.add(2)\n", "cart.add(2)\n    cart.add(3)\n")) == ""
    assert weakened(function(), BODY.replace("ValueError)", "ValueError, match='x')")) == ""


WEAKER = {
    "asserts nothing": "    cart.add(2)\n",
    "3 assertions become 2": BODY.replace("    assert cart.size == 1\n", ""),
    "true whatever the code does": BODY.replace("cart.size == 1", "True"),
    "true whatever the code does (cart.total() == cart.total())": BODY.replace("== 15", "== cart.total()"),
    "true whatever the code does (1 == 1)": BODY.replace("cart.size == 1", "1 == 1"),
    "says less": BODY.replace("== 15", "is not None"),
    "says less ": BODY.replace("cart.total() == 15", "isinstance(cart.total(), int)"),
    "says less  ": BODY.replace("cart.total() == 15", "cart.total()"),
    "says less   ": BODY.replace("== 15", ">= 15"),
    "says less    ": BODY.replace("== 15", "!= 12"),
    "says less     ": BODY.replace("ValueError", "Exception"),
    "says less      ": BODY.replace("== 15", "== 15 or cart"),
    "no longer runs": BODY.replace("    assert cart.size == 1\n", "    if cart.size:\n        assert cart.size == 1\n"),
    "no longer runs ": BODY.replace("    assert cart.size == 1\n", "    for x in cart:\n        assert x == 1\n"),
    "no longer runs  ": BODY.replace(
        "    assert cart.size == 1\n",
        "    try:\n        assert cart.size == 1\n    except AssertionError:\n        pass\n",
    ),
    "catches exceptions": "    try:\n        cart.add(2)\n    finally:\n        pass\n" + BODY,
    "calls skip": "    pytest.skip('later')\n" + BODY,
    "calls xfail": BODY + "    pytest.xfail('known')\n",
    "calls suppress": "    with suppress(AssertionError):\n        cart.add(1)\n" + BODY,
    "returns before": "    if extra:\n        return\n" + BODY,
    "sets an attribute": "    cart.total = lambda: 15\n" + BODY,
    "replaces code (setattr)": "    setattr(cart, 'total', int)\n" + BODY,
    "replaces code (patch)": "    mock.patch('cart.Cart.total')\n" + BODY,
    "sets a tolerance": BODY.replace("== 15", "== pytest.approx(15, abs=100)"),
    "defines something": "    def total():\n        return 15\n" + BODY,
    "reaches outside": "    import cart\n" + BODY,
    "allows an alternative": BODY.replace("cart.add(2)", "cart.add(2 or 3)"),
    "not valid Python": "    assert (\n",
}


@pytest.mark.parametrize("reason", WEAKER)
def test_what_makes_a_test_green_without_making_it_right_is_refused(reason):
    assert reason.strip() in weakened(function(), WEAKER[reason])


def test_what_the_old_body_did_is_not_held_against_the_new_one():
    source = b"def test_a(cart):\n    try:\n        assert cart.total() == 1\n    finally:\n        cart.close()\n"
    assert weakened(function(source), function(source).body.replace("== 1", "== 2")) == ""


def test_unittest_assertions_count_too():
    source = b"class T:\n    def test_a(self):\n        self.assertEqual(f(1), 2)\n        self.assertIn(3, f(4))\n"
    old = function(source)
    assert weakened(old, old.body.replace("2)", "5)")) == ""
    assert "says less" in weakened(old, "    self.assertTrue(f(1))\n    self.assertIn(3, f(4))\n")
    assert "true whatever" in weakened(old, "    self.assertEqual(f(1), f(1))\n    self.assertIn(3, f(4))\n")
