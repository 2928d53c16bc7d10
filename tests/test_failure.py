"""From the log of a failed build to its likely cause. The lines are those of real pip, uv and compilers."""

from __future__ import annotations

import pytest

from runners.environment.failure import explain, tail


@pytest.mark.parametrize(
    ("line", "name", "says"),
    [
        ("error: command 'gcc' failed: No such file or directory", "compiler", "gcc"),
        ("error: command 'x86_64-linux-gnu-gcc' failed: No such file or directory", "compiler", "gcc"),
        ("../meson.build:1:0: ERROR: Unknown compiler(s): [['cc'], ['gcc'], ['clang']]", "compiler", "gcc"),
        ("error: can't find Rust compiler", "compiler", "cargo"),
        ("Cargo, the Rust package manager, is not installed or is not on PATH.", "compiler", "cargo"),
        ("  gfortran: not found", "compiler", "gfortran"),
        ("src/x.c:9:10: fatal error: Python.h: No such file or directory", "header", "python3-dev"),
        ("fatal error: libpq-fe.h: No such file or directory", "header", "libpq-dev"),
        ("Error: pg_config executable not found.", "header", "libpq-dev"),
        (
            "Error: Please make sure the libxml2 and libxslt development packages: xslt-config: not found",
            "header",
            "xslt",
        ),
        ("meson.build: ERROR: Dependency lookup for OpenBLAS with method 'pkgconfig' failed", "header", "openblas"),
        ("  cause: Git executable not found. Ensure that Git is installed and available.", "git", "git"),
        ("ERROR: Package 'x' requires a different Python: 3.11.2 not in '>=3.12'", "python", "EGCFG_BASE_IMAGE"),
        ("  hint: the current Python version (3.11.2) does not satisfy Python>=3.12", "python", "EGCFG_BASE_IMAGE"),
        ("HTTP status client error (401 Unauthorized) for url (https://x/simple/y/)", "index", "PIP_INDEX_URL"),
        ("  cause: invalid peer certificate: UnknownIssuer", "certificate", "SSL_CERT_FILE"),
        ("  cause: dns error: failed to lookup address information", "network", "HTTPS_PROXY"),
        ("  cause: tcp connect error: Connection refused (os error 111)", "network", "PIP_INDEX_URL"),
        ("OSError: [Errno 28] No space left on device", "disk", "docker system df"),
        ("Because nothing-like-it was not found in the package registry", "missing", "nothing-like-it"),
        ("  × No solution found when resolving dependencies", "conflict", "--image"),
        ("something else entirely", "unknown", "--image"),
    ],
)
def test_the_likely_cause_is_told_with_what_to_set(line: str, name: str, says: str) -> None:
    cause = explain(f"Using Python 3.11.2\n{line}\nhint: see above\n", python="3.11.2", wanted="3.12")
    assert cause.name == name
    assert says in f"{cause.text} {cause.hint}"
    assert cause.hint


def test_the_tail_leaves_out_commands_and_repetitions() -> None:
    log = "$ uv pip install\n\n" + "".join(f"line {n}\nline {n}\n" for n in range(30)) + "(exit status 1)\n"
    assert tail(log, 3) == "line 27\nline 28\nline 29"
