"""One publication through Prism, which holds requests and answers against GitHub's description on its own.

Prism reads the same description as the front behind it, but is another program: what both let pass is GitHub's API.
"""

from __future__ import annotations

import json
import re
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bot.config import Publishing
from bot.github import GitHub
from bot.publish import publish
from tests.github_front import DESCRIPTION, OWNER, REVIEWER, WRITER, Front, free_port
from tests.test_publish import FILES, OTHER, bundle, proposal

PROGRAM = "node_modules/@stoplight/prism-cli/dist/index.js"
START_S = 180
USED = (  # what bot/github.py asks for; a short description keeps Prism's start short
    ("/repos/{owner}/{repo}", "get"),
    ("/repos/{owner}/{repo}/git/ref/{ref}", "get"),
    ("/repos/{owner}/{repo}/git/refs", "post"),
    ("/repos/{owner}/{repo}/git/refs/{ref}", "patch delete"),
    ("/repos/{owner}/{repo}/git/blobs", "post"),
    ("/repos/{owner}/{repo}/git/trees", "post"),
    ("/repos/{owner}/{repo}/git/trees/{tree_sha}", "get"),
    ("/repos/{owner}/{repo}/git/commits", "post"),
    ("/repos/{owner}/{repo}/git/commits/{commit_sha}", "get"),
    ("/repos/{owner}/{repo}/compare/{basehead}", "get"),
    ("/repos/{owner}/{repo}/pulls", "get post"),
    ("/repos/{owner}/{repo}/pulls/{pull_number}", "get patch"),
    ("/repos/{owner}/{repo}/pulls/{pull_number}/requested_reviewers", "post"),
    ("/repos/{owner}/{repo}/issues/{issue_number}/labels", "post"),
    ("/repos/{owner}/{repo}/issues/{issue_number}/comments", "get post"),
)


def part(counterparts: Path) -> dict[str, Any]:
    """Return GitHub's description of what we use, with everything that it refers to."""
    whole = json.loads((counterparts / DESCRIPTION).read_bytes())
    paths: dict[str, Any] = {}
    for path, verbs in USED:
        item = {verb: whole["paths"][path][verb] for verb in verbs.split()}
        paths[path] = item | (
            {"parameters": whole["paths"][path]["parameters"]} if "parameters" in whole["paths"][path] else {}
        )
        if path.endswith("{ref}"):  # a parameter never matches the slashes of a branch
            for depth in range(2, 5):
                named = "/".join(f"{{part{number}}}" for number in range(depth))
                paths[path.replace("{ref}", named)] = json.loads(json.dumps(item)) | {"parameters": _parts(depth)}
    _renamed(paths)
    needed: dict[str, dict[str, Any]] = {}
    waiting = [json.dumps(paths)]
    while waiting:
        for kind, name in set(re.findall(r'"#/components/([\w-]+)/([\w.-]+)"', waiting.pop())):
            if name not in needed.setdefault(kind, {}):
                needed[kind][name] = whole["components"][kind][name]
                waiting.append(json.dumps(needed[kind][name]))
    head = {key: whole[key] for key in ("openapi", "info")}
    return {**head, "servers": [{"url": "http://127.0.0.1"}], "paths": paths, "components": needed}


def _parts(depth: int) -> list[dict[str, Any]]:
    return [
        {"name": f"part{number}", "in": "path", "required": True, "schema": {"type": "string"}}
        for number in range(depth)
    ]


def _renamed(paths: dict[str, Any]) -> None:
    """Give every operation an id of its own, and take away the parameter that was cut into parts."""
    for path, item in paths.items():
        for verb, operation in item.items():
            if verb == "parameters":
                continue
            operation["operationId"] = f"{verb} {path}"
            if "{part0}" in path:
                known = operation["parameters"]
                operation["parameters"] = [one for one in known if one.get("$ref", "").endswith(("/owner", "/repo"))]


@dataclass
class Prism:
    url: str
    log: Path

    def violations(self) -> list[str]:
        lines = re.sub(r"\x1b\[[0-9;]*m", "", self.log.read_text(errors="replace")).splitlines()
        return [line for line in lines if "Violation: request" in line]


@pytest.fixture(scope="module")
def prism(counterparts: Path, github_front: Front, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prism]:
    folder = tmp_path_factory.mktemp("prism")
    (folder / "api.json").write_text(json.dumps(part(counterparts)))
    port, log = free_port(), folder / "log"
    with log.open("wb") as stream:
        program = [counterparts / "bin/node", counterparts / PROGRAM, "proxy", "-h", "127.0.0.1", "-p", str(port)]
        run = [*program, "--errors", "false", folder / "api.json", github_front.url]
        process = subprocess.Popen(run, stdout=stream, stderr=stream, stdin=subprocess.DEVNULL)
    made = Prism(f"http://127.0.0.1:{port}", log)
    try:
        end = time.monotonic() + START_S
        while not _answers(made.url):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < end, log.read_text()
            time.sleep(0.2)
        yield made
    finally:
        process.kill()
        process.wait()


def _answers(url: str) -> bool:
    request = urllib.request.Request(f"{url}/repos/{OWNER}/seeded", headers={"authorization": f"Bearer {WRITER}"})
    try:
        urllib.request.urlopen(request, timeout=30).close()
    except urllib.error.HTTPError as error:
        error.close()
    except OSError:
        return False
    return True


def test_every_request_of_a_publication_is_one_that_prism_knows(prism: Prism, github_front: Front) -> None:
    github_front.faults.clear()
    project = github_front.repository(FILES)
    github = GitHub(WRITER, project.name, api_url=prism.url, sleep=lambda seconds: None, between_s=0)
    settings = Publishing(repository=project.name, api_url=prism.url, labels=("repair",), reviewers=(REVIEWER,))
    found = []
    for given in (bundle(project, proposal()), bundle(project, proposal(OTHER)), bundle(project)):
        found += publish(given, settings, github, lambda event, **fields: None)
    assert [one.operation for one in found] == ["created", "updated", "closed"]
    assert prism.violations() == []
    request = urllib.request.Request(
        f"{prism.url}/repos/{project.name}/pulls",
        data=b'{"title": 5}',
        headers={"content-type": "application/json", "authorization": f"Bearer {WRITER}"},
    )
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request, timeout=60)
    caught.value.close()
    assert any("head" in line for line in prism.violations())  # it does see what is wrong
    github_front.violations.clear()
