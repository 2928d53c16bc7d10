"""Failures that no single body repairs: two functions in two files, repaired together."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bot.config import Config
from bot.discover import discover
from bot.functions import functions_in
from bot.json_documents import repair_document
from bot.patch_file import changes, patch_file
from bot.patches import joined, make_patch
from bot.pipeline import combined, repair
from bot.records import Budget
from bot.report import Run, markdown
from bot.verify import verify
from bot.working_tree import apply
from tests.fakes import ScriptedModel

SPECIMEN = Path(__file__).parent / "specimens" / "two_faults"
FILES = {path.name: path.read_bytes() for path in SPECIMEN.glob("*.py")}
TOTAL = (
    "    result = 0\n    for kind, count, cents in lines:\n        net = count * cents\n"
    "        result += with_tax(kind, net) if taxed else net\n    return result\n<end>"
)
WITH_TAX = "    return net + net * RATES[kind] // 100\n<end>"


@pytest.fixture
def config():
    return Config(runner="local", unsafe_local=True, budget=Budget(seconds=400, executions=400))


class Events(list):
    def __call__(self, event, **fields):
        self.append((event, fields))

    def of(self, name):
        return [fields for event, fields in self if event == name]


def answers(prompt: str) -> str:
    return WITH_TAX if "def with_tax" in prompt.partition("<bug>")[2] else TOTAL


@pytest.mark.parametrize("model", ["none", "scripted"])
def test_two_faults_that_the_same_tests_blame_are_repaired_together(repo, config, model):
    root, events = repo(FILES), Events()
    scripted = None if model == "none" else ScriptedModel(answers)
    chosen = replace(config, model="none") if scripted is None else replace(config, gamma=(0.0,))
    outcome = repair(root, chosen, events, model=scripted)
    assert outcome.all_repaired, [item.reason for item in outcome.repairs]
    (done,) = outcome.repairs
    assert done.patch is not None
    assert sorted(step.qualname for step in done.patch.steps) == ["total", "with_tax"]
    assert done.verdict is not None
    assert done.published
    files = combined(outcome.repairs)
    assert files == done.patch.files
    assert files["invoice.py"] == FILES["invoice.py"].replace(b"count + cents", b"count * cents")
    assert files["tax.py"] == FILES["tax.py"].replace(b"net - net *", b"net + net *")
    assert outcome.spent.executions <= 400
    assert any("with another body of" in fields["text"] for fields in events.of("stage"))
    patches = changes(outcome.repairs, files)
    assert [patch.path for patch in patches] == ["invoice.py", "tax.py"]
    assert patch_file(patches).count(b"\n+++ ") == 2
    document = repair_document(outcome, Run(), exit_code=0)["repairs"][0]["patch"]
    assert {item["qualname"] for item in document["functions"]} == {"total", "with_tax"}
    assert "`total` in `invoice.py`" in markdown(outcome, Run())
    assert sorted(apply(root, patches)) == ["invoice.py", "tax.py"]
    assert {path: (root / path).read_bytes() for path in files} == files


def test_two_bodies_that_no_held_out_test_judged_are_shown_and_not_published(repo, runner):
    sandbox = runner(repo(FILES))
    discovery = discover(sandbox, tests=(), emit=Events())
    sources = {name: FILES[name] for name in ("invoice.py", "tax.py")}
    bodies = {"invoice.py": TOTAL, "tax.py": WITH_TAX}
    steps = [
        make_patch(name, source, functions_in(source)[0], bodies[name].removesuffix("<end>"))
        for name, source in sources.items()
    ]
    failing = [failure.node_id for failure in discovery.failures]
    assert len(failing) == 3
    unjudged = verify(joined(steps), discovery.failures, discovery, sandbox)
    judged = verify(joined(steps), discovery.failures, discovery, sandbox, held_out=failing[:1])
    assert (unjudged.word, judged.publishable) == ("suspect", True)
    assert "no failing test was held out" in " ".join(unjudged.reasons)
