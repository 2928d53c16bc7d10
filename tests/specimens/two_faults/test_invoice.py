from invoice import total


def test_nothing_costs_nothing():
    assert total([]) == 0


def test_books_with_and_without_tax():
    books = [("book", 3, 100)]
    assert total(books, taxed=False) == 300
    assert total(books) == 315


def test_the_tax_on_food_is_rounded_down():
    assert total([("food", 2, 55)]) == 117


def test_the_tax_on_a_tool_is_rounded_down():
    assert total([("tool", 3, 33)]) == 118
