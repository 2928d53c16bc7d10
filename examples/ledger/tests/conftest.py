from datetime import date

import pytest

from ledger import Book, Transaction


def fee(amount, day, text="Membership"):
    return Transaction.between("cash", "fees", amount, day=day, text=text)


def rent(amount, day):
    return Transaction.between("rent", "cash", amount, day=day, text="Hall rent")


@pytest.fixture
def book():
    """A club with 800.00 in the till at the start of the year."""
    return Book(["cash", "fees", "rent", "equity"], openings={"cash": 80000, "equity": -80000})


@pytest.fixture
def first_quarter(book):
    for month in (1, 2, 3):
        book.record(fee(2500, date(2026, month, 5), f"Membership {month}"))
        book.record(rent(12000, date(2026, month, 20)))
    return book
