"""Discounts: by volume for each line, and by voucher for the whole order."""

from dataclasses import dataclass

# From this quantity of one product on, this many per cent off, largest quantity first.
VOLUME_TIERS = ((100, 15), (50, 10), (10, 5))


def volume_rate(quantity):
    """Return the discount in per cent for `quantity` pieces of one product.

    A tier starts at its quantity: ten pieces already earn the discount for ten.
    """
    for threshold, rate in VOLUME_TIERS:
        if quantity > threshold:
            return rate
    return 0


def percentage_of(amount, rate):
    """Return `rate` per cent of `amount` cents, half a cent rounded up."""
    return (amount * rate + 50) // 100


@dataclass(frozen=True)
class Voucher:
    """Takes a fixed amount off an order that is worth at least `minimum` cents."""

    code: str
    amount: int
    minimum: int = 0

    def reduction(self, subtotal):
        """Return how many cents to take off; never more than the order costs."""
        if subtotal < self.minimum:
            return 0
        return min(self.amount, subtotal)
