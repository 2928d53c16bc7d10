"""What is on a shelf."""


class Shelf:
    def __init__(self, article, amount):
        self.article = article
        self.amounts = [amount]

    def left(self):
        """Return how many pieces are there."""
        return sum(self.amounts)

    def put(self, amount):
        """Put pieces on the shelf."""
        self.amounts.append(amount)

    def take(self, amount):
        """Take pieces off the shelf and return how many are left. Raises ValueError when there are not enough."""
        if amount > self.left():
            raise ValueError(f"only {self.left()} left of {self.article}")
        self.amounts.append(-amount)
        return self.left()
