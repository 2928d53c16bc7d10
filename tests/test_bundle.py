"""The bundle of a run, read back as what it is: a folder that others may have written."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from bot.bundle import CONTENTS, FILE, SHOWN_DIFF, Changed, Source, read, source_of, write
from bot.errors import BundleError
from bot.patch_file import changes, diff
from bot.records import Candidate, Difference, Discovery, Patch, Repair, Rival, Suspect, TestFailure, Verdict
from runners.runner import FunctionKey

BEFORE, AFTER = b"def f(x):\n    return x\n", b"def f(x):\n    return x + 1\n"
COMMIT = "ab" * 20


def repair(word: str = "strong") -> Repair:
    key = FunctionKey("calc.py", "f", 1)
    suspect = Suspect(key, 1.0, 1.0, 1.0, "innermost frame")
    failure = TestFailure("test_calc.py::test_f", "call", "failure", "AssertionError", "assert 1 == 2", ())
    patch = Patch("calc.py", "f", BEFORE, AFTER, diff("calc.py", BEFORE, AFTER).decode())
    candidate = Candidate(suspect, "return x + 1\n", "edit", "", -1.0, Repair((), (), None, None, None).spent)
    verdict = Verdict(word, ("held out passes",), fixed=(failure.node_id,), regression_tests=3, level="J4 in docker")
    verdict = replace(verdict, compared=4, differences=(Difference(failure.node_id, "x=0", "0", "1"),))
    rival = Rival("+    return x or 1\n" * 500, (Difference(failure.node_id, "x=2", "3", "2", nearby=True),))
    verdict = replace(verdict, rivals=(rival,))
    return Repair((failure,), (suspect,), candidate, patch, verdict)


def written(folder: Path, *repairs: Repair) -> Path:
    (folder / "journal.jsonl").write_text('{"schema": 1}\n')
    (folder / "report.md").write_text("# Report\n")

    def changing(given):
        files = {one.patch.path: one.patch.after for one in given}
        return changes(given, files)

    failures = tuple(one for item in repairs for one in item.failures)
    source = Source(COMMIT, "octocat/calc", "main", "sub/")
    write(
        folder, source, Discovery(failures, (), 9, 0, 1.0), repairs, changing,
        whole=True, command="egcfg-fix repair https://me:pw@host/x", environment={"model": "none"}, log="log",
    )  # fmt: skip
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return written(tmp_path, repair(), repair("suspect"))


def test_what_is_written_is_read_back_and_only_what_is_worth_publishing(folder):
    found = read(folder)
    assert (found.source.commit, found.source.branch, found.whole) == (COMMIT, "main", True)
    [one] = found.proposals
    assert (one.word, one.tests[0].node_id, one.functions[0].reason) == (
        "strong",
        "test_calc.py::test_f",
        "innermost frame",
    )
    assert [(change.path, change.before, change.after) for change in one.files] == [("sub/calc.py", BEFORE, AFTER)]
    assert found.together == one.files
    assert (one.kind, one.compared) == ("code", 4)
    assert one.differences == (Changed("x=0", "0", "1", "test_calc.py::test_f"),)
    [other] = one.alternatives
    assert other.differences == (Changed("x=2", "3", "2", "test_calc.py::test_f", nearby=True),)
    assert other.diff.startswith("+    return x or 1\n")
    assert len(other.diff) == SHOWN_DIFF
    assert found.failing == ("test_calc.py::test_f",) * 2
    assert "pw" not in (folder / FILE).read_text()


def test_the_journal_may_go_on_after_the_bundle_but_not_change(folder):
    with (folder / "journal.jsonl").open("a") as journal:
        journal.write('{"event": "end"}\n')
    read(folder)
    (folder / "journal.jsonl").write_text('{"schema": 2}\n')
    with pytest.raises(BundleError, match="journal"):
        read(folder)


@pytest.mark.parametrize("kind", ["collection", "dependency", "crash"])
def test_a_run_that_has_lost_tests_says_nothing_about_those_it_does_not_name(tmp_path, kind):
    lost = replace(repair(), failures=(replace(repair().failures[0], node_id="test_other.py", kind=kind),))
    assert not read(written(tmp_path, repair(), lost)).whole


def test_a_repaired_test_is_labelled(tmp_path):
    stale = repair()
    assert stale.patch is not None
    found = read(written(tmp_path, replace(stale, patch=replace(stale.patch, subject="tests"))))
    assert found.proposals[0].kind == "tests"


def changed(folder: Path, edit) -> None:
    document = json.loads((folder / FILE).read_text())
    edit(document)
    (folder / FILE).write_text(json.dumps(document))


@pytest.mark.parametrize(
    "edit",
    [
        lambda d: d.update(schema=2),
        lambda d: d.update(schema=True),
        lambda d: d.pop("proposals"),
        lambda d: d["source"].update(commit="HEAD"),
        lambda d: d["source"].update(repository="a/b/c"),
        lambda d: d["source"].update(pull_request=-1),
        lambda d: d["source"].update(branch="../main"),
        lambda d: d["source"].update(branch="a b"),
        lambda d: d["source"].update(folder="../"),
        lambda d: d["source"].update(folder="sub"),
        lambda d: d["proposals"].append(3),
        lambda d: d["proposals"][0].update(word="certain"),
        lambda d: d["proposals"][0].update(kind="workflow"),
        lambda d: d["proposals"][0].update(tests=[]),
        lambda d: d["proposals"][0].update(reasons=[1]),
        lambda d: d["proposals"][0].update(level="x" * 200_000),
        lambda d: d["proposals"][0].update(level="a\0b"),
        lambda d: d["proposals"][0]["files"][0].update(after="../../etc/passwd"),
        lambda d: d["proposals"][0]["files"][0].update(after="0" * 64),
        lambda d: d["proposals"].extend([d["proposals"][0]] * 2000),
        lambda d: d["files"].update({"../x": {"bytes": 1, "sha256": "0" * 64}}),
        lambda d: d["files"]["report.md"].update(sha256="0" * 64),
        lambda d: d["run"].update(failing="all"),
    ],
)
def test_a_document_of_another_form_is_refused(folder, edit):
    changed(folder, edit)
    with pytest.raises(BundleError):
        read(folder)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"[" * 100_000, b"\xff\xfe", b'{"schema": 1}'])
def test_what_is_no_document_at_all_is_refused(folder, content):
    (folder / FILE).write_bytes(content)
    with pytest.raises(BundleError):
        read(folder)


def test_changed_contents_links_pipes_and_missing_files_are_refused(folder, tmp_path_factory):
    name = hashlib.sha256(AFTER).hexdigest()
    content = folder / CONTENTS / name
    content.write_bytes(AFTER + b"# more\n")
    with pytest.raises(BundleError, match="has been changed"):
        read(folder)
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "file"
    elsewhere.write_bytes(AFTER)
    content.unlink()
    content.symlink_to(elsewhere)
    with pytest.raises(BundleError, match="link"):
        read(folder)
    content.unlink()
    os.mkfifo(content)
    with pytest.raises(BundleError, match="not a file"):
        read(folder)
    content.unlink()
    with pytest.raises(BundleError, match="cannot be read"):
        read(folder)
    with pytest.raises(BundleError, match="not the folder of a run"):
        read(folder / "nowhere")


def test_githubs_variables_are_believed_only_about_the_commit_that_is_checked_out():
    given = {"GITHUB_REPOSITORY": "o/n", "GITHUB_REF": "refs/heads/a/b", "GITHUB_SHA": COMMIT}
    assert source_of(given, commit=COMMIT, branch="", folder="").branch == "a/b"
    assert source_of(given, commit="cd" * 20, branch="", folder="").branch == ""
    assert source_of(given, commit="cd" * 20, branch="mine", folder="").branch == "mine"
    assert source_of({"GITHUB_REPOSITORY": "../x"}, commit="", branch="", folder="").repository == ""
