from __future__ import annotations

import json

import pytest

from benchmarks.localisation import main, within
from benchmarks.package_faults import PackageFault, save


@pytest.mark.parametrize(
    ("place", "top", "chance"),
    [((0, 1), 1, 1.0), ((0, 4), 1, 0.25), ((2, 2), 3, 0.5), ((5, 1), 5, 0.0), ((0, 2), 5, 1.0), (None, 5, 0.0)],
)
def test_equals_share_their_places(place, top, chance):
    assert within(place, top) == chance


PACKAGE = {
    "pyproject.toml": '[tool.pytest.ini_options]\npythonpath = ["."]\n',
    "shop.py": """def price(x):
    return x * 2


def total(xs):
    return sum(price(x) for x in xs)


def label(x):
    return f"{x} EUR"
""",
    "tests/test_shop.py": """import shop


def test_price():
    assert shop.price(2) == 4


def test_total():
    assert shop.total([1, 2]) == 6


def test_empty():
    assert shop.total([]) == 0


def test_label():
    assert shop.label(1) == "1 EUR"
""",
}


def test_a_fault_is_ranked_by_each_technique_and_an_interrupted_run_goes_on(tmp_path, capsys):
    root = tmp_path / "packages" / "shop-1.0"
    for path, text in PACKAGE.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    body = "    return x + 1\n"
    failing = ("tests/test_shop.py::test_price", "tests/test_shop.py::test_total")
    fault = PackageFault(
        "shop-1.0 price", root.name, "shop.py", "price", 1, body, "operator", ("BIN",), failing[:1], failing[1:]
    )
    out = tmp_path / "out.jsonl"
    save([fault], out.with_suffix(".faults.jsonl"))
    arguments = ["--packages", str(root.parent), "--only", "shop", "--out", str(out)]
    assert main(arguments) == 0
    [record] = [json.loads(line) for line in out.read_text().splitlines()]
    assert (record["failing"], record["passing"], record["suspects"]) == (2, 2, 2)
    assert record["places"] == {
        "traceback": [0, 2],
        "Ochiai": [0, 1],
        "Ochiai and traceback": [0, 1],
        "ours": [0, 1],
    }
    out.write_text(out.read_text() + '{"fault": "cut o')
    assert main(arguments) == 0
    assert len(out.read_text().splitlines()) == 1
    told = capsys.readouterr().out
    assert "| ours | 1 | 100.0 | 100.0 | 100.0 |" in told
    assert "| published: Ochiai | 135 | 37.8 | 61.5 | 71.9 |" in told
    assert "Operators: BIN 1." in told
