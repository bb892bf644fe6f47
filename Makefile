# Everything a person or CI does here. On a fresh Debian or Ubuntu it needs python3 (3.11 or newer), git and make;
# the rest comes from the locks in requirements/ into .venv (tools/bootstrap.py).

SHELL := /bin/sh
PYTHON ?= python3
ARGS ?=
UPGRADE ?=
# How many processes run the fast tests: one more than there are cores (tests/conftest.py), but no more than eight.
# A file stays whole in one process (--dist loadfile), so that a server which its tests share is started once.
TEST_PROCESSES ?= auto

BIN := .venv/bin
RUNTIME := @$(PYTHON) tools/bootstrap.py runtime
DEV := @$(PYTHON) tools/bootstrap.py dev
SLOW := slow or faults or clients

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help serve test check test-fast test-slow fix docs bench bench-scale clients lock dist clean

help: ## show this list
	@sed -n 's/^\([a-z-]*\):.*## /\1|/p' $(firstword $(MAKEFILE_LIST)) | awk -F '|' '{ printf "  make %-11s %s\n", $$1, $$2 }'

serve: ## run the registry on 127.0.0.1:5000 with its data in ./data; ARGS="--port 5001" passes options
	$(RUNTIME)
	@HOMEPORT_DATA="$${HOMEPORT_DATA:-data}" HOMEPORT_PORT="$${HOMEPORT_PORT:-5000}" exec $(BIN)/homeport serve $(ARGS)

test: clients check test-fast test-slow ## the real clients, all of check, then every test: fast ones first

check: ## style, types, import order, locks and generated pages
	$(DEV)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/python tools/locks.py check
	$(BIN)/python tools/operations_page.py --check
	$(BIN)/python tools/errors_page.py --check

test-fast: ## unit, contract, property, API and security tests; ARGS="-k name" chooses among them
	$(DEV)
	@tools/run-tests -n $(TEST_PROCESSES) --maxprocesses 8 --dist loadfile --no-loadscope-reorder -m "not ($(SLOW))" $(ARGS)

test-slow: ## tests with real clients, killed processes and long runs; ARGS="-k name" chooses among them
	$(DEV)
	@tools/run-tests -n $(TEST_PROCESSES) --maxprocesses 8 --dist loadfile --no-loadscope-reorder --timeout 300 -m "$(SLOW)" $(ARGS)

fix: ## repair style where a program can
	$(DEV)
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

docs: ## write the generated pages anew
	$(DEV)
	$(BIN)/python tools/operations_page.py
	$(BIN)/python tools/errors_page.py

bench: ## measure against the reference registry; as root installs it when missing; ARGS pass on
	$(DEV)
	@tools/install-clients docker-registry skopeo
	$(BIN)/python -m tests.bench.run $(ARGS)

bench-scale: ## measure registries of a thousand to a million images on both databases; ARGS="--help" says more
	$(DEV)
	$(BIN)/python -m tests.bench.scale $(ARGS)

clients: ## install the real clients for the tests (as root, with apt); else say what is missing
	@tools/install-clients

lock: ## resolve pyproject.toml into requirements/; UPGRADE=1 takes the newest versions
	$(DEV)
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python tools/locks.py write $(if $(UPGRADE),--upgrade)

dist: ## build the wheel and the source archive into dist/
	$(DEV)
	$(BIN)/hatchling build

clean: ## remove caches and builds; .venv and data stay
	rm -rf dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find src tests tools -name __pycache__ -type d -prune -exec rm -rf {} +
