"""Every specimen through discover, localise, splice and verify, with the known body in the model's place."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bot.context import build_task
from bot.discover import discover
from bot.functions import find_function
from bot.groups import groups
from bot.localise import rank
from bot.patches import make_patch
from bot.spectrum import Spectrum
from bot.verify import verify
from runners.runner import Limits

SPECIMENS = Path(__file__).parent / "specimens"


def silent(event, **fields):
    pass


@pytest.mark.parametrize("fix", sorted(SPECIMENS.glob("*.json")), ids=lambda path: path.stem)
def test_the_known_body_of_a_specimen_is_asked_for_and_accepted(fix, repo, runner):
    folder = fix.with_suffix("")
    root = repo({path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()})
    known = json.loads(fix.read_text(encoding="utf-8"))
    sandbox = runner(root, Limits(suite_timeout_s=120, test_timeout_s=2))

    def read(path):
        return (root / path).read_bytes()

    discovery = discover(sandbox, emit=silent)
    assert discovery.failures
    assert all(failure.repairable for failure in discovery.failures)
    spectrum = Spectrum(discovery.failures, discovery.passing, read)
    failures = groups(discovery.failures, spectrum)[0].failures  # the most specific
    first = rank(failures, spectrum)[0].key
    assert (first.path, first.qualname) == (known["path"], known["qualname"])

    source = read(first.path)
    function = find_function(source, first.qualname, first.first_line)
    assert function is not None
    task = build_task(failures, function, source, read)
    assert task.tests
    assert task.failure
    patch = make_patch(first.path, source, function, known["body"])
    changed = [line for line in patch.diff.splitlines() if line.startswith("+") and not line.startswith("+++")]
    assert len(changed) <= 2, "lines that stay keep their bytes"
    verdict = verify(patch, failures, discovery, sandbox, read=read)
    assert verdict.word == "plausible", verdict.reasons
    assert set(verdict.fixed) == {failure.node_id for failure in discovery.failures}
