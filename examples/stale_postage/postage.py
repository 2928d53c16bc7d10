"""Postage by weight."""

STEPS = ((20, 95), (50, 120), (500, 180))


def postage(grams, express=False):
    """Return the price of a letter in cents; `express` doubles it. Heavier letters pay 15 cents for each further 100 g."""
    if grams <= 0:
        raise ValueError("a letter weighs something")
    for limit, price in STEPS:
        if grams <= limit:
            break
    else:
        price = 180 + (grams - 401) // 100 * 15
    return price * 2 if express else price
