"""Prices orders for a small web shop."""

from orders.cart import Cart, Line
from orders.catalogue import Catalogue, Product, UnknownProduct
from orders.discounts import Voucher, volume_rate
from orders.pricing import Quote, price_order

__all__ = [
    "Cart",
    "Catalogue",
    "Line",
    "Product",
    "Quote",
    "UnknownProduct",
    "Voucher",
    "price_order",
    "volume_rate",
]
