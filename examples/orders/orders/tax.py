"""Value added tax. Prices include it; this only says how much of them it is."""

STANDARD = 19
REDUCED = 7


def included_tax(gross, rate):
    """Return the tax contained in `gross` cents at `rate` per cent, rounded half up."""
    return (2 * gross * rate + 100 + rate) // (2 * (100 + rate))


def rate_for(product):
    return REDUCED if product.reduced_tax else STANDARD
