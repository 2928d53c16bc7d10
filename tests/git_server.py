"""Git over HTTP for the tests: `git http-backend` behind token authentication, with GitHub's rules in a hook.

What is pushed is replayed into the emulator of the API, object by object, so that both show the same commits.
"""

from __future__ import annotations

import base64
import os
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

from tests.github_front import OWNER, READER, WRITER, Front, Repository

HOOK = """#!/bin/sh
while read -r old new ref; do
    case "$ref" in
    refs/heads/main|refs/heads/protected/*)
        echo "error: GH006: Protected branch update failed for $ref." >&2
        exit 1 ;;
    esac
done
"""
ENVIRONMENT = {
    "PATH": os.environ["PATH"],
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    **{
        f"GIT_{role}_{what}": f"x{at}example.org"
        for role in ("AUTHOR", "COMMITTER")
        for what, at in [("NAME", ""), ("EMAIL", "@")]
    },
}


@dataclass
class GitServer:
    """The running server."""

    url: str
    folder: Path
    front: Front
    asked: list[tuple[str, Mapping[str, str]]] = field(default_factory=list)  # path and headers
    lock: threading.Lock = field(default_factory=threading.Lock)

    def git(self, repository: str, *arguments: str, data: bytes | None = None, **extra: str) -> bytes:
        run = ["git", "-C", str(self.folder / f"{repository}.git"), *arguments]
        return subprocess.run(
            run, input=data, env=ENVIRONMENT | extra, capture_output=True, check=True, timeout=60
        ).stdout

    def project(self, files: Mapping[str, bytes]) -> Repository:
        """Make a repository here and in the emulator, with one commit."""
        self.front.made += 1
        name = f"{OWNER}/pushed-{self.front.made}"
        self.front.direct("POST", "/user/repos", {"name": name.partition("/")[2], "auto_init": False})
        (self.folder / f"{name}.git").mkdir(parents=True)
        self.git(name, "init", "--quiet", "--bare", "--initial-branch=main", ".")
        for key, value in {"http.receivepack": "true", "uploadpack.allowAnySHA1InWant": "true"}.items():
            self.git(name, "config", key, value)
        index = {"GIT_INDEX_FILE": str(self.folder / f"{name}.index")}
        for path, content in files.items():
            blob = self.git(name, "hash-object", "-w", "--stdin", data=content).decode().strip()
            self.git(name, "update-index", "--add", "--cacheinfo", f"100644,{blob},{path}", **index)
        tree = self.git(name, "write-tree", **index).decode().strip()
        commit = self.git(name, "commit-tree", "-m", "First", tree).decode().strip()
        self.git(name, "update-ref", "refs/heads/main", commit)
        self.replay(name)
        hook = self.folder / f"{name}.git" / "hooks" / "pre-receive"
        hook.parent.mkdir(exist_ok=True)
        hook.write_text(HOOK)
        hook.chmod(0o755)
        return Repository(self.front, name)

    def replay(self, name: str) -> None:
        """Give the emulator every commit and branch that it lacks."""
        project = Repository(self.front, name)
        with self.lock:
            for sha in self.git(name, "rev-list", "--reverse", "--topo-order", "--all").decode().split():
                self._commit(project, sha)
            known = {one["ref"]: one["object"]["sha"] for one in project._refs()}
            lines = self.git(name, "for-each-ref", "--format=%(refname) %(objectname)", "refs/heads").decode()
            for ref, sha in (line.split() for line in lines.splitlines()):
                if ref not in known:
                    project.ask("POST", "/git/refs", {"ref": ref, "sha": sha})
                elif known[ref] != sha:
                    project.ask("PATCH", f"/git/{ref}", {"sha": sha, "force": True})

    def _commit(self, project: Repository, sha: str) -> None:
        entries = []
        for line in self.git(project.name, "ls-tree", "-r", "-z", sha).split(b"\0")[:-1]:
            about, _, path = line.decode().partition("\t")
            mode, kind, blob = about.split()
            content = base64.b64encode(self.git(project.name, "cat-file", "blob", blob)).decode()
            assert project.ask("POST", "/git/blobs", {"content": content, "encoding": "base64"})["sha"] == blob
            entries.append({"path": path, "mode": mode, "type": kind, "sha": blob})
        tree = project.ask("POST", "/git/trees", {"tree": entries})["sha"]
        raw = (
            self.git(project.name, "show", "-s", "--format=%P%n%an%n%ae%n%aI%n%cn%n%ce%n%cI", sha).decode().split("\n")
        )
        message = self.git(project.name, "cat-file", "commit", sha).partition(b"\n\n")[2].decode()
        people = [dict(zip(("name", "email", "date"), raw[at : at + 3], strict=True)) for at in (1, 4)]
        made = {
            "message": message,
            "tree": tree,
            "parents": raw[0].split(),
            "author": people[0],
            "committer": people[1],
        }
        assert project.ask("POST", "/git/commits", made)["sha"] == sha


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_: GitServer

    def _serve(self) -> None:
        body = self._body()
        place = urlsplit(self.path)
        self.server_.asked.append((self.path, dict(self.headers.items())))
        given = self.headers.get("authorization", "")
        token = _token(given)
        pushing = "git-receive-pack" in self.path
        if token not in (WRITER, READER):
            self._answer(401, {"WWW-Authenticate": 'Basic realm="GitHub"'}, b"")
            return
        if pushing and token == READER:
            self._answer(403, {}, b"Write access to repository not granted.\n")
            return
        variables = {
            **ENVIRONMENT,
            "GIT_PROJECT_ROOT": str(self.server_.folder),
            "GIT_HTTP_EXPORT_ALL": "1",
            "REQUEST_METHOD": self.command,
            "PATH_INFO": place.path,
            "QUERY_STRING": place.query,
            "CONTENT_TYPE": self.headers.get("content-type", ""),
            "CONTENT_LENGTH": str(len(body)),
            "HTTP_CONTENT_ENCODING": self.headers.get("content-encoding", ""),
            "GIT_PROTOCOL": self.headers.get("git-protocol", ""),
            "REMOTE_USER": "x-access-token",
            "REMOTE_ADDR": "127.0.0.1",
        }
        done = subprocess.run(["git", "http-backend"], input=body, env=variables, capture_output=True, check=False)
        head, _, content = done.stdout.partition(b"\r\n\r\n")
        found = dict(line.decode().split(": ", 1) for line in head.split(b"\r\n") if b": " in line)
        status = int(found.pop("Status", "200").split()[0])
        if pushing and self.command == "POST":
            self.server_.replay(place.path.strip("/").partition(".git")[0])
        self._answer(status, found, content)

    do_GET = do_POST = _serve  # noqa: N815

    def _body(self) -> bytes:
        if self.headers.get("transfer-encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("content-length") or 0))
        parts = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def _answer(self, status: int, headers: Mapping[str, str], content: bytes) -> None:
        self.send_response(status)
        for name, value in headers.items():
            if name.lower() != "content-length":
                self.send_header(name, value)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        pass


def _token(authorization: str) -> str:
    kind, _, value = authorization.partition(" ")
    if kind.lower() != "basic":
        return ""
    try:
        return base64.b64decode(value).decode().partition(":")[2]
    except ValueError:
        return ""


@contextmanager
def git_serving(front: Front, folder: Path) -> Iterator[GitServer]:
    """Run the server; yields it."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    made = GitServer(f"http://127.0.0.1:{server.server_address[1]}", folder, front)
    _Handler.server_ = made
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield made
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
