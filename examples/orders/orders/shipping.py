"""What it costs to send a parcel."""

FREE_FROM = 7500  # cents of goods, domestic parcels only
DOMESTIC = "DE"
NEIGHBOURS = frozenset({"AT", "BE", "CH", "CZ", "DK", "FR", "LU", "NL", "PL"})

_BASE = {"domestic": 490, "neighbour": 990, "world": 1990}
_PER_KILOGRAM = {"domestic": 0, "neighbour": 150, "world": 600}


def zone(country):
    if country == DOMESTIC:
        return "domestic"
    return "neighbour" if country in NEIGHBOURS else "world"


def shipping_cost(country, weight, goods):
    """Return the cost in cents of sending `weight` grams of goods worth `goods` cents."""
    where = zone(country)
    if where == "domestic" and goods >= FREE_FROM:
        return 0
    started_kilograms = -(-weight // 1000)
    return _BASE[where] + _PER_KILOGRAM[where] * started_kilograms
