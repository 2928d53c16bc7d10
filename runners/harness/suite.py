"""A cold run: one pytest over the whole suite or some of its tests, in a child that ends with it."""

from __future__ import annotations

import builtins
import contextlib
import gc
import sys
from typing import NoReturn

from runners.harness.apart import ASK, Asker
from runners.harness.appearance import enter
from runners.harness.comparing import comparison_for
from runners.harness.coverage import Coverage
from runners.harness.injected import install_builtins
from runners.harness.kept import exit_now
from runners.harness.lines import Message, emitter
from runners.harness.options import files_of, pytest_arguments
from runners.harness.places import Places
from runners.harness.reporting import Reporter
from runners.harness.tape import Tape


def run_suite(root: str, request: Message, descriptor: int, tmp: str, ear: int) -> NoReturn:
    """In the child: one pytest run, then the end of the process."""
    emit = emitter(descriptor, request["nonce"])
    try:
        gc.unfreeze()
        enter(root)
        places = Places(root)
        nodes = request["nodes"]
        files = [] if nodes is None else files_of(nodes, root)
        install_builtins(Tape(), None)
        setattr(builtins, ASK, Asker(emit, ear))
        import pytest

        coverage = Coverage(places, emit) if request.get("coverage") else None
        if coverage is not None:
            coverage.overlook_wording()
        comparison = comparison_for(root, request.get("compare"), emit)
        plugin = Reporter(
            pytest,
            emit,
            places,
            nodes,
            request.get("canaries", ()),
            coverage,
            output=request["output"],
            comparison=comparison,
            collect_only=bool(request.get("collect_only")),
        )
        if nodes is not None and not files:
            emit({"k": "done", "status": 5})
            exit_now(0)
        arguments = pytest_arguments(root, files, request.get("args", ()), tmp)
        status = int(pytest.main(arguments, plugins=[plugin]))
        emit({"k": "done", "status": status})
    except BaseException as error:
        with contextlib.suppress(BaseException):
            emit({"k": "internal", "m": f"{type(error).__name__}: {error!s}"})
    finally:
        with contextlib.suppress(BaseException):
            sys.stdout.flush()
        exit_now(0)
