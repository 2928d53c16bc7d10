# make demo    set everything up, then repair a bundled example: EXAMPLE=orders (or ledger, scheduler)
# make test    set everything up, then run the tests
# make check   formatting, lint, types and tests: what a change must pass
# make setup   only set up
#
# PYTHON=/path/to/python3.x chooses the interpreter; PYTEST_ARGS="-k decoder" goes to pytest.
# Nothing needs root, and after the first run nothing needs the network.

.DEFAULT_GOAL := help
.PHONY: help setup demo test check lint clean

VENV ?= .venv
BIN := $(VENV)/bin
export PYTHON

help:
	@sed -n 's/^# \(make [a-z]*\)/\1/p' Makefile

setup:
	@.ci/setup $(VENV) dev

demo: setup
	@$(BIN)/python examples/demo.py $(EXAMPLE)

# Tests that need Docker run where an engine answers, and always in CI, where a missing engine is a failure.
# Tests that download something run only on request: make test MARKS=network
test: setup
	@if [ -n "$(MARKS)" ]; then marks="$(MARKS)"; \
	elif [ -n "$$CI" ] || $(BIN)/python -c 'import docker; docker.from_env(timeout=5).ping()' 2>/dev/null; then marks="not network"; \
	else marks="not network and not docker"; echo "no Docker Engine answers: tests marked docker are left out"; fi; \
	$(BIN)/python -m pytest -W error -m "$$marks" $(PYTEST_ARGS)

lint: setup
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy --strict

check: lint test

clean:
	rm -rf $(VENV) $(VENV).lock .mypy_cache .ruff_cache .pytest_cache .hypothesis dist build
