"""The variables that the tests find in every sandbox, whatever the host has: a plain user, one thread, no more."""

from __future__ import annotations

_ALWAYS = {
    "LANG": "C.UTF-8",
    "USER": "sandbox",
    "LOGNAME": "sandbox",
    "PYTHONDONTWRITEBYTECODE": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
}


def variables(home: str, *, warm: bool) -> dict[str, str]:
    """Return them. warm: traces are to be the same in every session, so hashes are too."""
    return {"HOME": home, **_ALWAYS, **({"PYTHONHASHSEED": "0"} if warm else {})}
