from search import find


def test_the_first_value_is_found():
    assert find([2, 4, 8], 2) == 0


def test_the_last_value_is_found():
    assert find([2, 4, 8], 8) == 2
