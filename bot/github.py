"""The few GitHub calls we need, through PyGithub: one place that sends, waits, and says what a refusal means.

The token goes into one header of requests to one server and nowhere else: it is in no record, message, exception or
log, and PyGithub masks the header where it logs. Requests that meet a rate limit or a server error are sent again; all
of them may be, since whoever creates something here looks first whether it is there.
"""

from __future__ import annotations

import base64
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit

from bot import __version__
from bot.errors import ConfigError, PublishError
from bot.refusals import Reply, meaning, waiting_s

ATTEMPTS = 6
PATIENCE_S = 900.0  # waited in all; a limit that lasts longer is left to a later run
TIMEOUT_S = 30
PAGE = 100
PAGES = 50
BETWEEN_WRITES_S = 1.0  # GitHub asks for a second between writes
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


class Refused(PublishError):
    """GitHub answered a request with an error that waiting does not cure."""

    def __init__(self, reply: Reply) -> None:
        message, hint = meaning(reply)
        super().__init__(message, hint=hint)
        self.status = reply.status
        self.said = reply.message.lower()

    @property
    def final(self) -> bool:
        """True when every further request would be refused too: the token, a limit, the server."""
        limited = "rate limit" in self.said or "abuse" in self.said
        return self.status in (401, 408, 429) or self.status >= 500 or (self.status == 403 and limited)


class Unreachable(PublishError):
    """No answer."""


@dataclass(frozen=True, slots=True)
class Commit:
    """A commit as GitHub has it."""

    sha: str
    tree: str
    parents: tuple[str, ...]
    message: str
    verified: bool = False


@dataclass(frozen=True, slots=True)
class Entry:
    """A file of a tree."""

    mode: str  # "100644"
    kind: str  # "blob", "tree" or "commit"
    sha: str


@dataclass(frozen=True, slots=True)
class PullRequest:
    """A pull request."""

    number: int
    url: str  # for people
    title: str
    body: str
    state: str  # "open" or "closed"
    merged: bool
    branch: str  # of the head
    head: str  # its commit
    head_repository: str  # "owner/name", or "" when it was deleted
    base: str  # branch
    author: str


class GitHub:
    """One repository on one server, seen with one token.

    api_url: https://api.github.com, or https://HOST/api/v3 of an Enterprise server. Proxies are those of the
    environment. sleep, clock: seconds; `between_s` between two writes. Raises ConfigError for a URL without TLS.
    """

    def __init__(
        self,
        token: str,
        repository: str,
        *,
        api_url: str = "https://api.github.com",
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.time,
        between_s: float = BETWEEN_WRITES_S,
    ) -> None:
        import github

        place = urlsplit(api_url)
        if place.scheme != "https" and not (place.scheme == "http" and place.hostname in LOOPBACK):
            raise ConfigError(
                f"{place.scheme}://{place.hostname} would carry the token in the clear.", hint="Give an https:// URL."
            )
        if place.username or place.password:
            raise ConfigError("The API's URL holds credentials.", hint="Give the token in GITHUB_TOKEN alone.")
        logging.getLogger("github.Requester").setLevel(logging.WARNING)  # never bodies or headers, masked or not
        auth = github.Auth.Token(token)
        client = github.Github(
            auth=auth,
            base_url=api_url.rstrip("/"),
            timeout=TIMEOUT_S,
            retry=None,
            user_agent=f"egcfg-fix/{__version__}",
            seconds_between_requests=0,
            seconds_between_writes=between_s,
        )
        self.repository = repository
        self.host = place.hostname or ""
        self._requester = client.requester
        self._failure = github.GithubException
        self._sleep, self._clock = sleep, clock
        self._waited_s = 0.0
        self._trees: dict[str, dict[str, Entry]] = {}

    def __repr__(self) -> str:
        return f"GitHub({self.repository!r} on {self.host!r})"

    @property
    def owner(self) -> str:
        return self.repository.partition("/")[0]

    def pause(self, seconds: float) -> None:
        self._sleep(seconds)

    # -- the repository and its objects

    def default_branch(self) -> str:
        return str(self._get("")["default_branch"])

    def tip(self, branch: str) -> str:
        """Return the commit of a branch, or "" when there is none."""
        found = self._get(f"/git/ref/heads/{quote(branch)}", missing=None)
        return "" if found is None or not isinstance(found, dict) else str(found["object"]["sha"])

    def commit(self, sha: str) -> Commit:
        return _commit(self._get(f"/git/commits/{sha}"))

    def contains(self, head: str, ancestor: str) -> bool:
        """True when `ancestor` is `head` or in its history."""
        if head == ancestor:
            return True
        found = self._get(f"/compare/{ancestor}...{head}", {"per_page": 1}, missing=None)
        return found is not None and found["status"] in ("ahead", "identical")

    def entry(self, tree: str, path: str) -> Entry | None:
        """Return what stands at `path` in a tree, folder by folder, so that no size is too large."""
        *folders, name = path.split("/")
        for folder in folders:
            found = self._tree(tree).get(folder)
            if found is None or found.kind != "tree":
                return None
            tree = found.sha
        return self._tree(tree).get(name)

    def _tree(self, sha: str) -> dict[str, Entry]:
        if sha not in self._trees:
            items = self._get(f"/git/trees/{sha}")["tree"]
            self._trees[sha] = {item["path"]: Entry(item["mode"], item["type"], item["sha"]) for item in items}
        return self._trees[sha]

    def write(
        self,
        base: str,
        parents: Sequence[str],
        files: Mapping[str, tuple[str, bytes]],
        message: Callable[[str], str],
    ) -> Commit:
        """Make a commit with `files`, path -> (mode, content), on the tree of `base`; message: from the new tree.

        It names no author, so that GitHub signs it for a token of an app or of Actions.
        """
        entries = []
        for path, (mode, content) in files.items():
            given = {"content": base64.b64encode(content).decode("ascii"), "encoding": "base64"}
            blob = self._send("POST", "/git/blobs", given)["sha"]
            entries.append({"path": path, "mode": mode, "type": "blob", "sha": blob})
        made = self._send("POST", "/git/trees", {"base_tree": self.commit(base).tree, "tree": entries})
        tree = str(made["sha"])
        return _commit(
            self._send("POST", "/git/commits", {"message": message(tree), "tree": tree, "parents": list(parents)})
        )

    def point(self, branch: str, sha: str, old: str) -> None:
        """Let a branch point at `sha`, a descendant of `old` where it points now; GitHub refuses anything else."""
        if old:
            self._send("PATCH", f"/git/refs/heads/{quote(branch)}", {"sha": sha, "force": False})
        else:
            self._send("POST", "/git/refs", {"ref": f"refs/heads/{branch}", "sha": sha})

    def delete_branch(self, branch: str) -> None:
        self._send("DELETE", f"/git/refs/heads/{quote(branch)}")

    # -- pull requests

    def pull_requests(self, *, state: str = "open", branch: str = "") -> Iterator[PullRequest]:
        """Yield pull requests, newest first; branch: only those whose head is this branch of this repository."""
        wanted = {"state": state, "sort": "created", "direction": "desc"}
        if branch:
            wanted["head"] = f"{self.owner}:{branch}"
        for item in self._pages("/pulls", wanted):
            one = _pull_request(item)
            if not branch or (one.branch == branch and one.head_repository.lower() == self.repository.lower()):
                yield one

    def permission(self, login: str) -> str:
        """Return what a user may do in the repository: admin, write, read or none."""
        found = self._get(f"/collaborators/{login}/permission", missing={"permission": "none"})
        return str(found.get("permission", "none"))

    def pull_request(self, number: int) -> PullRequest:
        return _pull_request(self._get(f"/pulls/{number}"))

    def create_pull_request(self, *, title: str, body: str, branch: str, base: str, draft: bool) -> PullRequest:
        given = {"title": title, "body": body, "head": branch, "base": base, "draft": draft}
        return _pull_request(self._send("POST", "/pulls", given))

    def edit_pull_request(self, number: int, **fields: str) -> None:
        """Change title, body or state ("closed")."""
        self._send("PATCH", f"/pulls/{number}", fields)

    def add_labels(self, number: int, labels: Sequence[str]) -> None:
        self._send("POST", f"/issues/{number}/labels", {"labels": list(labels)})

    def add_assignees(self, number: int, people: Sequence[str]) -> None:
        self._send("POST", f"/issues/{number}/assignees", {"assignees": list(people)})

    def request_reviews(self, number: int, people: Sequence[str], teams: Sequence[str]) -> None:
        given = {"reviewers": list(people), "team_reviewers": list(teams)}
        self._send("POST", f"/pulls/{number}/requested_reviewers", {key: who for key, who in given.items() if who})

    def comments(self, number: int) -> Iterator[tuple[int, str]]:
        """Yield (id, body) of the comments on a pull request."""
        for item in self._pages(f"/issues/{number}/comments", {}):
            yield int(item["id"]), str(item["body"] or "")

    def comment(self, number: int, body: str) -> None:
        self._send("POST", f"/issues/{number}/comments", {"body": body})

    def edit_comment(self, comment: int, body: str) -> None:
        self._send("PATCH", f"/issues/comments/{comment}", {"body": body})

    def dispatch(self, workflow: str, branch: str) -> None:
        """Start a workflow on a branch; the one way to checks on what the workflow's own token has pushed."""
        self._send("POST", f"/actions/workflows/{quote(workflow, safe='')}/dispatches", {"ref": branch})

    # -- sending

    def _get(self, path: str, parameters: Mapping[str, Any] | None = None, **otherwise: Any) -> Any:
        """Return the answer to a GET. missing: what to return where GitHub has nothing."""
        try:
            return self._answer("GET", path, parameters, None)
        except Refused as error:
            if error.status == 404 and "missing" in otherwise:
                return otherwise["missing"]
            raise

    def _pages(self, path: str, parameters: Mapping[str, Any]) -> Iterator[Any]:
        for page in range(1, PAGES + 1):
            items = self._get(path, {**parameters, "per_page": PAGE, "page": page})
            yield from items
            if len(items) < PAGE:
                return

    def _send(self, verb: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        return self._answer(verb, path, None, body)

    def _answer(self, verb: str, path: str, parameters: Any, body: Any) -> Any:
        place = f"/repos/{self.repository}{path}"
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return self._requester.requestJsonAndCheck(verb, place, parameters, None, body)[1]
            except self._failure as error:
                reply = _reply(verb, place, error)
                wait = waiting_s(reply, attempt, self._clock())
                if wait is None or attempt == ATTEMPTS or self._waited_s + wait > PATIENCE_S:
                    raise Refused(reply) from None
            except (OSError, RuntimeError, AssertionError, ValueError) as error:  # the connection, or no JSON in it
                wait = 2.0 ** (attempt - 1)
                if attempt == ATTEMPTS:
                    raise self._unreachable(error) from None
            self._waited_s += wait
            self._sleep(wait)
        raise AssertionError("unreachable")

    def _unreachable(self, error: Exception) -> Unreachable:
        return Unreachable(
            f"{self.host} did not answer ({type(error).__name__}).",
            hint="Check --api-url, the network and HTTPS_PROXY; then run egcfg-fix publish with the same folder again.",
        )


def _reply(verb: str, path: str, error: Any) -> Reply:
    data = error.data if isinstance(error.data, dict) else {}
    parts = [str(data.get("message") or error.data or "no reason given")]
    for item in data.get("errors") or ():
        parts.append(str(item.get("message") or item.get("code") or "") if isinstance(item, dict) else str(item))
    said = "; ".join(part for part in parts if part)[:1000]
    headers = {str(key).lower(): str(value) for key, value in (error.headers or {}).items()}
    return Reply(verb, path, int(error.status), said, headers)


def _commit(item: Mapping[str, Any]) -> Commit:
    verified = bool((item.get("verification") or {}).get("verified"))
    parents = tuple(str(parent["sha"]) for parent in item["parents"])
    return Commit(str(item["sha"]), str(item["tree"]["sha"]), parents, str(item["message"]), verified)


def _pull_request(item: Mapping[str, Any]) -> PullRequest:
    head, base = item["head"], item["base"]
    return PullRequest(
        number=int(item["number"]),
        url=str(item["html_url"]),
        title=str(item["title"]),
        body=str(item["body"] or ""),
        state=str(item["state"]),
        merged=bool(item.get("merged_at")),
        branch=str(head["ref"]),
        head=str(head["sha"]),
        head_repository=str((head.get("repo") or {}).get("full_name") or ""),
        base=str(base["ref"]),
        author=str((item.get("user") or {}).get("login") or ""),
    )
