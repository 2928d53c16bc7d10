"""One account: an opening balance and the entries since."""

from dataclasses import dataclass
from datetime import date


class ClosedPeriod(ValueError):
    """An entry is dated in a period that has been closed."""


@dataclass(frozen=True)
class Entry:
    day: date
    amount: int  # cents; debits positive, credits negative
    text: str = ""


class Account:
    def __init__(self, name, opening=0):
        self.name = name
        self.opening = opening  # balance at the end of the last closed period
        self.closed_until = None
        self.entries = []

    @property
    def balance(self):
        return self.opening + sum(entry.amount for entry in self.entries)

    def balance_on(self, day):
        """Return the balance at the end of `day`, which must not lie in a closed period."""
        self._check_open(day)
        return self.opening + sum(entry.amount for entry in self.entries if entry.day <= day)

    def post(self, entry):
        self._check_open(entry.day)
        self.entries.append(entry)
        self.entries.sort(key=lambda one: one.day)

    def close(self, day):
        """Fold the entries up to and including `day` into the opening balance."""
        closed = [entry for entry in self.entries if entry.day <= day]
        self.opening = sum(entry.amount for entry in closed)
        self.entries = [entry for entry in self.entries if entry.day > day]
        self.closed_until = day

    def _check_open(self, day):
        if self.closed_until is not None and day <= self.closed_until:
            raise ClosedPeriod(f"{self.name}: {day} is closed")
