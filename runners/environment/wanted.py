"""What the user wants of the environment, beside what the repository's files say; and where packages come from.

Where packages come from is read from this machine's settings, as pip and uv have them. Credentials among them reach the
installing process through its standard input and a file in memory: never an image, its history, a container's
configuration or a log.
"""

from __future__ import annotations

import configparser
import json
import netrc
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit, urlunsplit

DEFAULT_BUILD_TIMEOUT_S = 900.0
_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")
_FOR_UV = ("UV_INDEX_STRATEGY", "UV_HTTP_TIMEOUT", "UV_INSECURE_HOST", "UV_EXCLUDE_NEWER", "UV_PRERELEASE")


@dataclass(frozen=True, slots=True)
class Wanted:
    """The user's own settings. At most one of image and dockerfile; both take the place of the repository's files."""

    image: str = ""
    dockerfile: str = ""  # a file of the user's
    setup_command: str = ""  # run by a shell as root, with the network, in a copy of the repository
    base: str = ""  # else EGCFG_BASE_IMAGE, else the official slim Python
    top: Path | None = None  # the repository around the project
    timeout_s: float = DEFAULT_BUILD_TIMEOUT_S  # for building the image


@dataclass(frozen=True, slots=True)
class Supply:
    """Where packages come from: variables and files for the installing process, and the texts that are secret."""

    variables: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)  # name -> content: "netrc", "certificates.pem"
    secrets: tuple[str, ...] = ()

    def masked(self, text: str) -> str:
        """Return text without any secret, and without the user part of any URL."""
        for secret in sorted(self.secrets, key=len, reverse=True):
            text = text.replace(secret, "***")
        return re.sub(r"(?<=://)[^/\s@'\"]+@", "***@", text)

    @property
    def identity(self) -> str:
        """What an image depends on: the indexes by their address, without credentials."""
        kept = {name: value for name, value in self.variables.items() if name in ("UV_DEFAULT_INDEX", "UV_INDEX")}
        return self.masked(json.dumps(kept, sort_keys=True))


def supply(environment: Mapping[str, str], repository: Iterable[str] = ()) -> Supply:
    """Return where packages come from, for this environment of ours. repository: indexes that the repository names.

    Read are the variables of uv and pip, pip's configuration file, the netrc entries of exactly these indexes, the
    bundle of certificates that a variable names, and the proxies of the environment and of Docker's client settings.
    """
    home = Path(environment.get("HOME") or "/nonexistent")
    configured = _pip_configuration(environment, home)
    default = environment.get("UV_DEFAULT_INDEX") or environment.get("UV_INDEX_URL") or environment.get("PIP_INDEX_URL")
    default = default or configured.get("index-url", "")
    more = " ".join(environment.get(name, "") for name in ("UV_INDEX", "UV_EXTRA_INDEX_URL", "PIP_EXTRA_INDEX_URL"))
    extra = [url for url in f"{more} {configured.get('extra-index-url', '')}".split() if "://" in url]
    variables = {name: environment[name] for name in _FOR_UV if environment.get(name)}
    secrets: list[str] = []
    entries: dict[str, str] = {}
    if _remote(default):
        variables["UV_DEFAULT_INDEX"] = _without_user(default, entries, secrets)
    indexes = [_without_user(url, entries, secrets) for url in [*extra, *repository] if _remote(url)]
    if indexes:
        variables["UV_INDEX"] = " ".join(dict.fromkeys(indexes))
    for url in [variables.get("UV_DEFAULT_INDEX", ""), *indexes]:
        _from_netrc(environment, home, url, entries, secrets)
    files = {"netrc": "".join(entries.values())} if entries else {}
    certificates = _certificates(environment)
    if certificates:
        files["certificates.pem"] = certificates
    variables |= _proxies(environment, home, secrets)
    return Supply(variables, files, tuple(dict.fromkeys(secret for secret in secrets if len(secret) > 3)))


def _remote(url: str) -> bool:
    return _address(url).startswith(("http://", "https://"))


def _address(index: str) -> str:
    """Return the URL of an index that may have a name: "internal=https://..."."""
    return re.sub(r"^[\w.-]+=(?=https?://)", "", index)


def _without_user(index: str, entries: dict[str, str], secrets: list[str]) -> str:
    """Return an index without its credentials, which become an entry of a netrc file."""
    url = _address(index)
    parts = urlsplit(url)
    if parts.username is None:
        return index
    user, password = unquote(parts.username), unquote(parts.password or "")
    for word in (password or user,):  # a user name alone is a token
        secrets += [word, quote(word, safe="")]
    host = parts.hostname or ""
    entries[host] = _entry(host, user, password)
    plain = urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, parts.query, parts.fragment))
    return index.replace(url, plain)


def _entry(host: str, user: str, password: str) -> str:
    words = [re.sub(r'(["\\])', r"\\\1", word) for word in (user, password)]
    return f'machine {host}\nlogin "{words[0]}"\npassword "{words[1]}"\n'


def _from_netrc(
    environment: Mapping[str, str], home: Path, url: str, entries: dict[str, str], secrets: list[str]
) -> None:
    host = urlsplit(_address(url)).hostname if url else None
    if not host or host in entries:
        return
    try:
        found = netrc.netrc(environment.get("NETRC") or str(home / ".netrc")).hosts.get(host)
    except (OSError, netrc.NetrcParseError, UnicodeDecodeError):
        return
    if found:
        entries[host] = _entry(host, found[0], found[2] or "")
        secrets.append(found[2] or found[0])


def _pip_configuration(environment: Mapping[str, str], home: Path) -> dict[str, str]:
    """Return [global] of pip's configuration files; the user's wins over the machine's."""
    found: dict[str, str] = {}
    named = environment.get("PIP_CONFIG_FILE")
    user = Path(environment.get("XDG_CONFIG_HOME") or home / ".config") / "pip" / "pip.conf"
    for path in (Path("/etc/pip.conf"), home / ".pip" / "pip.conf", user, *([Path(named)] if named else [])):
        parser = configparser.ConfigParser(interpolation=None, strict=False)
        try:
            parser.read(path, encoding="utf-8")
            found |= dict(parser.items("global")) if parser.has_section("global") else {}
        except (OSError, configparser.Error, UnicodeDecodeError):
            continue
    return found


def _certificates(environment: Mapping[str, str]) -> str:
    """Return the bundle that a variable names: where a company has its own authority, its index needs it."""
    for name in ("SSL_CERT_FILE", "PIP_CERT", "REQUESTS_CA_BUNDLE"):
        try:
            if environment.get(name):
                return Path(environment[name]).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            continue
    return ""


def _proxies(environment: Mapping[str, str], home: Path, secrets: list[str]) -> dict[str, str]:
    """Return the proxies, from the environment or else from the settings of Docker's client."""
    found = {name: environment.get(name) or environment.get(name.lower()) or "" for name in _PROXIES}
    folder = environment.get("DOCKER_CONFIG")
    try:
        text = Path(folder or home / ".docker", "config.json").read_text(encoding="utf-8")
        settings = json.loads(text)["proxies"]["default"]
        for name in _PROXIES:
            kind = name.removesuffix("_PROXY").lower()
            value = settings.get(f"{kind}Proxy")
            found[name] = found[name] or (value if isinstance(value, str) else "")
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        settings = None
    for value in found.values():
        parts = urlsplit(value)
        secrets += [part for word in (parts.password,) if word for part in {word, unquote(word)}]
    chosen = {name: value for name, value in found.items() if value}
    return chosen | {name.lower(): value for name, value in chosen.items()}


def base_image(named: str = "", version: str = "3.11") -> str:
    """Return the base image: the one named, $EGCFG_BASE_IMAGE, or the official slim Python of this version."""
    return named or os.environ.get("EGCFG_BASE_IMAGE") or f"python:{version}-slim"
