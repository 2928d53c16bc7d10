"""Bodies that change what judges them: tests, settings, packages, pytest, the interpreter, the channel of replies."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from runners.docker import DockerRunner
from runners.workspace import Workspace
from tests.attacks.arena import FILES, LIMITS, NODES, TARGET, Arena, Attack

pytestmark = pytest.mark.docker

WRITE = """
import os
for path in {paths}:
    try:
        with open(path, "w") as file:
            file.write({text!r})
    except OSError:
        pass
return 0
"""


def writes(text: str, *paths: str) -> str:
    return WRITE.format(text=text, paths=repr(paths))


GREEN = "def test_it(): pass\ndef test_other(): pass\n"
FIXES = "import attack\nattack.target = lambda x: x + 1\n"
FRAMES = r"""
import json, os
for fd in range(3, 64):
    for frame in (
        {"k": "begun"},
        {"k": "start", "n": "test_attack.py::test_it"},
        {"k": "phase", "n": "test_attack.py::test_it", "w": "call", "o": "passed", "d": 0},
        {"k": "end", "n": "test_attack.py::test_it"},
        {"k": "done", "status": 0},
        {"dirty": False},
        {"k": "executed", "d": {"tests": [], "errors": [], "why": ""}},
    ):
        try:
            os.write(fd, json.dumps(frame).encode() + b"\n")
        except OSError:
            pass
return 0
"""
FLOOD = """
import os
for fd in range(3, 64):
    try:
        for _ in range(400):
            os.write(fd, b"x" * 65536)
    except OSError:
        pass
return 0
"""
FILES_CHANGED = (
    Attack("writes the tests", writes(GREEN, "/repo/test_attack.py"), "failed"),
    Attack("writes its own file", writes("def target(x):\n    return x + 1\n", "/repo/attack.py"), "failed"),
    Attack("writes conftest.py", writes(FIXES, "/repo/conftest.py"), "failed"),
    Attack("writes pytest.ini", writes("[pytest]\naddopts = --collect-only\n", "/repo/pytest.ini"), "failed"),
    Attack(
        "writes a new plugin", writes(FIXES, "/repo/sitecustomize.py", "/repo/pytest.py", "/tmp/conftest.py"), "failed"
    ),
    Attack(
        "writes into site-packages",
        "import os, pytest\nfolder = os.path.dirname(os.path.dirname(pytest.__file__))\n"
        "with open(os.path.join(folder, 'evil.pth'), 'w') as file:\n    file.write('import os; os._exit(0)')",
        "failed",
        "OSError",
    ),
    Attack(
        "removes the tests",
        "import os\nfor name in os.listdir('/repo'):\n    try: os.unlink(name)\n    except OSError: pass\nreturn 0",
        "failed",
    ),
    Attack(
        "puts a link in the place of its file",
        "import os\ntry:\n    os.unlink('/repo/attack.py')\n    os.symlink('/dev/zero', '/repo/attack.py')\n"
        "except OSError: pass\nreturn 0",
        "failed",
    ),
    Attack("writes byte code", writes("x", "/repo/__pycache__/attack.cpython-311.pyc"), "failed"),
)
STATE_CHANGED = (
    Attack(
        "replaces open and time",
        "import builtins, time\nbuiltins.open = None\ntime.monotonic = time.time = None\nreturn 0",
        "failed",
    ),
    Attack(
        "replaces json and os.write",
        "import json, os\njson.dumps = json.loads = lambda *a, **k: '{}'\nos.write = len\nreturn 0",
        "failed passed missing crashed timeout",
    ),
    Attack(
        "replaces pickle and repr", "import builtins, pickle\nbuiltins.repr = pickle.loads = None\nreturn 0", "failed"
    ),
    Attack(
        "traces everything", "import sys, threading\nsys.settrace(print)\nthreading.settrace(print)\nreturn 0", "failed"
    ),
    Attack("empties sys.modules", "import sys\nsys.modules.clear()\nreturn 0", "failed crashed missing"),
    Attack("closes every descriptor", "import os\nos.closerange(0, 1024)\nreturn 0", "failed crashed missing timeout"),
    Attack(
        "replaces the reports",
        "import _pytest.reports as r\nr.TestReport.from_item_and_call = None\nreturn 0",
        "failed crashed missing timeout",
    ),
    Attack(
        "replaces unittest and mock",
        "import unittest.mock as m\nunittest = m\nm.ANY.__class__.__eq__ = None\nreturn 0",
        "failed",
    ),
    Attack("changes the recursion limit", "import sys\nsys.setrecursionlimit(60)\nreturn 0", "failed crashed missing"),
    Attack(
        "changes the environment",
        "import os\nos.environ.clear()\nos.environ['PYTEST_ADDOPTS'] = '--co'\nreturn 0",
        "failed error",
    ),
    Attack("changes the folder", "import os\nos.chdir('/')\nos.umask(0o777)\nreturn 0", "failed"),
    Attack("writes frames to every descriptor", FRAMES, "failed passed missing crashed"),
    Attack("floods every descriptor", FLOOD, "failed missing crashed timeout"),
)


@pytest.fixture(scope="module")
def own_arena(attacked_root: Path) -> Iterator[Arena]:
    """A session of its own: one whose tree has been written into is given another kind of tree."""
    with DockerRunner(attacked_root, LIMITS) as runner, runner.open_session(TARGET, NODES) as session:
        yield Arena(runner, session)


@pytest.mark.parametrize("attack", FILES_CHANGED + STATE_CHANGED, ids=lambda attack: attack.name)
def test_what_a_body_changes_is_as_it_was_for_the_next_one(own_arena: Arena, attack: Attack) -> None:
    own_arena.meet(attack)


def test_a_cold_run_that_rewrites_its_tests_changes_no_later_one(own_arena: Arena, attacked_root: Path) -> None:
    assert not own_arena.cold(FILES_CHANGED[0].body).by_id()[NODES[0]].passed
    runs = own_arena.cold("return x").by_id()
    assert [runs[node].outcome for node in NODES] == ["failed", "failed"]
    assert {name: (attacked_root / name).read_text() for name in FILES} == FILES


def test_links_and_odd_names_in_the_repository_stay_inside_the_copy(attacked_root: Path, tmp_path: Path) -> None:
    root = tmp_path / "repository"
    root.mkdir()
    (root / "test_a.py").write_text("def test_a():\n    assert sorted(__import__('os').listdir('.')) == []\n")
    secret = tmp_path / "secret"
    secret.write_text("secret")
    (root / "absolute").symlink_to(secret)
    (root / "upwards").symlink_to("../secret")
    (root / "folder").symlink_to("/etc")
    (root / "loop").symlink_to("loop")
    (root / "-rf").write_text("")
    (root / "a\nb").write_text("")
    (root / "\u202e.py").write_text("")
    workspace = Workspace(root)
    try:
        names = {path.name for path in workspace.snapshot.iterdir()}
        assert names == {"test_a.py", "-rf", "a\nb", "\u202e.py"}
        assert b"secret" not in workspace.archive()
    finally:
        workspace.close()
    with DockerRunner(root, LIMITS) as runner:
        from runners.runner import SuiteRequest

        message = runner.run_suite(SuiteRequest()).tests[0].message
    assert "absolute" not in message
    assert "-rf" in message
