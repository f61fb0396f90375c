# Two commands for a newcomer: make run, make test. `make help` lists the rest.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
FAREBOX_ARGS ?=
# One more than there are cores: many tests wait for the processes that they started.
TEST_WORKERS ?= $(shell expr $$(getconf _NPROCESSORS_ONLN) + 1)

.DEFAULT_GOAL := help
.PHONY: help run test test-long lint format lock schema boards bench-overhead bench-governed bench-burst bench-outage conformance clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-16s %s\n", $$1, $$2}'

run: $(VENV)/.run ## install locked versions and serve config.yaml on 127.0.0.1:4000
	@$(BIN)/farebox serve $(FAREBOX_ARGS)

test: $(VENV)/.dev ## run all tests but the long ones
	$(BIN)/python -m pytest -m "not long" --numprocesses $(TEST_WORKERS) --dist loadfile

test-long: $(VENV)/.dev ## run the long tests
	$(BIN)/python -m pytest -m long

lint: $(VENV)/.dev ## ruff and strict mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.dev ## let ruff rewrite what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock: $(VENV)/.dev ## resolve pyproject.toml again and rewrite both lock files (needs a package index)
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --prerelease if-necessary \
		--upgrade --group build pyproject.toml -o requirements.lock
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --prerelease if-necessary \
		--upgrade --group dev pyproject.toml -o requirements-dev.lock

schema: $(VENV)/.dev ## regenerate the JSON Schemas that editors use
	$(BIN)/python -m gateway.config.schema

boards: $(VENV)/.dev ## regenerate Grafana's boards, and draw them with a Prometheus over a simulated week
	$(BIN)/python -m gateway.telemetry.boards
	$(BIN)/python -m tests.dashboards.pictures

bench-overhead: $(VENV)/.dev ## what the gateway costs per request (docs/performance.md)
	$(BIN)/python -m benchmarks.overhead --json

bench-governed: $(VENV)/.dev ## what budgets and rates add to a request, with either store (docs/performance.md)
	$(BIN)/python -m benchmarks.overhead --json --governed memory
	$(BIN)/python -m benchmarks.overhead --json --governed valkey

bench-burst: $(VENV)/.dev ## 200 agents at once against budgets, judged by the provider's bill (docs/performance.md)
	$(BIN)/python -m benchmarks.burst --json

bench-outage: $(VENV)/.dev ## a provider's bad day under constant load, as clients see it (docs/performance.md)
	$(BIN)/python -m benchmarks.outage --json

CONFORMANCE_ARGS ?=
conformance: $(VENV)/.dev ## run the real agent SDKs, each in its own environment (needs package indexes, and Node); writes docs/conformance.md
	$(BIN)/python -m tests.conformance $(CONFORMANCE_ARGS)

clean: ## remove the environment and caches, never .farebox
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis

# The environment is made once and made again when a lock or pyproject.toml changes. Dependencies come from the lock,
# by hash; Farebox itself is linked, not copied, so that edits show at once.
$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Farebox needs Python 3.11 or newer; try make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.run: requirements.lock pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.dev: requirements-dev.lock $(VENV)/.run
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	@touch $@
