"""What can be bought, and for how much."""

from dataclasses import dataclass


class UnknownProduct(LookupError):
    """No product has this number."""


@dataclass(frozen=True)
class Product:
    sku: str
    name: str
    price: int  # cents
    weight: int = 0  # grams
    reduced_tax: bool = False


class Catalogue:
    """Products by their stock number, which is compared without regard to case."""

    def __init__(self, products=()):
        self._products = {}
        for product in products:
            self.add(product)

    def add(self, product):
        if product.price < 0:
            raise ValueError(f"{product.sku}: negative price")
        self._products[product.sku.upper()] = product

    def find(self, sku):
        try:
            return self._products[sku.strip().upper()]
        except KeyError:
            raise UnknownProduct(sku) from None

    def __len__(self):
        return len(self._products)
