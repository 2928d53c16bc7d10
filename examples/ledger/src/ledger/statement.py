"""The statement of one account, as lines of text."""

from ledger.money import format_amount


def statement(account, width=48):
    """Return the lines of a statement: opening balance, entries with the running balance, closing balance."""
    lines = [_line("Opening balance", account.opening, width)]
    running = account.opening
    for entry in account.entries:
        running += entry.amount
        lines.append(_line(f"{entry.day.isoformat()} {entry.text}", running, width))
    lines.append(_line("Closing balance", running, width))
    return lines


def _line(text, amount, width):
    shown = format_amount(amount)
    room = width - len(shown) - 1
    if len(text) > room:
        text = text[: room - 1] + "…"
    return f"{text:<{room}} {shown}"
