"""From a cart to the amounts on the invoice."""

from dataclasses import dataclass

from orders.discounts import percentage_of, volume_rate
from orders.shipping import shipping_cost
from orders.tax import included_tax, rate_for


@dataclass(frozen=True)
class Quote:
    """Every amount in cents; total = subtotal - discount - voucher + shipping."""

    subtotal: int
    discount: int
    voucher: int
    shipping: int
    tax: int

    @property
    def total(self):
        return self.subtotal - self.discount - self.voucher + self.shipping


def line_discount(line):
    """Return the volume discount on one line of a cart, in cents."""
    return percentage_of(line.amount, volume_rate(line.quantity))


def price_order(cart, country, voucher=None):
    lines = cart.lines
    if not lines:
        raise ValueError("the cart is empty")
    subtotal = sum(line.amount for line in lines)
    discount = sum(line_discount(line) for line in lines)
    goods = subtotal - discount
    reduction = voucher.reduction(goods) if voucher else 0
    tax = sum(included_tax(line.amount - line_discount(line), rate_for(line.product)) for line in lines)
    return Quote(subtotal, discount, reduction, shipping_cost(country, cart.weight, goods - reduction), tax)
