def find(values, wanted):
    """Return the index of `wanted` in the sorted `values`, or -1."""
    low, high = 0, len(values)
    while low < high:
        middle = (low + high) // 2
        if values[middle] < wanted:
            low = middle
        else:
            high = middle
    return low if low < len(values) and values[low] == wanted else -1
