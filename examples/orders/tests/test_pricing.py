import pytest

from orders import Voucher, price_order


def test_a_small_domestic_order_pays_shipping(cart):
    cart.add("TEE-02")
    quote = price_order(cart, country="DE")
    assert (quote.discount, quote.shipping, quote.total) == (0, 490, 2480)


def test_ten_mugs_are_five_per_cent_off(cart):
    cart.add("MUG-01", 10)
    quote = price_order(cart, country="DE")
    assert quote.discount == 448
    assert quote.total == 8950 - 448


def test_the_discount_counts_each_product_by_itself(cart):
    cart.add("MUG-01", 8)
    cart.add("TEE-02", 8)
    assert price_order(cart, country="DE").discount == 0


def test_free_shipping_looks_at_what_is_left_after_the_voucher(cart):
    cart.add("TEE-02", 4)
    assert price_order(cart, country="DE").shipping == 0
    assert price_order(cart, country="DE", voucher=Voucher("SPRING", 500)).shipping == 490


@pytest.mark.parametrize(("country", "shipping"), [("DE", 490), ("FR", 1290), ("JP", 3190)])
def test_shipping_abroad_counts_started_kilograms(cart, country, shipping):
    cart.add("BOOK-03", 2)
    assert price_order(cart, country=country).shipping == shipping


def test_books_carry_the_reduced_tax(cart):
    cart.add("BOOK-03")
    cart.add("TEE-02")
    assert price_order(cart, country="DE").tax == 160 + 318


def test_tax_is_that_of_the_discounted_price(cart):
    cart.add("STK-04", 50)
    quote = price_order(cart, country="DE")
    assert (quote.discount, quote.tax) == (250, 359)


def test_an_empty_cart_has_no_price(cart):
    with pytest.raises(ValueError, match="empty"):
        price_order(cart, country="DE")
