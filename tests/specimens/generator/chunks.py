def chunks(values, size):
    """Yield the values in lists of `size`, the last one shorter."""
    chunk = []
    for value in values:
        chunk.append(value)
        if len(chunk) == size:
            yield chunk
            chunk = []


def pairs(values):
    return list(chunks(values, 2))
