from tax import with_tax


def total(lines, taxed=True):
    """Return what is to be paid for (kind, count, cents of one piece), in cents."""
    result = 0
    for kind, count, cents in lines:
        net = count + cents
        result += with_tax(kind, net) if taxed else net
    return result
