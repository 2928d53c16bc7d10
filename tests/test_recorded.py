"""Going on from an earlier run: what its journal tells, what is not run again, and what is judged afresh."""

from __future__ import annotations

import json

import pytest

from bot import journal
from bot.config import Config
from bot.errors import RepositoryError
from bot.pipeline import repair
from bot.recorded import Earlier, Memory, RecordedSession, digest, earlier, failed
from bot.records import Budget, Suspect
from runners.runner import Execution, FunctionKey, TestRun
from runners.workspace import content_digest
from tests.fakes import InProcessSession

FILES = {
    "shop.py": "def total(prices, count):\n    result = 0\n    for price in prices:\n        result += price\n"
    "    return result - count\n",
    "test_shop.py": "from shop import total\n\n\ndef test_two():\n    assert total([2, 3], 4) == 9\n\n\n"
    "def test_none():\n    assert total([], 0) == 0\n\n\ndef test_one():\n    assert total([2], 1) == 3\n",
}


def silent(event, **fields):
    pass


def passes(namespace):
    assert namespace["one"]() == 1


def test_what_is_known_to_fail_is_not_run_and_what_passed_is():
    bad, good = b"def one():\n    return 2\n", b"def one():\n    return 1\n"
    inner = InProcessSession("one", {"t::one": passes})
    told = []
    known = {digest(bad): ("failed",), digest(good): ("failed", "passed")}  # the second is of other tests
    session = RecordedSession(inner, ["t::one"], known, lambda event, **fields: told.append(fields))
    first, second = session.execute([bad, good])
    assert (first.passed, second.passed) == (False, True)
    assert (inner.executions, session.spared) == (1, 1)
    assert [fields["outcomes"] for fields in told] == [["failed"], ["passed"]]
    session.execute([bad], trace=True)
    assert inner.executions == 2, "a trace is never taken from the record"


def test_what_ran_in_another_session_of_this_run_is_not_run_again():
    inner, ran = InProcessSession("one", {"t::one": passes}), {}
    bodies = [b"def one():\n    return 2\n", b"def one():\n    return 1\n"]
    for _ in range(2):
        session = RecordedSession(inner, ["t::one"], {}, silent, ran)
        assert [execution.passed for execution in session.execute(bodies)] == [False, True]
    assert (inner.executions, session.spared) == (2, 0), "spared are those of an earlier run alone"


def test_what_failed_one_of_the_first_tests_fails_whatever_tests_are_added():
    def run(*outcomes):
        return Execution(tuple(TestRun(f"t::{n}", outcome) for n, outcome in enumerate(outcomes)), 0.5)

    ran = {"a": run("passed", "failed", "missing"), "b": run("passed", "passed", "failed"), "c": run("passed")}
    assert failed(ran, 2) == {"a": run("passed", "failed")}


@pytest.mark.parametrize(
    "record",
    [
        {"event": "executed", "file": "a", "outcomes": ["passed"]},
        {"event": "executed", "file": "a", "outcomes": ["no such outcome"]},
        {"event": "executed", "file": 3, "outcomes": ["failed"]},
        {"event": "executed", "file": "a", "outcomes": []},
        {"event": "repair", "repair": {"candidate": None, "verdict": None}},
        {"event": "repair", "repair": "nonsense"},
        {"event": "candidate", "body": 3, "origin": "edit", "setting": ""},
        {"event": "candidate", "body": "    return 1\n", "origin": "nowhere", "setting": ""},
    ],
)
def test_records_of_another_form_and_passing_bodies_are_passed_over(record):
    assert earlier([{"event": "session", "key": "k"}, record]) == Earlier()


def test_a_resumed_run_judges_the_proposal_again_and_searches_nothing(repo, tmp_path):
    root = repo(FILES)
    config = Config(runner="local", model="none", budget=Budget(seconds=1200, executions=600))
    with journal.Journal.create(root, {}) as log:
        first = repair(root, config, log)
    assert first.all_repaired
    known = earlier(journal.read(log.path))
    assert known.proposals
    events = []
    second = repair(root, config, lambda event, **fields: events.append(event), earlier=known)
    assert second.all_repaired
    assert second.spent.executions == 0
    assert "session" not in events
    assert "verdict" in events


def test_a_resumed_run_doubts_a_proposal_for_the_same_rivals_as_a_fresh_one(repo):
    root = repo(
        {
            "shapes.py": "def area(width, height):\n    return width + height\n",
            "test_shapes.py": "from shapes import area\n\n\ndef test_one():\n    assert area(1, 1) == 1\n\n\n"
            "def test_two():\n    assert area(2, 2) == 4\n",
        }
    )
    config = Config(runner="local", model="none", budget=Budget(seconds=1200, executions=200))
    with journal.Journal.create(root, {}) as log:
        first = repair(root, config, log, clock=lambda: 0.0).repairs[0]  # rivals are looked for by count, not by time
    assert first.verdict is not None
    assert first.verdict.rivals
    records = journal.read(log.path)
    for record in records:
        if record["event"] == "repair":  # as if nobody had looked for rivals then
            record["repair"]["verdict"]["word"] = "plausible"
    events = []
    again = repair(root, config, lambda event, **fields: events.append(event), earlier=earlier(records)).repairs[0]
    assert again.verdict is not None
    assert again.verdict.rivals == first.verdict.rivals
    assert not again.published
    assert "session" not in events


def test_a_resumed_run_has_the_same_tests_steer_as_the_first_one_came_to(repo):
    files = {
        "calc.py": "def each(total, parts):\n    return total % parts\n",
        "test_a.py": "from calc import each\n\n\ndef test_each():\n    assert each(4, 2) in (2, 4, 6, 8, 16)\n",
        "test_b.py": "from calc import each\n\n\ndef test_each_of_nine():\n    assert each(9, 2) == 4\n",
    }
    root = repo(files)
    config = Config(runner="local", model="none", budget=Budget(seconds=1200, executions=600))
    with journal.Journal.create(root, {}) as log:
        first = repair(root, config, log).repairs[0]
    assert first.patch is not None
    assert first.verdict is not None
    assert "steered by test_b.py::test_each_of_nine too" in first.verdict.reasons[-1]
    again = repair(root, config, silent, earlier=earlier(journal.read(log.path)))
    (second,) = again.repairs
    assert second.patch is not None
    assert second.verdict is not None
    assert (second.patch.after, second.verdict.reasons) == (first.patch.after, first.verdict.reasons)
    assert again.spent.executions == 0


def test_a_proposal_whose_rivals_are_not_known_is_judged_after_the_search():
    suspect = Suspect(FunctionKey("a.py", "f", 1), 1.0, 1.0, 1.0, "")
    found = {"body": "    return 1\n", "origin": "edit", "setting": "single edits", "logprob": None, "guided": -2}
    rival = {**found, "body": "    return 2\n", "logprob": -3.0}
    candidate = {**found, "suspect": {"key": {"path": "a.py", "qualname": "f", "first_line": 1}}}
    verdict = {"word": "plausible"}
    done = {"event": "repair", "repair": {"candidate": candidate, "patch": {"further": []}, "verdict": verdict}}
    whole = [{"event": "session", "key": "k"}, *({"event": "candidate", **one} for one in (found, rival)), done]
    memory = Memory("", earlier(whole))
    before, after = memory.lots(suspect, "k")
    assert [one.body for one in before] == [found["body"], rival["body"]]
    assert [(one.logprob, one.guided) for one in before[1:]] == [(-3.0, -2.0)]
    assert before[0].setting == "single edits (earlier run)"
    assert after == []
    before, after = memory.lots(suspect, "another session")
    assert (before, [one.body for one in after]) == ([], [found["body"]])
    pair = {"event": "repair", "repair": {**done["repair"], "patch": {"further": [{}]}}}
    assert Memory("", earlier([pair])).lots(suspect, "k") == ([], [])


def test_a_cut_journal_spares_the_executions_that_it_holds(repo):
    root = repo(FILES)
    config = Config(runner="local", model="none", budget=Budget(seconds=1200, executions=600))
    with journal.Journal.create(root, {}) as log:
        first = repair(root, config, log)
    records = journal.read(log.path)
    cut = [record for record in records if record["event"] != "repair"]
    notes = []

    def listen(event, **fields):
        if event == "note":
            notes.append(fields["text"])

    second = repair(root, config, listen, earlier=earlier(cut))
    assert second.repairs[0].patch == first.repairs[0].patch
    assert any("taken from the earlier run" in note for note in notes)


def test_another_checkout_knows_nothing(repo):
    root = repo(FILES)
    before = content_digest(root)
    (root / "shop.py").write_text(FILES["shop.py"] + "\n")
    assert content_digest(root) != before
    (root / "shop.py").write_text(FILES["shop.py"])
    assert content_digest(root) == before


def test_the_newest_run_is_the_last_and_an_unknown_one_is_answered_with_those_there_are(repo):
    root = repo({"a.py": ""})
    with pytest.raises(RepositoryError, match="no earlier run"):
        journal.find_run(root, {}, "last")
    folders = []
    for _ in range(3):
        with journal.Journal.create(root, {}) as log:
            folders.append(log.folder)
    assert journal.find_run(root, {}, "last") == folders[-1]
    assert journal.find_run(root, {}, folders[0].name) == folders[0]
    assert journal.find_run(root, {}, str(folders[1])) == folders[1]
    with pytest.raises(RepositoryError) as caught:
        journal.find_run(root, {}, "yesterday")
    assert folders[-1].name in caught.value.hint


def test_a_journal_with_a_broken_line_is_refused_with_what_to_do(repo, capsys):
    from bot.cli import main

    root = repo(FILES)
    with journal.Journal.create(root, {}) as log:
        pass
    log.path.write_text("nonsense\n" + json.dumps({"schema": 1}) + "\n")
    assert main(["repair", str(root), "--model", "none", "--runner", "local", "--resume", "last"]) == 2
    assert "without --resume" in capsys.readouterr().err
