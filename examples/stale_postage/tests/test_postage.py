import pytest

from postage import postage


@pytest.fixture
def catalogue():
    return 730


def test_letters_by_weight(catalogue):
    assert postage(20) == 85
    assert postage(21) == 100
    assert postage(500) == 160
    assert postage(catalogue) == 190


@pytest.mark.parametrize("grams", [0, -5])
def test_a_letter_weighs_something(grams):
    with pytest.raises(ValueError):
        postage(grams)


def test_express_doubles_the_price():
    assert postage(20, express=True) == 2 * postage(20)
