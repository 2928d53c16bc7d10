from datetime import date

import pytest

from ledger import format_amount, parse_amount, statement


@pytest.mark.parametrize(("text", "cents"), [("0", 0), ("12.50", 1250), ("1,234.05", 123405), ("-7.00", -700)])
def test_amounts_are_read(text, cents):
    assert parse_amount(text) == cents


@pytest.mark.parametrize("text", ["", "1.5", "1,23", "12.345", "twelve"])
def test_other_text_is_no_amount(text):
    with pytest.raises(ValueError, match="not an amount"):
        parse_amount(text)


@pytest.mark.parametrize(("cents", "text"), [(0, "0.00"), (5, "0.05"), (-123405, "-1,234.05")])
def test_amounts_are_written(cents, text):
    assert format_amount(cents) == text


def test_a_statement_runs_from_opening_to_closing_balance(first_quarter):
    lines = statement(first_quarter.account("cash"), width=40)
    assert lines[0].split() == ["Opening", "balance", "800.00"]
    assert lines[1].split() == ["2026-01-05", "Membership", "1", "825.00"]
    assert lines[-1].split() == ["Closing", "balance", "515.00"]


def test_a_statement_after_closing_opens_with_the_old_balance(first_quarter):
    first_quarter.close(date(2026, 2, 28))
    lines = statement(first_quarter.account("cash"), width=40)
    assert lines[0].split() == ["Opening", "balance", "610.00"]
    assert lines[-1].split() == ["Closing", "balance", "515.00"]


def test_long_texts_are_cut_to_the_width(book):
    lines = statement(book.account("cash"), width=16)
    assert [len(line) for line in lines] == [16, 16]
