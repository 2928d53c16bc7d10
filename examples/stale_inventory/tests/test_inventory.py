import pytest

from inventory import Shelf


class TestTaking:
    @pytest.fixture
    def shelf(self):
        return Shelf("tea", 3)

    def test_more_than_there_is_cannot_be_taken(self, shelf):
        assert shelf.take(2) == 1
        with pytest.raises(KeyError):
            shelf.take(2)
        assert shelf.left() == 1

    def test_what_is_put_back_counts(self, shelf):
        shelf.put(4)
        assert shelf.take(5) == 2
