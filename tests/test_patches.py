from __future__ import annotations

import pytest

from bot.functions import FunctionText, functions_in
from bot.patches import body_change, joined, make_patch, moved_onto, original_frame, original_key, with_body
from bot.records import Patch
from runners.runner import Frame, FunctionKey

PRICES = b"def net(x):\n    return x\n\n\ndef gross(x):\n    return net(x)\n"
CART = b"class Cart:\n    def total(self):\n        return 0\n"


def function(source: bytes, name: str) -> FunctionText:
    return next(f for f in functions_in(source) if f.name == name)


def step(path: str, source: bytes, name: str, body: str) -> Patch:
    return make_patch(path, source, function(source, name), body)


@pytest.fixture
def both() -> Patch:
    net = step("prices.py", PRICES, "net", "    y = x + 1\n    return y\n")
    gross = step("prices.py", net.after, "gross", "    return net(x) * 2\n")
    total = step("cart.py", CART, "total", "    return 1\n")
    return joined([net, gross, total])


def test_a_patch_of_one_body_is_its_only_step():
    patch = step("cart.py", CART, "total", "    return 1\n")
    assert patch.steps == (patch,)
    assert joined([patch]) == patch
    assert patch.files == {"cart.py": CART.replace(b"0", b"1")}
    assert patch.originals == {"cart.py": CART}


def test_bodies_of_several_files_make_one_patch_with_one_diff(both):
    assert both.title == "net in prices.py and gross in prices.py and Cart.total in cart.py"
    assert both.originals == {"prices.py": PRICES, "cart.py": CART}
    assert both.files["prices.py"] == PRICES.replace(b"    return x\n", b"    y = x + 1\n    return y\n").replace(
        b"return net(x)", b"return net(x) * 2"
    )
    assert both.diff.count("--- a/prices.py") == both.diff.count("--- a/cart.py") == 1
    for line in ("-    return x", "+    return net(x) * 2", "+        return 1"):
        assert f"\n{line}\n" in both.diff


def test_every_step_is_one_body_and_nothing_else(both):
    assert [body_change(one)[1] for one in both.steps] == [
        "    y = x + 1\n    return y\n",
        "    return net(x) * 2\n",
        "    return 1\n",
    ]
    swapped = Patch("prices.py", "net", PRICES, PRICES.replace(b"net(x):", b"net(x, y=0):"), "")
    elsewhere = Patch("prices.py", "net", PRICES, PRICES + b"z = 1\n", "")
    assert body_change(swapped) is None
    assert body_change(elsewhere) is None


def test_steps_that_do_not_follow_from_each_other_are_no_patch():
    net, gross = (step("prices.py", PRICES, name, "    return 1\n") for name in ("net", "gross"))
    with pytest.raises(ValueError, match="gross"):
        joined([net, gross])
    with pytest.raises(ValueError, match="at least one"):
        joined([])


def test_a_patch_moves_onto_files_that_another_has_changed(both):
    earlier = step("prices.py", PRICES, "net", "    a = 1\n    b = 2\n    return a + b + x\n")
    gross = step("prices.py", PRICES, "gross", "    return 3\n")
    moved = moved_onto(earlier.files, gross)
    assert moved is not None
    assert moved.before == earlier.after
    assert moved.after == earlier.after.replace(b"return net(x)", b"return 3")
    assert moved_onto(gross.files, gross) is None  # nothing left to do
    partly = moved_onto(both.steps[0].files, both)
    assert partly is not None
    assert [one.qualname for one in partly.steps] == ["gross", "Cart.total"]
    assert partly.files == {**both.files}


def test_a_patch_does_not_move_onto_a_file_without_its_function(both):
    assert moved_onto({"prices.py": b"x = 1\n"}, both) is None


def test_another_body_can_stand_in_one_of_the_functions(both):
    files = with_body(both, both.steps[0], "    raise ValueError\n")
    assert files["prices.py"] == both.files["prices.py"].replace(
        b"    y = x + 1\n    return y\n", b"    raise ValueError\n"
    )
    assert files["cart.py"] == both.files["cart.py"]
    with pytest.raises(ValueError, match="area"):
        with_body(both, Patch("shop.py", "area", b"", b"", ""), "    raise ValueError\n")


def test_what_a_run_with_the_patch_tells_is_placed_in_the_original_files(both):
    moved = FunctionKey("prices.py", "gross", 6)  # one line further down, since `net` became longer
    assert original_key(both, moved) == FunctionKey("prices.py", "gross", 5)
    assert original_frame(both, Frame("prices.py", 7, "gross")) == Frame("prices.py", 6, "gross")
    for elsewhere in (FunctionKey("other.py", "f", 3), FunctionKey("prices.py", "gone", 3)):
        assert original_key(both, elsewhere) == elsewhere
    assert original_frame(both, Frame("other.py", 3, "f")) == Frame("other.py", 3, "f")
