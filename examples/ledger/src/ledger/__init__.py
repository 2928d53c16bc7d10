"""Double-entry bookkeeping for a club treasurer."""

from ledger.account import Account, ClosedPeriod, Entry
from ledger.book import Book, UnknownAccount
from ledger.money import format_amount, parse_amount
from ledger.statement import statement
from ledger.transaction import Posting, Transaction, Unbalanced

__all__ = [
    "Account",
    "Book",
    "ClosedPeriod",
    "Entry",
    "Posting",
    "Transaction",
    "Unbalanced",
    "UnknownAccount",
    "format_amount",
    "parse_amount",
    "statement",
]
