"""What a customer wants to buy."""

from dataclasses import dataclass

from orders.catalogue import Product


@dataclass(frozen=True)
class Line:
    product: Product
    quantity: int

    @property
    def amount(self):
        """Price of the whole line before any discount, in cents."""
        return self.product.price * self.quantity


class Cart:
    """Quantities by product. Adding a product twice adds up; a quantity of zero removes it."""

    def __init__(self, catalogue):
        self._catalogue = catalogue
        self._quantities = {}

    def add(self, sku, quantity=1):
        if quantity < 1:
            raise ValueError("quantity must be at least 1")
        product = self._catalogue.find(sku)
        self._quantities[product] = self._quantities.get(product, 0) + quantity

    def change(self, sku, quantity):
        product = self._catalogue.find(sku)
        if quantity == 0:
            self._quantities.pop(product, None)
        else:
            self._quantities[product] = quantity

    @property
    def lines(self):
        return [Line(product, quantity) for product, quantity in self._quantities.items()]

    @property
    def weight(self):
        """Shipping weight in grams."""
        return sum(line.product.weight * line.quantity for line in self.lines)
