"""Amounts as text: "1,234.50" and back. Inside the ledger an amount is a whole number of cents."""

import re

_AMOUNT = re.compile(r"(-?)(\d{1,3}(?:,\d{3})+|\d+)(?:\.(\d\d))?")


def parse_amount(text):
    match = _AMOUNT.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"not an amount: {text!r}")
    sign, whole, cents = match.groups()
    amount = int(whole.replace(",", "")) * 100 + int(cents or 0)
    return -amount if sign else amount


def format_amount(cents):
    sign = "-" if cents < 0 else ""
    whole, rest = divmod(abs(cents), 100)
    return f"{sign}{whole:,}.{rest:02d}"
