import pytest
from wagen import Wagen


@pytest.mark.parametrize("tage, preis", [(1, 50), (6, 300), (7, 280), (8, 320)])
def test_preis(tage, preis):
    assert Wagen(4).preis(tage) == preis
