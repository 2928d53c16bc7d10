"""Transactions: postings to several accounts that add up to nothing."""

from dataclasses import dataclass
from datetime import date


class Unbalanced(ValueError):
    """The postings of a transaction do not add up to zero."""


@dataclass(frozen=True)
class Posting:
    account: str
    amount: int


@dataclass(frozen=True)
class Transaction:
    day: date
    text: str
    postings: tuple

    def __post_init__(self):
        off = sum(posting.amount for posting in self.postings)
        if off:
            raise Unbalanced(f"{self.text}: off by {off}")

    @classmethod
    def between(cls, debit, credit, amount, *, day, text):
        """Return the ordinary case: one account debited, another credited."""
        return cls(day, text, (Posting(debit, amount), Posting(credit, -amount)))

    @property
    def size(self):
        """Sum of the debits."""
        return sum(posting.amount for posting in self.postings if posting.amount > 0)

    def reversed(self, day):
        """Return the transaction that undoes this one."""
        postings = tuple(Posting(posting.account, -posting.amount) for posting in self.postings)
        return Transaction(day, f"Reversal: {self.text}", postings)
