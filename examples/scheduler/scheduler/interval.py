"""How often a job runs."""


class Every:
    """A fixed interval. Runs keep to the grid of the first one: a late run does not delay those after it."""

    def __init__(self, *, seconds=0, minutes=0, hours=0):
        self.seconds = seconds + 60 * minutes + 3600 * hours
        if self.seconds <= 0:
            raise ValueError("an interval must be longer than nothing")

    def next_after(self, due, now):
        """Return the first time on the grid of `due` that lies after `now`."""
        if now < due:
            return due
        missed = (now - due) // self.seconds
        return due + (missed + 1) * self.seconds

    def __repr__(self):
        return f"Every(seconds={self.seconds:g})"
