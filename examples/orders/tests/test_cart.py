import pytest

from orders import Catalogue, Product, UnknownProduct


def test_adding_twice_adds_up(cart):
    cart.add("MUG-01")
    cart.add("mug-01", 2)
    assert [line.quantity for line in cart.lines] == [3]


def test_a_quantity_of_zero_removes_the_line(cart):
    cart.add("MUG-01")
    cart.change("MUG-01", 0)
    assert cart.lines == []


def test_changing_replaces_the_quantity(cart):
    cart.add("TEE-02", 5)
    cart.change("TEE-02", 2)
    assert cart.lines[0].amount == 3980


def test_weight_is_that_of_all_pieces(cart):
    cart.add("MUG-01", 2)
    cart.add("STK-04", 10)
    assert cart.weight == 720


def test_an_unknown_product_is_refused(cart):
    with pytest.raises(UnknownProduct, match="CAP-99"):
        cart.add("CAP-99")


@pytest.mark.parametrize("quantity", [0, -1])
def test_only_whole_pieces_can_be_added(cart, quantity):
    with pytest.raises(ValueError, match="at least 1"):
        cart.add("MUG-01", quantity)


def test_a_negative_price_never_enters_the_catalogue():
    with pytest.raises(ValueError, match="negative"):
        Catalogue([Product("BAD-00", "Mistake", -1)])
