"""Receipts as text."""


def receipt(lines, currency="EUR"):
    """Return the lines of a receipt: one for each (text, cents), and the total."""
    shown = [f"{text}: {cents / 100:.2f} {currency}" for text, cents in lines]
    total = sum(cents for _, cents in lines)
    return [*shown, f"Total: {total / 100:.2f} {currency}"]
