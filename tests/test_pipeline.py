"""The order of the stages, with a scripted model, the real sandbox and real repositories."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import pytest

from bot.blame import without_suspects
from bot.config import Config
from bot.errors import ModelMissing, RepositoryError
from bot.pipeline import combined, find, repair
from bot.records import Budget, TestFailure
from bot.report import Run, markdown
from runners.local import LocalRunner
from runners.runner import FunctionKey
from tests.fakes import ScriptedModel

FAULTY = {
    "shop/__init__.py": "",
    "shop/cart.py": (
        "class Cart:\n"
        "    def __init__(self):\n"
        "        self.lines = []\n\n"
        "    def add(self, name, count, price):\n"
        '        """Add `count` pieces at `price` cents each."""\n'
        "        self.lines.append((name, count, price))\n\n"
        "    def total(self):\n"
        "        result = 0\n"
        "        for _, count, price in self.lines:\n"
        "            result += price\n"
        "        return result\n"
    ),
    "tests/test_cart.py": (
        "import pytest\nfrom shop.cart import Cart\n\n\n"
        "@pytest.fixture\ndef cart():\n    return Cart()\n\n\n"
        "def test_an_empty_cart_costs_nothing(cart):\n    assert cart.total() == 0\n\n\n"
        "def test_one_piece(cart):\n    cart.add('pen', 1, 120)\n    assert cart.total() == 120\n\n\n"
        "@pytest.mark.parametrize('count', [2, 3, 5])\n"
        "def test_pieces_are_counted(cart, count):\n"
        "    cart.add('pen', count, 120)\n    assert cart.total() == 120 * count\n"
    ),
}
RIGHT = (
    "    result = 0\n    for _, count, price in self.lines:\n        result += count * price\n    return result\n<end>"
)
WRONG = "    return 240\n<end>"


@pytest.fixture
def config():
    return Config(runner="local", unsafe_local=True, budget=Budget(seconds=1200, executions=400))


class Events(list):
    def __call__(self, event, **fields):
        self.append((event, fields))

    def of(self, name):
        return [fields for event, fields in self if event == name]


def test_a_faulty_method_is_found_regenerated_and_proven(repo, config):
    root, events = repo(FAULTY), Events()
    before = {path: (root / path).read_bytes() for path in FAULTY}
    outcome = repair(root, config, events, model=ScriptedModel(RIGHT))
    (done,) = outcome.repairs
    assert outcome.all_repaired
    assert done.patch is not None
    assert done.patch.after == before["shop/cart.py"].replace(b"+= price", b"+= count * price")
    assert done.candidate is not None
    assert done.candidate.origin == "plain"
    assert done.verdict is not None
    assert done.verdict.word in ("strong", "plausible")
    assert done.verdict.fixed == tuple(f"tests/test_cart.py::test_pieces_are_counted[{n}]" for n in (2, 3, 5))
    assert outcome.spent.executions >= 1
    assert {path: (root / path).read_bytes() for path in FAULTY} == before
    order = [event for event, _ in events if event in ("ranking", "attempt", "ranked", "verdict", "repair")]
    assert order[:2] == ["ranking", "attempt"]
    assert order[-3:] == ["ranked", "verdict", "repair"]


def test_the_model_is_not_touched_when_nothing_fails(repo, config):
    files = {**FAULTY, "shop/cart.py": FAULTY["shop/cart.py"].replace("+= price", "+= count * price")}
    outcome = repair(repo(files), config, Events(), model=None)
    assert outcome.all_repaired
    assert outcome.repairs == ()
    assert outcome.environment["model fingerprint"] == "not loaded"


def test_a_body_that_passes_what_guides_but_not_the_held_out_cases_is_not_published(repo, config):
    decode_only = replace(config, gamma=(0.0,), budget=Budget(seconds=60, executions=12))
    outcome = repair(repo(FAULTY), decode_only, Events(), model=ScriptedModel(WRONG))
    assert not outcome.all_repaired
    assert not any(item.published and b"240" in item.patch.after for item in outcome.repairs if item.patch)


def test_a_test_that_refutes_what_passes_the_others_steers_the_search_from_then_on(repo, config):
    weak = "from calc import each\n\n\ndef test_each():\n    assert each(4, 2) in (2, 4, 6, 8, 16)\n"
    files = {
        "calc.py": "def each(total, parts):\n    return total % parts\n",
        "test_a.py": weak,
        "test_b.py": "from calc import each\n\n\ndef test_each_of_nine():\n    assert each(9, 2) == 4\n",
    }
    events = Events()
    searched = replace(config, model="none", budget=Budget(seconds=3000, executions=1000))
    (done,) = repair(repo(files), searched, events).repairs
    (told,) = (fields["text"] for fields in events.of("note"))
    assert told.startswith("3 bodies pass what steers the search but not test_b.py::test_each_of_nine")
    assert [fields["verdict"].word for fields in events.of("verdict")] == ["rejected"] * 3 + ["plausible"]
    guides = [fields["guides"] for fields in events.of("stage") if fields["name"] == "generate"]
    assert guides == [["test_a.py::test_each"], ["test_a.py::test_each", "test_b.py::test_each_of_nine"]]
    assert done.patch is not None
    assert "+    return total // parts" in done.patch.diff
    assert any("steered by test_b.py::test_each_of_nine too" in reason for reason in done.verdict.reasons)


def test_two_faults_in_two_functions_get_a_patch_each_and_are_judged_together(repo, config):
    files = {
        "calc.py": "def half(x):\n    return x // 3\n\n\ndef double(x):\n    return x * 3\n",
        "test_calc.py": (
            "from calc import double, half\n\n\ndef test_half():\n    assert half(12) == 6\n\n\n"
            "def test_half_of_ten():\n    assert half(10) == 5\n\n\n"
            "def test_double():\n    assert double(4) == 8\n\n\ndef test_no_double():\n    assert double(0) == 0\n\n\n"
            "def test_zero():\n    assert half(0) == 0\n"
        ),
    }
    answer = "    return x {} 2\n<end>"
    model = ScriptedModel(lambda prompt: answer.format("//" if "def half" in prompt.partition("<bug>")[2] else "*"))
    outcome = repair(repo(files), config, Events(), model=model)
    assert outcome.all_repaired
    (both,) = combined(outcome.repairs).values()
    assert both == b"def half(x):\n    return x // 2\n\n\ndef double(x):\n    return x * 2\n"


RATES = (
    "TIERS = ((100, 15), (50, 10), (10, 5))\n\n\ndef rate(pieces):\n    for least, rate in TIERS:\n"
    "        if pieces > least:\n            return rate\n    return 0\n\n\n"
    "def label(pieces):\n    return 'nothing'\n\n\ndef offer(pieces):\n    return rate(pieces), label(pieces)\n"
)
UNIT_TESTS = (
    "import pytest\nfrom rates import offer, rate\n\n\n"
    "@pytest.mark.parametrize('pieces, expected', [(10, 5), (50, 10)])\n"
    "def test_rate(pieces, expected):\n    assert rate(pieces) == expected\n\n\n"
    "@pytest.mark.parametrize('pieces', range({passing}))\n"
    "def test_no_rate(pieces):\n    assert rate(pieces % 10) == 0\n\n\n"
)


def test_parts_of_a_group_that_nothing_repairs_whole_are_repaired_alone(repo, config):
    tests = UNIT_TESTS.format(passing=20) + (
        "def test_offer():\n    assert offer(10) == (5, 'ten or more, this week')\n\n\n"
        "def test_offers_below():\n    assert offer(3)[0] == 0\n"
    )
    events = Events()
    searched = replace(config, model="none", budget=Budget(seconds=3000, executions=100))
    outcome = repair(repo({"rates.py": RATES, "test_rates.py": tests}), searched, events)
    groups = [fields["failures"] for fields in events.of("ranking")]
    units = [f"test_rates.py::test_rate[{case}]" for case in ("10-5", "50-10")]
    assert groups[0] == [*units, "test_rates.py::test_offer"]
    assert any("parts of them are tried" in fields["text"] for fields in events.of("note"))
    first, second = outcome.repairs
    assert first.published
    assert first.patch is not None
    assert b"pieces >= least" in first.patch.after
    assert first.verdict is not None
    assert first.verdict.fixed == tuple(units)
    assert [failure.node_id for failure in second.failures] == ["test_rates.py::test_offer"]
    assert outcome.still_failing == ("test_rates.py::test_offer",)
    assert outcome.spent.executions <= 100


def test_a_repair_that_cures_another_group_too_ends_its_search_before_it_begins(repo, config):
    tests = UNIT_TESTS.format(passing=40) + (
        "@pytest.mark.parametrize('pieces, expected', [(10, 5), (50, 10), (100, 15)])\n"
        "def test_offer(pieces, expected):\n    assert offer(pieces) == (expected, 'nothing')\n"
    )
    events = Events()
    outcome = repair(repo({"rates.py": RATES, "test_rates.py": tests}), replace(config, model="none"), events)
    assert len({tuple(fields["failures"]) for fields in events.of("ranking")}) == 2
    (done,) = outcome.repairs
    assert done.verdict is not None
    assert sum("test_offer" in node_id for node_id in done.verdict.fixed) == 3
    assert outcome.all_repaired
    assert [fields["text"] for fields in events.of("note")][-1].endswith("and 2 more pass with an earlier patch.")
    assert len(events.of("session")) == 1


class Clock:
    """Seconds that pass only when something happens: `jumps` of them at the first event of the name `event`."""

    def __init__(self, event, jump=1e6):
        self.now, self.event, self.jump, self.events = 0.0, event, jump, Events()

    def __call__(self):
        return self.now

    def emit(self, event, **fields):
        self.events(event, **fields)
        if event == self.event:
            self.now, self.jump = self.now + self.jump, 0.0


@pytest.mark.parametrize("event", ["attempt", "candidate", "ranked"])
def test_a_budget_that_ends_in_the_middle_of_a_stage_ends_in_a_report_that_says_so(repo, config, event):
    clock = Clock(event)
    limited = replace(config, budget=Budget(seconds=100, executions=400))
    outcome = repair(repo(FAULTY), limited, clock.emit, model=ScriptedModel(RIGHT), clock=clock)
    (done,) = outcome.repairs
    assert done.spent.seconds >= 1e6
    if event != "attempt":  # what was found before is judged to the end
        assert done.verdict is not None
    else:
        assert "the budget is spent" in done.reason
        assert outcome.still_failing == tuple(failure.node_id for failure in done.failures)
        assert "No body was found" in markdown(outcome, Run())
        assert "the budget is spent" in markdown(outcome, Run())
    assert len(clock.events.of("repair")) == 1


def test_opening_the_sandbox_is_part_of_the_budget(repo, config):
    def fast():
        return 10_000 * time.monotonic()

    limited = replace(config, model="none", budget=Budget(seconds=40, executions=400))
    events = Events()
    (done,) = repair(repo(FAULTY), limited, events, clock=fast).repairs
    assert len(events.of("session")) == 1, "after the first sandbox nothing of the 40 seconds is left for a second"
    assert done.spent.executions == 0
    assert done.spent.seconds > 40
    assert "the budget is spent" in done.reason


def test_a_test_whose_module_cannot_be_imported_is_a_result_with_its_reason(repo, config):
    files = {
        "test_a.py": "import nowhere_to_be_found\n\n\ndef test_a():\n    pass\n",
        "test_b.py": "def test_b(): pass\n",
    }
    outcome = repair(repo(files), config, Events(), model=None)
    (done,) = outcome.repairs
    assert not outcome.all_repaired
    assert done.patch is None
    assert "is not installed" in done.reason


def test_a_repository_without_tests_is_an_error_that_says_so(repo, config):
    with pytest.raises(RepositoryError, match="No tests"):
        repair(repo({"a.py": "x = 1\n"}), config, Events(), model=None)


def test_a_missing_model_directory_is_told_before_anything_runs(repo, config, tmp_path):
    events = Events()
    with pytest.raises(ModelMissing):
        repair(repo(FAULTY), replace(config, model=str(tmp_path / "none")), events)
    assert not events.of("stage")


def test_excluded_files_are_never_suspects(repo, config):
    outcome = repair(repo(FAULTY), replace(config, exclude=("shop/*",)), Events(), model=ScriptedModel(RIGHT))
    (done,) = outcome.repairs
    assert done.suspects == ()
    assert done.patch is None


def failure(node_id):
    return TestFailure(node_id, "call", "failure", "AssertionError", "", ())


def test_functions_that_cannot_be_rewritten_are_told_with_their_reasons():
    source = b"double = lambda x: x + 1\ndef f(): 'doc'; return 1\n"
    executed = frozenset(
        {FunctionKey("m.py", "<lambda>", 1), FunctionKey("m.py", "f", 2), FunctionKey("gone.py", "g", 1)}
    )
    failed = replace(failure("t.py::t"), functions=executed)

    def read(path):
        if path != "m.py":
            raise FileNotFoundError(path)
        return source

    reason = without_suspects([failed], read, lambda path: path.startswith("test"))
    assert "<lambda> in m.py: a lambda is an expression" in reason
    assert "f in m.py: its body shares a line" in reason
    assert "gone.py" not in reason


def test_only_files_that_the_user_allows_are_blamed(repo, config):
    root = repo(FAULTY)
    for globs, paths in ((("shop/*",), {"shop/cart.py"}), (("other/*",), set())):
        _, groups = find(root, replace(config, allow_paths=globs), Events())
        assert {suspect.key.path for _, suspects in groups for suspect in suspects} == paths


SHARES = (
    "def part(counts, place):\n    return sum(counts) / counts[place]\n\n\n"
    "def shares(counts):\n    found = []\n    for place in range(len(counts)):\n        one = part(counts, place)\n"
    "        if one > 1:\n            raise ValueError(f'{place} of {counts}')\n"
    "        found.append(one)\n    return found\n"
)
TEST_SHARES = (
    "from shares import part, shares\n\n\n"
    "def test_shares():\n    assert shares([1, 3]) == [0.25, 0.75]\n\n\n"
    "def test_equal_shares():\n    assert shares([2, 2]) == [0.5, 0.5]\n\n\n"
    "def test_the_whole():\n    assert part([3], 0) == 1\n"
)


def test_every_suspect_is_looked_at_before_the_first_is_searched_in_depth(repo, config):
    events = Events()
    searched = replace(config, model="none", budget=Budget(seconds=3000, executions=1000))
    (done,) = repair(repo({"shares.py": SHARES, "test_shares.py": TEST_SHARES}), searched, events).repairs
    assert [suspect.key.qualname for suspect in done.suspects] == ["shares", "part"]
    assert done.published
    assert done.patch is not None
    assert "return counts[place] / sum(counts)" in done.patch.diff
    doing = [fields["text"].split(" in ")[0] for fields in events.of("stage") if fields["name"] == "generate"]
    assert doing == ["Having a first look at shares", "Having a first look at part"]


@pytest.fixture
def openings(monkeypatch):
    """The targets for which sandboxes are opened, in order."""
    opened, really = [], LocalRunner.open_session

    def open_session(self, target, *arguments):
        opened.append(target)
        return really(self, target, *arguments)

    monkeypatch.setattr(LocalRunner, "open_session", open_session)
    return opened


def test_a_sandbox_that_takes_longer_to_open_than_an_attempt_may_last_is_used_all_the_same(repo, config, openings):
    events = Events()
    searched = replace(config, model="none", budget=Budget(seconds=2000, executions=1000))
    files = {"shares.py": SHARES, "test_shares.py": TEST_SHARES}
    outcome = repair(repo(files), searched, events, clock=lambda: time.monotonic() + 1000 * len(openings))
    doing = [fields["text"].split(" in ")[0] for fields in events.of("stage") if fields["name"] == "generate"]
    assert doing == ["Having a first look at shares", "Having a first look at part"]
    assert len(openings) == 2
    assert outcome.spent.executions >= 64
    (done,) = outcome.repairs
    assert "the budget is spent" in done.reason


def test_what_bodies_of_two_functions_do_not_need_is_spent_on_further_edits(repo, config, openings):
    events = Events()
    searched = replace(config, model="none", budget=Budget(seconds=3000, executions=300))
    out_of_reach = TEST_SHARES.replace("[0.25, 0.75]", "['a', 'b']").replace("[0.5, 0.5]", "['c', 'c']")
    (done,) = repair(repo({"shares.py": SHARES, "test_shares.py": out_of_reach}), searched, events).repairs
    assert not done.published
    doing = [fields["text"].split(" in ")[0] for event, fields in events if event == "stage"]
    steps = [
        event if event == "execution" else fields["text"] for event, fields in events if event in ("execution", "stage")
    ]
    further = next(place for place, step in enumerate(steps) if step.startswith("Trying more edits of shares"))
    assert doing.index("Regenerating shares") < doing.index("Trying more edits of shares")
    assert "execution" in steps[further:]
    alone = [target.qualname for target in openings if not target.base]
    assert sorted(alone) == ["part", "shares"]  # each was searched three times in the sandbox that was opened first


def test_of_bodies_that_pass_the_one_that_keeps_the_docstrings_examples_is_proposed(repo, config):
    faulty = (
        "def once(numbers):\n"
        '    """Keep what occurs once.\n\n    >>> once([1, 2, 3, 2, 4])\n    [1, 3, 4]\n    """\n'
        "    return [n for n in numbers if numbers.count(n) < 1]\n"
    )
    tests = "from once import once\n\n\ndef test_once():\n    assert once([1, 2, 3]) == [1, 2, 3]\n"
    edits_only = replace(config, model="none")
    events = Events()
    (done,) = repair(repo({"once.py": faulty, "test_once.py": tests}), edits_only, events).repairs
    assert done.published
    assert done.verdict is not None
    assert "1 of 1 examples in the docstring hold, which steered nothing" in done.verdict.reasons
    assert done.patch is not None
    scope: dict[str, Any] = {}
    exec(done.patch.after, scope)
    assert scope["once"]([5, 6, 5]) == [6]


def test_the_search_goes_on_while_all_that_passes_fails_an_example_of_the_docstring(repo, config, monkeypatch):
    monkeypatch.setattr("bot.search.SUSPECT_PATCHES", 1)
    monkeypatch.setattr("bot.search_code.SUSPECT_PATCHES", 1)
    monkeypatch.setattr("bot.generate.RIVALS", 1)  # each passing body is a lot of its own
    code = (
        "def first(items):\n"
        '    """Return the first.\n\n    >>> first([1, 2])\n    1\n    >>> first([3, 4])\n    3\n    """\n'
        "    return items[2]\n"
    )
    tests = "from first import first\n\n\ndef test_first():\n    assert first([7, 7]) == 7\n"
    events = Events()
    searched = replace(config, model="none", budget=Budget(seconds=1200, executions=200))
    (done,) = repair(repo({"first.py": code, "test_first.py": tests}), searched, events).repairs
    patches = [fields["patch"].diff for fields in events.of("verdict")]
    assert "return items[1]" in patches[0]
    assert [fields["verdict"].word for fields in events.of("verdict")][:1] == ["suspect"]
    assert len(patches) == 2, "what keeps no more examples is not judged"
    assert done.patch is not None
    assert any(right in done.patch.diff for right in ("return items[0]", "return items[-2]"))
