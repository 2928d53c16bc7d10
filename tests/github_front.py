"""GitHub for the tests: a stateful emulator of its API, with GitHub's own description of the API in front of it.

Every request is held against the description, with no key allowed that it does not name; what does not fit is answered
with 400 and remembered. The front also has the rules of GitHub that the emulator lacks (see `_rule`), can be told to
fail in the ways GitHub does, and remembers every request, headers too.
"""

from __future__ import annotations

import base64
import json
import re
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from openapi_core import Config, OpenAPI
from openapi_core.exceptions import OpenAPIError
from openapi_core.testing import MockRequest

WRITER, READER = "ghs_AAAAwriterAAAA", "ghs_BBBBreaderBBBB"
OWNER, REVIEWER = "octocat", "hubot"
DESCRIPTION = "node_modules/@octokit/openapi/generated/api.github.com.json"
SEED = f"""
tokens:
  {WRITER}: {{login: {OWNER}, scopes: [repo]}}
  {READER}: {{login: {OWNER}, scopes: [repo]}}
github:
  users: [{{login: {OWNER}}}, {{login: {REVIEWER}}}]
  repos: [{{owner: {OWNER}, name: seeded, auto_init: false, default_branch: main}}]
"""
START_S = 60

Answer = tuple[int, Mapping[str, str], Any]
Fault = Callable[["Asked"], Answer | None]


@dataclass(frozen=True)
class Asked:
    """One request."""

    verb: str
    path: str  # without the query and without the base path
    query: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body) if self.body else None

    @property
    def token(self) -> str:
        return self.headers.get("authorization", "").rpartition(" ")[2]


@dataclass
class Front:
    """The running server. `faults` are asked in order before anything else; each may answer instead of GitHub."""

    url: str
    upstream: str
    description: OpenAPI
    faults: list[Fault] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    made: int = 0

    def verbs(self, *parts: str) -> list[str]:
        """Return "VERB path" of every request whose path holds one of `parts`, reads aside."""
        told = [f"{one.verb} {one.path}" for one in self.asked if one.verb != "GET"]
        return [line for line in told if not parts or any(part in line for part in parts)]

    def direct(self, verb: str, path: str, body: Any = None) -> Any:
        """Ask the emulator itself, as another person would."""
        status, _, content = _forwarded(self.upstream, verb, path, {"authorization": f"Bearer {WRITER}"}, body)
        assert status < 400, (verb, path, status, content)
        return json.loads(content) if content else None

    def repository(self, files: Mapping[str, bytes], *, branch: str = "main") -> Repository:
        """Make a repository with one commit."""
        self.made += 1
        name = f"project-{self.made}"
        self.direct("POST", "/user/repos", {"name": name, "auto_init": False})
        made = Repository(self, f"{OWNER}/{name}")
        made.commit(files, branch=branch, message="First")
        return made

    # -- what the handler asks

    def answer(self, asked: Asked) -> tuple[int, Mapping[str, str], bytes]:
        self.asked.append(asked)
        for fault in list(self.faults):
            found = fault(asked)
            if found is not None:
                return found[0], found[1], b"" if found[2] is None else _encoded(found[2])
        violation = self._violation(asked)
        if violation:
            self.violations.append(f"{asked.verb} {asked.path}: {violation}")
            return 400, {}, _encoded({"message": violation})
        refused = _access(asked) or self._rule(asked)
        if refused is not None:
            return refused[0], refused[1], _encoded(refused[2])
        target = f"{asked.path}?{asked.query}" if asked.query else asked.path
        given = {"authorization": asked.headers.get("authorization", "")}
        return _forwarded(self.upstream, asked.verb, target, given, asked.json)

    def _violation(self, asked: Asked) -> str:
        path = re.sub(r"(/git/refs?/)(.+)$", lambda m: m[1] + m[2].replace("/", "%2F"), asked.path)
        query = dict(part.partition("=")[::2] for part in asked.query.split("&") if part)
        request = MockRequest(
            "https://api.github.com",
            asked.verb.lower(),
            path,
            args=query,
            headers=dict(asked.headers),
            data=asked.body or None,
            content_type="application/json",
        )
        try:
            self.description.validate_request(request)
        except OpenAPIError as error:
            causes = getattr(error.__cause__, "schema_errors", None) or [error.__cause__ or error]
            return "; ".join(str(getattr(cause, "message", cause)) for cause in causes)
        return ""

    def _rule(self, asked: Asked) -> Answer | None:
        """Return GitHub's refusal where the emulator would go along."""
        match = re.fullmatch(r"(/repos/[^/]+/[^/]+)/pulls(/\d+)?", asked.path)
        if match is None or asked.verb not in ("POST", "PATCH"):
            return None
        if len(asked.json.get("body") or "") > 65536:
            return _unprocessable("body is too long (maximum is 65536 characters)")
        if asked.verb == "PATCH":
            return None
        head, base = asked.json["head"], asked.json["base"]
        status, _, content = _forwarded(
            self.upstream, "GET", f"{match[1]}/compare/{base}...{head}", {"authorization": f"Bearer {WRITER}"}
        )
        if status == 404:
            return _unprocessable(field="head", code="invalid")
        if json.loads(content)["ahead_by"] == 0:
            return _unprocessable(f"No commits between {base} and {head}")
        opened = self.direct("GET", f"{match[1]}/pulls?state=open&per_page=100")
        if any(one["head"]["ref"] == head and one["base"]["ref"] == base for one in opened):
            return _unprocessable(f"A pull request already exists for {OWNER}:{head}.")
        return None


@dataclass(frozen=True)
class Repository:
    """A repository in the emulator, as its people see it."""

    front: Front
    name: str

    def ask(self, verb: str, path: str, body: Any = None) -> Any:
        return self.front.direct(verb, f"/repos/{self.name}{path}", body)

    def tip(self, branch: str = "main") -> str:
        return str(self.ask("GET", f"/git/ref/heads/{branch}")["object"]["sha"])

    def branches(self) -> list[str]:
        return sorted(one["name"] for one in self.ask("GET", "/branches?per_page=100"))

    def commit(
        self, files: Mapping[str, bytes], *, branch: str = "main", message: str = "Work", parent: str = ""
    ) -> str:
        """Commit `files` on a branch as a person; parent: make the branch there, when it is new."""
        first = not any(one["ref"] == f"refs/heads/{branch}" for one in self._refs())
        parent = parent or ("" if first else self.tip(branch))
        entries = []
        for path, content in files.items():
            given = {"content": base64.b64encode(content).decode(), "encoding": "base64"}
            sha = self.ask("POST", "/git/blobs", given)["sha"]
            entries.append({"path": path, "mode": "100644", "type": "blob", "sha": sha})
        base = {"base_tree": self.ask("GET", f"/git/commits/{parent}")["tree"]["sha"]} if parent else {}
        tree = self.ask("POST", "/git/trees", {**base, "tree": entries})["sha"]
        given = {"message": message, "tree": tree, "parents": [parent] if parent else []}
        sha = str(self.ask("POST", "/git/commits", given)["sha"])
        if first:
            self.ask("POST", "/git/refs", {"ref": f"refs/heads/{branch}", "sha": sha})
        else:
            self.ask("PATCH", f"/git/refs/heads/{branch}", {"sha": sha, "force": False})
        return sha

    def _refs(self) -> list[Any]:
        try:
            return list(self.ask("GET", "/git/matching-refs/heads/"))
        except AssertionError:
            return []

    def content(self, path: str, ref: str) -> bytes:
        return base64.b64decode(self.ask("GET", f"/contents/{path}?ref={ref}")["content"])

    def pulls(self, state: str = "open") -> list[Any]:
        return list(self.ask("GET", f"/pulls?state={state}&per_page=100"))

    def comments(self, number: int) -> list[str]:
        return [one["body"] for one in self.ask("GET", f"/issues/{number}/comments")]


def _access(asked: Asked) -> Answer | None:
    if asked.token not in (WRITER, READER):
        return 401, {}, {"message": "Bad credentials"}
    if asked.token == READER and asked.verb != "GET":
        needed = {"x-accepted-github-permissions": "contents=write"}
        return 403, needed, {"message": "Resource not accessible by integration"}
    return None


def _unprocessable(message: str = "", **error: str) -> Answer:
    errors = [{"resource": "PullRequest", **({"code": "custom", "message": message} if message else error)}]
    return 422, {}, {"message": "Validation Failed", "errors": errors}


def _encoded(content: Any) -> bytes:
    return content if isinstance(content, bytes) else json.dumps(content).encode()


def _forwarded(
    upstream: str, verb: str, path: str, headers: Mapping[str, str], body: Any = None
) -> tuple[int, Mapping[str, str], bytes]:
    data = None if body is None else json.dumps(body).encode()
    given = {**headers, "content-type": "application/json"}
    request = urllib.request.Request(upstream + path, data=data, method=verb, headers=given)
    try:
        with urllib.request.urlopen(request, timeout=60) as reply:
            return reply.status, dict(reply.headers), reply.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, dict(error.headers), error.read()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    front: Front

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        place = urlsplit(self.path)
        path = place.path.removeprefix("/api/v3")  # as on an Enterprise server
        headers = {name.lower(): value for name, value in self.headers.items()}
        status, found, content = self.front.answer(Asked(self.command, path, place.query, headers, body))
        self.send_response(status)
        for name, value in found.items():
            if name.lower() in ("content-type", "link", "retry-after") or name.lower().startswith("x-"):
                self.send_header(name, value)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = _serve  # noqa: N815

    def log_message(self, format: str, *args: object) -> None:
        pass


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@contextmanager
def serving(counterparts: Path, scratch: Path) -> Iterator[Front]:
    """Run emulator and front; yields the front."""
    description = read_description(counterparts)
    seed = scratch / "seed.yaml"
    seed.write_text(SEED)
    for _ in range(5):  # another process may take the port between our look and its use
        server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        url, port = f"http://127.0.0.1:{server.server_address[1]}", free_port()
        with (scratch / "emulate.log").open("ab") as log:
            program = [counterparts / "bin/node", counterparts / "node_modules/emulate/dist/index.js", "start"]
            options = ["-s", "github", "-p", str(port), "--base-url", url, "--seed", str(seed)]
            process = subprocess.Popen([*program, *options], stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        front = Front(url, f"http://127.0.0.1:{port}", description)
        try:
            if not _up(process, front.upstream):
                continue
            _Handler.front = front
            thread = threading.Thread(target=server.serve_forever, daemon=True)
            thread.start()
            yield front
            server.shutdown()
            thread.join()
            return
        finally:
            server.server_close()
            process.kill()
            process.wait()
    raise AssertionError((scratch / "emulate.log").read_text())


def read_description(counterparts: Path) -> OpenAPI:
    """Return GitHub's description, with request bodies closed: a misspelt optional key is a violation."""
    content = json.loads((counterparts / DESCRIPTION).read_bytes())
    content["paths"] = {path: item for path, item in content["paths"].items() if path.startswith("/repos/{owner}")}
    for item in content["paths"].values():
        for operation in item.values():
            if isinstance(operation, dict):
                _close(operation.get("requestBody", {}))
    return OpenAPI.from_dict(content, config=Config(spec_validator_cls=None))


def _close(schema: Any) -> None:
    if isinstance(schema, dict):
        if isinstance(schema.get("properties"), dict) and "additionalProperties" not in schema:
            schema["additionalProperties"] = False
        for key, value in schema.items():
            if key not in ("examples", "example", "anyOf"):
                _close(value)
    elif isinstance(schema, list):
        for value in schema:
            _close(value)


def _up(process: subprocess.Popen[bytes], url: str) -> bool:
    end = time.monotonic() + START_S
    while time.monotonic() < end and process.poll() is None:
        try:
            with urllib.request.urlopen(f"{url}/repos/{OWNER}/seeded", timeout=5):
                return True
        except urllib.error.HTTPError as error:
            error.close()
            return True
        except OSError:
            time.sleep(0.05)
    return False
