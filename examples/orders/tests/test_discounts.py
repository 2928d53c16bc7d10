import pytest

from orders import Voucher, volume_rate
from orders.discounts import percentage_of


@pytest.mark.parametrize("quantity", [1, 2, 9])
def test_small_quantities_earn_no_discount(quantity):
    assert volume_rate(quantity) == 0


@pytest.mark.parametrize(("quantity", "rate"), [(10, 5), (50, 10), (100, 15)])
def test_a_tier_starts_at_its_quantity(quantity, rate):
    assert volume_rate(quantity) == rate


@pytest.mark.parametrize(("quantity", "rate"), [(11, 5), (49, 5), (51, 10), (99, 10), (101, 15), (2500, 15)])
def test_a_tier_lasts_until_the_next(quantity, rate):
    assert volume_rate(quantity) == rate


@pytest.mark.parametrize(("amount", "rate", "expected"), [(1000, 5, 50), (895, 5, 45), (10, 5, 1), (9, 5, 0)])
def test_percentages_round_half_a_cent_up(amount, rate, expected):
    assert percentage_of(amount, rate) == expected


def test_a_voucher_takes_off_its_amount():
    assert Voucher("SPRING", 500).reduction(4000) == 500


def test_a_voucher_never_takes_off_more_than_the_order_costs():
    assert Voucher("SPRING", 500).reduction(300) == 300


@pytest.mark.parametrize(("subtotal", "reduction"), [(2999, 0), (3000, 500)])
def test_a_voucher_needs_its_minimum(subtotal, reduction):
    assert Voucher("SPRING", 500, minimum=3000).reduction(subtotal) == reduction
