"""The command, struck at each stage of a run: what is left behind, and that the run can be taken up again.

Where a signal comes is exact: the process sends it to itself as it enters a function of ours for the n-th time. Each
run after the first resumes the one that was struck before it, so that the last one has all of them behind it.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from bot.journal import read
from runners.local import bubblewrap_works
from tests.conftest import MakeRepo
from tests.test_warm_faults import processes_of, wait_for

pytestmark = pytest.mark.skipif(not bubblewrap_works(), reason="bubblewrap does not work here")

FILES = {
    "stock.py": "def left(have, taken):\n    return have + taken\n",
    "test_stock.py": "import pytest\n\nfrom stock import left\n\n\n"
    '@pytest.mark.parametrize("have, taken, rest", [(3, 1, 2), (2, 2, 0), (9, 4, 5)])\n'
    "def test_what_is_left(have, taken, rest):\n    assert left(have, taken) == rest\n",
}
COMMAND = ("repair", "--runner=local", "--model=none", f"--python={sys.executable}", "--workers=1", "--quiet")
STRUCK = """
import os, signal, sys

number, file, name, times = int(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4])


def look(frame, event, argument):
    global times
    code = frame.f_code
    if event == "call" and code.co_name == name and code.co_filename.endswith(file):
        times -= 1
        if not times:
            sys.setprofile(None)
            os.kill(os.getpid(), number)


if times:
    sys.setprofile(look)
from bot.cli import main

sys.exit(main(sys.argv[5:]))
"""


@dataclass(frozen=True)
class Strike:
    """Where a run is struck, and with what: as it enters this function for the n-th time."""

    stage: str
    signal: signal.Signals
    file: str
    name: str
    times: int = 1


STRIKES = (
    Strike("the copy", signal.SIGTERM, "/runners/workspace.py", "copy_files"),
    Strike("discovery, with tests running", signal.SIGKILL, "/runners/cold.py", "take", 6),
    Strike("localisation", signal.SIGINT, "/bot/localise.py", "rank"),
    Strike("search, with a warm sandbox", signal.SIGKILL, "/runners/worker.py", "ask", 6),
    Strike("verdict", signal.SIGTERM, "/bot/verify.py", "verify"),
    Strike("verdict, with canaries running", signal.SIGKILL, "/runners/cold.py", "judge", 2),
    Strike("behaviour and doubt", signal.SIGINT, "/bot/behaviour.py", "observe"),
    Strike("report", signal.SIGKILL, "/bot/report.py", "markdown"),
)


class Place:
    """A repository, and a folder for temporary files of its own."""

    def __init__(self, root: Path, scratch: Path) -> None:
        self.root, self.scratch = root, scratch
        self.files = self.look()

    def look(self) -> dict[str, bytes]:
        """Return the user's files."""
        return {name: (self.root / name).read_bytes() for name in FILES}

    def run(self, strike: Strike | None, *more: str) -> tuple[int, str]:
        """Run the command; return its exit status and what it said."""
        told = [int(strike.signal), strike.file, strike.name, strike.times] if strike else [0, "", "", 0]
        done = subprocess.run(
            [sys.executable, "-c", STRUCK, *map(str, told), *COMMAND, *more, str(self.root)],
            env={**os.environ, "TMPDIR": str(self.scratch)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout + done.stderr

    def runs(self) -> list[Path]:
        """Return the folders of the runs so far, oldest first."""
        return sorted((self.root / ".egcfg-fix" / "runs").iterdir())


def test_a_run_that_is_struck_at_any_stage_leaves_a_whole_journal_and_is_taken_up_again(
    repo: MakeRepo, tmp_path: Path
) -> None:
    scratch = tmp_path / f"struck-{os.getpid()}"
    scratch.mkdir()
    place = Place(repo(FILES), scratch)
    resume: tuple[str, ...] = ()
    left: list[int] = []  # scratch folders after each strike
    for strike in STRIKES:
        code, said = place.run(strike, *resume)
        killed = strike.signal == signal.SIGKILL
        assert code == (-signal.SIGKILL if killed else 130), (strike.stage, said)
        journal = place.runs()[-1] / "journal.jsonl"
        lines = journal.read_bytes()
        assert lines.endswith(b"\n"), strike.stage
        records = [json.loads(line) for line in lines.splitlines()]
        assert [record["seq"] for record in records] == list(range(len(records))), strike.stage
        assert read(journal) == records
        ends = [record["reason"] for record in records if record["event"] == "end"]
        assert ends == ([] if killed else ["interrupted"]), strike.stage
        assert place.look() == place.files
        left.append(len(list(scratch.iterdir())))
        assert left[-1] <= killed, strike.stage  # one at most: earlier ones have been swept
        wait_for(lambda: not processes_of(scratch))
        resume = ("--resume=last",)
    assert max(left) == 1
    code, said = place.run(None, *resume)
    assert code == 0, said
    assert "-    return have + taken\n+    return have + -taken\n" in (place.runs()[-1] / "fix.patch").read_text()
    assert list(scratch.iterdir()) == []
    assert read(place.runs()[-1] / "journal.jsonl")[-1]["reason"] == "done"
    assert len(place.runs()) == len(STRIKES) + 1
