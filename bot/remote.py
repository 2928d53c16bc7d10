"""Commits that travel by `git push`: for servers whose API may not write contents, and for hooks that want a push.

The token is lent to git through an anonymous file in memory that only git and its children can open: it is in no
argument, variable, configuration or file on disk. Credentials and headers that a checkout or a user's configuration
holds are switched off, since git would send them in its place. Nothing is forced: a branch moves from where it was seen
to be, or not at all.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from bot.errors import ConfigError, PublishError
from bot.git_program import EMAIL, NAME, SETTINGS, execute
from bot.github import LOOPBACK, Commit
from bot.refusals import protected_hint
from runners.leftovers import Scratch

PROXIES = ("http_proxy", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY", "no_proxy", "NO_PROXY")
CERTIFICATES = ("SSL_CERT_FILE", "SSL_CERT_DIR", "GIT_SSL_CAINFO", "GIT_SSL_CAPATH", "CURL_CA_BUNDLE")
MOVED = re.compile(r"fetch first|non-fast-forward|stale info|reference already exists|cannot lock ref", re.IGNORECASE)
PROTECTED = re.compile(r"pre-receive hook declined|GH0(?:06|13)|protected branch|repository rule", re.IGNORECASE)


class PushRefused(PublishError):
    """The server did not take a push, or give what it builds on."""

    def __init__(self, message: str, hint: str, status: int, *, final: bool = False) -> None:
        super().__init__(message, hint=hint)
        self.status = status
        self.said = message.lower()
        self.final = final


@dataclass(frozen=True, slots=True)
class Remote:
    """One repository on a server, written to by git. Use `opened`."""

    url: str
    folder: Path  # a bare repository of our own
    token_file: int  # descriptor

    @classmethod
    @contextmanager
    def opened(cls, token: str, url: str) -> Iterator[Remote]:
        """Yield the remote; its folder and the token's file are gone afterwards. Raises ConfigError without TLS."""
        place = urlsplit(url)
        if place.scheme != "https" and not (place.scheme == "http" and place.hostname in LOOPBACK):
            raise ConfigError(f"{place.scheme}://{place.hostname} would carry the token in the clear.")
        handle = os.memfd_create("egcfg-fix")  # inherited by those alone whom we tell
        try:
            os.write(handle, f"username=x-access-token\npassword={token}\n".encode())
            with Scratch() as folder:
                remote = cls(url, folder, handle)
                remote._git("init", "--quiet", "--bare", ".")
                yield remote
        finally:
            os.close(handle)

    def write(
        self,
        base: str,
        parents: Sequence[str],
        files: Mapping[str, tuple[str, bytes]],
        message: Callable[[str], str],
    ) -> Commit:
        """Make a commit with `files`, path -> (mode, content), on the tree of `base`; message: from the new tree."""
        self._git("fetch", "--quiet", "--depth=1", "--no-tags", self.url, *dict.fromkeys([base, *parents]), remote=True)
        self._git("read-tree", base)
        for path, (mode, content) in files.items():
            scratch = self.folder / "egcfg-content"
            scratch.write_bytes(content)
            blob = self._git("hash-object", "-w", "--no-filters", str(scratch))
            self._git("update-index", "--add", "--cacheinfo", f"{mode},{blob},{path}")
        tree = self._git("write-tree")
        text = message(tree)
        own = [argument for parent in parents for argument in ("-p", parent)]
        sha = self._git("commit-tree", *own, "-m", text, tree)
        return Commit(sha, tree, tuple(parents), text)

    def point(self, branch: str, sha: str, old: str) -> None:
        """Let a branch point at `sha`, which contains `old`; PushRefused has the status 422 when it is not at `old`."""
        lease = f"--force-with-lease=refs/heads/{branch}:{old}"
        self._git("push", "--porcelain", lease, self.url, f"{sha}:refs/heads/{branch}", remote=True)

    def _git(self, *arguments: str, remote: bool = False) -> str:
        who = {f"GIT_{role}_{what}": value for role in ("AUTHOR", "COMMITTER") for what, value in IDENTITY.items()}
        settings, extra = dict(SETTINGS), {**who, "GIT_DIR": str(self.folder)}
        if remote:
            settings |= self._credentials()
            extra["GIT_ALLOW_PROTOCOL"] = urlsplit(self.url).scheme
        status, out, said = execute(
            self.folder,
            arguments,
            settings,
            extra,
            inherited=[*PROXIES, *CERTIFICATES],
            descriptors=[self.token_file] if remote else [],
        )
        if status != 0:
            raise _meaning(arguments[0], out.decode("utf-8", "replace") + said, self.url)
        return out.decode("utf-8", "replace").strip()

    def _credentials(self) -> dict[str, str]:
        place = urlsplit(self.url)
        server = f"{place.scheme}://{place.netloc}"
        helper = f'!f() {{ test "$1" = get && cat /proc/self/fd/{self.token_file}; }}; f'
        return {
            "http.extraHeader": "",
            f"http.{server}/.extraHeader": "",
            f"http.{self.url}.extraHeader": "",
            f"credential.{server}.helper": helper,
            "http.followRedirects": "false",
        }


IDENTITY = {"NAME": NAME, "EMAIL": EMAIL}


def _meaning(command: str, said: str, url: str) -> PushRefused:
    """Return what git's words mean for a person. The server's own lines are shown; a URL in them has no token."""
    told = [line.removeprefix("remote: ").strip() for line in said.splitlines() if line.startswith("remote: ")]
    reason = "; ".join(line for line in told if line)[:500] or said.strip()[-500:]
    if "workflow" in said and ("scope" in said or "permission" in said):
        return PushRefused(f"The push was refused: {reason}", "The token may not change workflow files.", 403)
    if PROTECTED.search(said):
        return PushRefused(f"A rule protects the branch: {reason}", protected_hint(), 422)
    if MOVED.search(said):
        return PushRefused(f"The branch has moved: {reason}", "Publish again.", 422)
    if "Authentication failed" in said or "could not read Username" in said:
        return PushRefused(f"{url} does not accept the token.", "It may have expired.", 401, final=True)
    if "error: 403" in said:
        return PushRefused(f"The token may not push to {url}.", "It lacks the permission `contents: write`.", 403)
    if "not found" in said:
        return PushRefused(f"There is no {url}, or the token may not see it.", "Check --server-url.", 404)
    return PushRefused(f"git {command} failed: {reason}", "Check --server-url and the network; publish again.", 500)
