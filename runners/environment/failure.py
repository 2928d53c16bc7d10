"""Tells why a build failed, from its log: the likely cause and what to set. The log is untrusted text."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

TAIL_LINES = 12
_SETUP = "give --setup-command '{command}', or an image of your own with --image or --dockerfile"


@dataclass(frozen=True, slots=True)
class Cause:
    """A likely cause and what to do about it."""

    name: str  # "compiler", "header", ...: for programs
    text: str
    hint: str


def _apt(packages: str) -> str:
    return "To have it, " + _SETUP.format(command=f"apt-get update && apt-get install -y {packages}") + "."


_CAUSES: tuple[tuple[str, str, str, str], ...] = (
    (
        "disk",
        r"No space left on device|disk quota exceeded",
        "the disk is full",
        "Free some space where Docker keeps images (`docker system df`).",
    ),
    (
        "memory",
        r"MemoryError|Cannot allocate memory|signal: 9|exit status -9|Killed signal",
        "the build ran out of memory",
        "Build where there is more memory, or give an image that has the packages with --image.",
    ),
    (
        "index",
        r"\b(401|403)\b.{0,40}(Unauthorized|Forbidden)|(Unauthorized|Forbidden).{0,40}\b(401|403)\b|"
        r"status code: (401|403)|lacks? .{0,30}credentials|authentication failed",
        "the package index refused the request",
        "Put credentials into PIP_INDEX_URL, UV_INDEX or a netrc entry for that host; they enter no image and no log.",
    ),
    (
        "certificate",
        r"invalid peer certificate|UnknownIssuer|CERTIFICATE_VERIFY_FAILED|certificate verify failed",
        "the index's certificate is not trusted",
        "Set SSL_CERT_FILE to a bundle with your authority; it is given to the build.",
    ),
    (
        "network",
        r"dns error|failed to lookup address|Temporary failure in name resolution|"
        r"Name or service not known|Network is unreachable|Connection refused|tcp connect error|"
        r"Could not connect|operation timed out|Connection timed out|error sending request",
        "the build has no network, or the index does not answer",
        "Check the network of containers, HTTPS_PROXY and the index's address (PIP_INDEX_URL).",
    ),
    (
        "header",
        r"fatal error: ([\w./+-]+\.h(?:pp)?): No such file",
        "the header {0} is missing",
        "",
    ),
    (
        "header",
        r"(pg_config|mysql_config|xml2-config|xslt-config|krb5-config|curl-config|nc-config|gdal-config|"
        r"freetype-config)[^\n]{0,60}(not found|required|missing|No such file)",
        "the development files behind {0} are missing",
        "",
    ),
    (
        "header",
        r"Package '?([\w.+-]+)'?,? (?:was )?not found|No package '([\w.+-]+)' found|"
        r"Dependency lookup for ([\w.+-]+) with method",
        "the library {0} is missing",
        "",
    ),
    (
        "compiler",
        r"(rustc|cargo)[^\n]{0,60}(not found|not installed|is not on PATH|No such file)|Rust toolchain|"
        r"can't find Rust compiler",
        "a Rust compiler is missing",
        "rustc cargo",
    ),
    (
        "compiler",
        r"(gfortran|Fortran compiler)",
        "a Fortran compiler is missing",
        "gfortran gcc",
    ),
    (
        "compiler",
        r"(CMake must be installed|cmake: not found|No such file or directory: '?cmake)",
        "cmake is missing",
        "cmake g++ make",
    ),
    (
        "compiler",
        r"(command|error: command)? ?'?(\S*/)?(x86_64-linux-gnu-|aarch64-linux-gnu-)?(gcc|cc|g\+\+|c\+\+|"
        r"clang)'? failed: No such file|unable to execute '(\S*)(gcc|cc|g\+\+)'|Unknown compiler\(s\)|"
        r"No such file or directory: '?(\S*/)?(gcc|cc|g\+\+)|(gcc|cc|g\+\+): (command )?not found|"
        r"No CMAKE_C(XX)?_COMPILER|no acceptable C compiler|linker `cc` not found",
        "a C compiler is missing",
        "gcc g++ make",
    ),
    (
        "git",
        r"Git executable not found|git: (command )?not found|No such file or directory: '?git\b|"
        r"failed to (find|locate) git",
        "a dependency comes from git, and the image has no git",
        "git",
    ),
    (
        "python",
        r"requires Python|Requires-Python|does not satisfy Python|requires a different Python|"
        r"not compatible with (this|the current) (version of )?Python|"
        r"Python>=?[\d.]+ .{0,30}(does not|not) |matching Python (ABI|version|implementation)|"
        r"package '[^']+' requires a different Python",
        "a package does not support the image's Python {python}",
        "Set EGCFG_BASE_IMAGE to an image with the Python that the project needs, such as python:{wanted}-slim.",
    ),
    (
        "missing",
        r"Because ([\w.-]+) was not found in the package registry|"
        r"No matching distribution found for ([\w.-]+)|there (?:is|are) no versions? of ([\w.-]+)",
        "{0} is on no index that was asked",
        "Correct its name, or name the index that has it in PIP_EXTRA_INDEX_URL.",
    ),
    (
        "conflict",
        r"requirements are unsatisfiable|No solution found|ResolutionImpossible",
        "the requirements contradict each other",
        "Correct them, or give an image that has the packages with --image.",
    ),
)


def explain(log: str, *, python: str = "", wanted: str = "") -> Cause:
    """Return the likely cause of a failed build. python: the image's version; wanted: the one the project asks for."""
    text = log[-200_000:]
    for name, pattern, says, hint in _CAUSES:
        found = re.search(pattern, text, re.IGNORECASE)
        if found is None:
            continue
        what = next((group for group in found.groups() if group), "") if found.groups() else ""
        said = says.format(what, python=python, wanted=wanted or python)
        if name == "header":
            hint = _apt(f"gcc {_package(what)}")
        elif name in ("compiler", "git"):
            hint = _apt(hint)
        return Cause(name, said, hint.format(wanted=wanted or "3.12", python=python) if "{wanted}" in hint else hint)
    return Cause("unknown", "", "Give an image that has the packages with --image or --dockerfile.")


_PACKAGES = {
    "python.h": "python3-dev",
    "ffi.h": "libffi-dev",
    "pg_config": "libpq-dev",
    "libpq-fe.h": "libpq-dev",
    "mysql_config": "libmariadb-dev",
    "mysqlclient": "libmariadb-dev",
    "xml2-config": "libxml2-dev libxslt1-dev",
    "xslt-config": "libxslt1-dev",
    "libxml/xmlversion.h": "libxml2-dev libxslt1-dev",
    "openssl/ssl.h": "libssl-dev",
    "zlib.h": "zlib1g-dev",
    "jpeglib.h": "libjpeg-dev",
    "lber.h": "libldap2-dev libsasl2-dev",
    "sasl/sasl.h": "libsasl2-dev",
    "curl-config": "libcurl4-openssl-dev",
    "openblas": "libopenblas-dev",
    "gdal-config": "libgdal-dev",
    "krb5-config": "libkrb5-dev",
    "yaml.h": "libyaml-dev",
}


def _package(what: str) -> str:
    """Return Debian's package for a header, a tool or a library; a guess by its name where it is not known."""
    known = _PACKAGES.get(what.lower())
    stem = re.sub(r"\W", "", what.rpartition("/")[2].removesuffix(".h").lower())
    return known or (f"lib{stem}-dev" if stem else "build-essential")


def tail(log: str, lines: int = TAIL_LINES) -> str:
    """Return the last lines that say something."""
    kept = [line.rstrip()[:300] for line in log.splitlines() if line.strip() and not line.startswith(("$ ", "(exit"))]
    return "\n".join(_without_repeats(kept)[-lines:])


def _without_repeats(lines: Iterable[str]) -> list[str]:
    kept: list[str] = []
    for line in lines:
        if not kept or kept[-1] != line:
            kept.append(line)
    return kept
