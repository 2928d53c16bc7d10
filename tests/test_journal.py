"""The journal: whole lines, a closing record, a folder that stays out of the way."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bot.journal import LONGEST, Fanout, Journal, read
from bot.records import Spent


def events(path):
    return [record["event"] for record in read(path)]


def test_each_record_is_one_numbered_line_with_its_time_in_utc(tmp_path):
    with Journal(tmp_path, clock=lambda: datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)) as journal:
        journal("note", text="two\nlines")
        journal("spent", spent=Spent(1.5, 2), body=b"bytes", where=Path("a/b"), many={"b", "a"})
    lines = (tmp_path / "journal.jsonl").read_text().splitlines()
    assert json.loads(lines[0]) == {
        "schema": 1, "seq": 0, "time": "2026-01-02T03:04:05.000+00:00", "event": "note", "text": "two\nlines",
    }  # fmt: skip
    second = json.loads(lines[1])
    assert (second["seq"], second["spent"]["tokens"], second["body"]) == (1, 2, "bytes")
    assert (second["where"], second["many"]) == ("a/b", ["a", "b"])
    assert json.loads(lines[2])["event"] == "end"
    assert json.loads(lines[2])["reason"] == "done"


def test_a_journal_ends_with_the_reason_it_ended_for_and_only_once(tmp_path):
    for name, error, reason in [
        ("a", KeyboardInterrupt(), "interrupted"),
        ("b", ValueError("no"), "error: ValueError: no"),
    ]:
        (tmp_path / name).mkdir()
        with pytest.raises(type(error)), Journal(tmp_path / name) as journal:
            raise error
        journal.close("again")
        journal("note", text="too late")
        assert [(r["event"], r.get("reason")) for r in read(journal.path)] == [("end", reason)]


def test_an_end_emitted_by_a_stage_is_the_closing_record(tmp_path):
    with Journal(tmp_path) as journal:
        journal("end", reason="budget")
    assert [r["reason"] for r in read(journal.path)] == ["budget"]


def test_a_cut_last_line_is_dropped_and_a_broken_line_before_it_is_an_error(tmp_path):
    with Journal(tmp_path) as journal:
        journal("note", text="whole")
    with journal.path.open("ab") as file:
        file.write(b'{"schema": 1, "seq"')
    assert events(journal.path) == ["note", "end"]
    with journal.path.open("ab") as file:
        file.write(b"\n")
    with pytest.raises(ValueError, match="line 3"):
        read(journal.path)


def test_long_strings_are_cut_with_a_mark_and_numbers_json_lacks_become_text(tmp_path):
    with Journal(tmp_path) as journal:
        journal("note", text="x" * (LONGEST + 5), value=float("nan"), deep=[{"a": float("inf")}])
    record = read(journal.path)[0]
    assert record["text"].endswith("[cut, 5 more characters]")
    assert (record["value"], record["deep"]) == ("nan", [{"a": "inf"}])


def test_credentials_in_urls_and_the_environment_never_reach_the_journal(tmp_path, monkeypatch):
    monkeypatch.setenv("GITHUB_TOKEN", "ghs_secret")
    with Journal(tmp_path) as journal:
        journal("start", model="https://user:secret@host/v1")
    text = journal.path.read_text()
    assert "secret" not in text
    assert "https://***@host/v1" in text


def test_a_field_named_like_one_of_the_journal_s_own_does_not_replace_it(tmp_path):
    with Journal(tmp_path) as journal:
        journal("suite", time=3.5)
    assert read(journal.path)[0]["time_"] == 3.5


def test_many_threads_write_whole_lines(tmp_path):
    with Journal(tmp_path) as journal:
        threads = [threading.Thread(target=lambda: [journal("n", text="y" * 500) for _ in range(50)]) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert [record["seq"] for record in read(journal.path)] == list(range(401))


def test_a_killed_process_leaves_whole_lines(tmp_path):
    program = (
        "import sys; from pathlib import Path; from bot.journal import Journal\n"
        "journal = Journal(Path(sys.argv[1])); print('go', flush=True)\n"
        "while True: journal('note', text='z' * 3000)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    with process:
        process.stdout.readline()
        while (tmp_path / "journal.jsonl").stat().st_size < 100_000:
            pass
        process.send_signal(signal.SIGKILL)
    assert (tmp_path / "journal.jsonl").read_bytes().endswith(b"\n")
    assert set(events(tmp_path / "journal.jsonl")) == {"note"}


def test_a_full_disk_leaves_no_half_line(tmp_path):
    program = (
        "import resource, signal, sys; from pathlib import Path; from bot.journal import Journal\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))\n"
        "with Journal(Path(sys.argv[1])) as journal:\n"
        "    for _ in range(9): journal('note', text='z' * 900)\n"
    )
    assert resource.RLIMIT_FSIZE is not None
    result = subprocess.run([sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True)
    assert "OSError" in result.stderr
    assert events(tmp_path / "journal.jsonl")[:4] == ["note"] * 4


def test_the_run_folder_stays_out_of_git_status(tmp_path):
    subprocess.run(["git", "init", "--quiet"], cwd=tmp_path, check=True)
    with Journal.create(tmp_path, {}) as journal:
        pass
    assert journal.folder.parent == tmp_path / ".egcfg-fix" / "runs"
    assert journal.elsewhere == ""
    status = subprocess.run(["git", "status", "--porcelain"], cwd=tmp_path, check=True, capture_output=True)
    assert status.stdout == b""


def test_two_runs_in_the_same_second_have_folders_of_their_own(tmp_path):
    with Journal.create(tmp_path, {}) as one, Journal.create(tmp_path, {}) as two:
        assert one.folder != two.folder


@pytest.mark.parametrize("place", [".egcfg-fix", ".egcfg-fix/runs"])
def test_a_link_in_the_run_folder_s_place_is_not_followed(tmp_path, place):
    repository, outside, state = tmp_path / "repository", tmp_path / "outside", tmp_path / "state"
    for folder in (repository, outside):
        folder.mkdir()
    (repository / place).parent.mkdir(exist_ok=True)
    (repository / place).symlink_to(outside)
    with Journal.create(repository, {"XDG_STATE_HOME": str(state)}) as journal:
        pass
    assert list(outside.iterdir()) == []
    assert journal.folder.is_relative_to(state)
    assert ".egcfg-fix" in journal.elsewhere
    assert events(journal.path) == ["end"]


def test_where_no_folder_can_be_made_a_temporary_one_is_used(tmp_path):
    (tmp_path / ".egcfg-fix").write_text("a file in the way")
    with Journal.create(tmp_path, {"HOME": "/dev/null/nowhere"}) as journal:
        pass
    assert journal.elsewhere.startswith(str(tmp_path / ".egcfg-fix"))
    assert os.access(journal.path, os.R_OK)


def test_where_nothing_at_all_can_be_written_the_error_says_so(tmp_path):
    program = (
        "import resource, signal, sys; from pathlib import Path; from bot.errors import EgcfgError\n"
        "from bot.journal import Journal\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))\n"
        "try: Journal.create(Path(sys.argv[1]), {'XDG_STATE_HOME': '/dev/null/x'})\n"
        "except EgcfgError as error: print(error.message, error.hint, error.exit_code)\n"
    )
    result = subprocess.run([sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=True)
    assert result.stdout.startswith(f"No folder for this run can be written: {tmp_path}/.egcfg-fix/runs cannot be used")
    assert result.stdout.endswith("a folder that can be written. 3\n")


def test_an_event_reaches_every_sink_in_order():
    seen = []
    Fanout(
        lambda event, **fields: seen.append((1, event, fields)), lambda event, **fields: seen.append((2, event, fields))
    )("note", text="x")
    assert seen == [(1, "note", {"text": "x"}), (2, "note", {"text": "x"})]
