import pytest

from orders import Cart, Catalogue, Product


@pytest.fixture
def catalogue():
    return Catalogue(
        [
            Product("MUG-01", "Mug", 895, weight=350),
            Product("TEE-02", "T-shirt", 1990, weight=180),
            Product("BOOK-03", "Field guide", 2450, weight=700, reduced_tax=True),
            Product("STK-04", "Sticker", 50, weight=2),
        ]
    )


@pytest.fixture
def cart(catalogue):
    return Cart(catalogue)
