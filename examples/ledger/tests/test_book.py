from datetime import date

import pytest

from ledger import Book, ClosedPeriod, Posting, Transaction, Unbalanced, UnknownAccount


def test_a_transaction_reaches_both_accounts(book):
    book.record(Transaction.between("rent", "cash", 12000, day=date(2026, 1, 20), text="Hall rent"))
    assert (book.account("rent").balance, book.account("cash").balance) == (12000, 68000)


def test_an_unbalanced_transaction_cannot_be_written():
    with pytest.raises(Unbalanced, match="off by 1"):
        Transaction(date(2026, 1, 1), "Slip", (Posting("cash", 100), Posting("fees", -99)))


def test_a_transaction_with_an_unknown_account_posts_nothing(book):
    with pytest.raises(UnknownAccount, match="bar"):
        book.record(Transaction.between("cash", "bar", 500, day=date(2026, 1, 2), text="Drinks"))
    assert book.account("cash").balance == 80000
    assert book.transactions == []


def test_a_transaction_in_a_closed_period_posts_nothing(first_quarter):
    first_quarter.close(date(2026, 3, 31))
    before = len(first_quarter.transactions)
    with pytest.raises(ClosedPeriod):
        first_quarter.record(Transaction.between("cash", "fees", 1, day=date(2026, 3, 31), text="Late"))
    assert len(first_quarter.transactions) == before


def test_a_reversal_undoes_the_transaction(first_quarter):
    before = first_quarter.trial_balance()
    mistake = Transaction.between("cash", "fees", 700, day=date(2026, 3, 30), text="Typo")
    first_quarter.record(mistake)
    first_quarter.record(mistake.reversed(date(2026, 3, 31)))
    assert first_quarter.trial_balance() == before


def test_the_size_of_a_transaction_is_what_it_moves():
    split = (Posting("cash", 300), Posting("bank", 200), Posting("fees", -500))
    assert Transaction(date(2026, 1, 1), "Split", split).size == 500


def test_closing_month_by_month_changes_no_balance(first_quarter):
    before = first_quarter.trial_balance()
    for day in (date(2026, 1, 31), date(2026, 2, 28), date(2026, 3, 31)):
        first_quarter.close(day)
    assert first_quarter.trial_balance() == before


def test_an_open_book_is_balanced(first_quarter):
    assert first_quarter.balanced


def test_empty_accounts_are_left_out_of_the_trial_balance(book):
    assert book.trial_balance() == [("cash", 80000), ("equity", -80000)]


def test_opening_balances_must_add_up(book):
    with pytest.raises(ValueError, match="add up"):
        Book(["cash", "equity"], openings={"cash": 100})
