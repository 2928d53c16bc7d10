from datetime import date

import pytest

from ledger import Account, ClosedPeriod, Entry

JANUARY, FEBRUARY, MARCH = date(2026, 1, 31), date(2026, 2, 28), date(2026, 3, 31)


@pytest.fixture
def account():
    account = Account("cash")
    account.post(Entry(date(2026, 1, 10), 5000))
    account.post(Entry(date(2026, 2, 10), -1200))
    account.post(Entry(date(2026, 3, 10), 300))
    return account


def test_a_new_account_holds_its_opening_balance():
    assert Account("cash", opening=700).balance == 700


def test_the_balance_is_the_sum_of_the_entries(account):
    assert account.balance == 4100


def test_the_balance_on_a_day_leaves_later_entries_out(account):
    assert account.balance_on(date(2026, 2, 10)) == 3800


def test_entries_are_kept_in_order_of_their_days(account):
    account.post(Entry(date(2026, 2, 1), 1))
    assert [entry.amount for entry in account.entries] == [5000, 1, -1200, 300]


def test_closing_keeps_only_later_entries(account):
    account.close(FEBRUARY)
    assert [entry.amount for entry in account.entries] == [300]


def test_the_first_closing_moves_entries_into_the_opening_balance(account):
    account.close(JANUARY)
    assert (account.opening, account.balance) == (5000, 4100)


def test_a_second_closing_adds_to_the_first(account):
    account.close(JANUARY)
    account.close(FEBRUARY)
    assert account.opening == 3800


def test_closing_an_empty_period_changes_no_balance(account):
    account.close(MARCH)
    account.close(date(2026, 4, 30))
    assert account.balance == 4100


@pytest.mark.parametrize("opening", [1, 99, 80000])
def test_closing_keeps_what_the_account_was_opened_with(opening):
    account = Account("cash", opening=opening)
    account.post(Entry(date(2026, 1, 10), 5000))
    account.close(JANUARY)
    assert account.balance == opening + 5000


def test_a_closed_period_takes_no_entry(account):
    account.close(JANUARY)
    with pytest.raises(ClosedPeriod, match="cash: 2026-01-31"):
        account.post(Entry(JANUARY, 1))


def test_a_closed_period_has_no_daily_balances(account):
    account.close(JANUARY)
    with pytest.raises(ClosedPeriod):
        account.balance_on(date(2026, 1, 10))
