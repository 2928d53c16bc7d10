"""All accounts together."""

from ledger.account import Account, Entry


class UnknownAccount(LookupError):
    """The book has no account of this name."""


class Book:
    def __init__(self, names, openings=None):
        openings = openings or {}
        if sum(openings.values()):
            raise ValueError("opening balances must add up to zero")
        self._accounts = {name: Account(name, openings.get(name, 0)) for name in names}
        self.transactions = []

    def account(self, name):
        try:
            return self._accounts[name]
        except KeyError:
            raise UnknownAccount(name) from None

    def record(self, transaction):
        """Post a transaction to all its accounts, or to none of them."""
        accounts = [self.account(posting.account) for posting in transaction.postings]
        for account in accounts:
            account._check_open(transaction.day)
        for account, posting in zip(accounts, transaction.postings):
            account.post(Entry(transaction.day, posting.amount, transaction.text))
        self.transactions.append(transaction)

    def close(self, day):
        for account in self._accounts.values():
            account.close(day)

    @property
    def balanced(self):
        return sum(account.balance for account in self._accounts.values()) == 0

    def trial_balance(self):
        """Return (name, balance) of every account that is not empty, by name."""
        return [(name, account.balance) for name, account in sorted(self._accounts.items()) if account.balance]
