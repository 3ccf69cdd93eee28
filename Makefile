# Everything a newcomer, a contributor or CI runs. Needs make and Python 3.11, 3.12 or 3.13, nothing else:
# each target makes its own .venv and installs the pinned versions of constraints.txt into it when they are missing.

SHELL := /bin/sh
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

VENV := .venv
BIN := $(VENV)/bin
ORACLES := .venv-oracles
RAY := .venv-ray
PIP = $(BIN)/python -m pip --disable-pip-version-check
EXTRAS = catboost,compare,lightgbm,mongodb,optimizer,postgres,s3,search,serve,signing,sklearn,torch,xgboost
INSTALL = $(PIP) install --quiet --constraint constraints.txt

# The interpreter the .venv is made with: `make demo PYTHON=/path/to/python3.12` chooses another. A name may exist
# and not run (version managers leave such shims), so each candidate is asked.
SUPPORTED := import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info < (3, 14))
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	if $$p -c '$(SUPPORTED)' >/dev/null 2>&1; then echo $$p; break; fi; done)

# Pytest's worker processes; 0 runs the tests in one process (for a debugger).
WORKERS ?= $(shell getconf _NPROCESSORS_ONLN 2>/dev/null || echo 1)
# Given to pytest or to the demo: `make test ARGS="-k calendar"`.
ARGS ?=
# The tests start hundreds of processes: each would compile what it imports where the environment forbids bytecode.
unexport PYTHONDONTWRITEBYTECODE
PYTEST = $(BIN)/python -m pytest -n $(WORKERS) --dist loadscope --no-loadscope-reorder

# "yes" while the .venv can run and was made for this folder: its scripts hold absolute paths.
HEALTHY := $(shell test "$$(cat $(VENV)/.made 2>/dev/null)" = "$(CURDIR)" && \
	$(BIN)/python -c '$(SUPPORTED)' >/dev/null 2>&1 && echo yes)

.PHONY: help install dev demo test test-all oracles ray crash crash-small bench check lint types imports conventions format docs lock clean FORCE

help:  ## Show this list
	@awk 'BEGIN {FS = ":.*## "} /^[a-z][a-z-]*:.*## / {printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(VENV)/.runtime  ## Run the main job on the built-in demo market, to a finished report
	$(BIN)/rollwright demo $(ARGS)

install: $(VENV)/.runtime  ## Make .venv and install rollwright with LightGBM, pinned
	@echo "ready: $(BIN)/rollwright --help"

dev: $(VENV)/.dev  ## The same, and the tools of a contributor

test: $(VENV)/.dev  ## Run the fast tests (no crash tests, nothing above ten CPU seconds)
	$(PYTEST) -m "not crash and not slow" $(ARGS)

test-all: $(VENV)/.dev  ## Run every test
	$(PYTEST) $(ARGS)

oracles: $(ORACLES)/.made  ## Compare the statistics with independent packages, in an environment of its own
	$(ORACLES)/bin/python -m pytest -n 0 tests/oracles $(ARGS)

ray: $(RAY)/.made  ## Start workers on a Ray of the tests' own, whose nodes are killed, in an environment of its own
	$(RAY)/bin/python -m pytest -n 0 tests/launch/test_ray_launcher.py tests/launch/test_ray_campaign.py $(ARGS)

crash: $(VENV)/.dev  ## Run the tests that kill, freeze and restart real processes
	$(BIN)/python -m pytest -m crash $(ARGS)

crash-small: $(VENV)/.dev  ## The same with fewer tasks and kills, within ten minutes; needs PostgreSQL and MongoDB
	ROLLWRIGHT_TEST_CRASH=small ROLLWRIGHT_TEST_REQUIRE_SERVERS=1 $(BIN)/python -m pytest -m crash $(ARGS)

bench: $(VENV)/.dev  ## Run the benchmarks and compare their ratios with the committed results
	$(BIN)/python benchmarks/guard.py $(ARGS)

check: lint types imports conventions  ## Check style, types, layers and the house's own conventions

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check --quiet . || { echo "not formatted; run: make format"; exit 1; }

types: $(VENV)/.dev
	$(BIN)/mypy

imports: $(VENV)/.dev
	$(BIN)/lint-imports

conventions: $(VENV)/.dev
	@for file in tools/check_*.py; do $(BIN)/python "$$file" || failed=1; done; test -z "$$failed"

format: $(VENV)/.dev  ## Format the code and fix what ruff can fix
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(VENV)/.dev  ## Renew the generated tables of docs/
	$(BIN)/python tools/check_performance.py --write
	$(BIN)/python tools/check_public_names.py --write
	$(BIN)/python tools/check_qlib_names.py --write
	$(BIN)/python tools/check_readme.py --write
	$(BIN)/python tools/check_settings.py --write
	$(BIN)/python tools/check_signatures.py --write

lock: $(VENV)/.made  ## Renew constraints.txt with the newest versions that pyproject.toml allows
	$(BIN)/python tools/lock.py

clean:  ## Remove .venv, caches and build results; never data or results
	rm -rf $(VENV) $(ORACLES) $(RAY) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find src tests tools examples benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

# --- the .venv and its stamps: a file each, so that a second call has nothing to do -------------------------------

$(VENV)/.made: $(if $(HEALTHY),,FORCE)
	@test -n "$(PYTHON)" || { \
		echo "rollwright needs Python 3.11, 3.12 or 3.13 with its venv module, and none was found." >&2; \
		echo "hint: install one (Debian and Ubuntu: apt-get install python3 python3-venv), or name it:" >&2; \
		echo "      make $(or $(MAKECMDGOALS),demo) PYTHON=/path/to/python3" >&2; exit 3; }
	@if test -e $(VENV)/.made || ! $(BIN)/python -c '$(SUPPORTED)' >/dev/null 2>&1; then rm -rf $(VENV); fi
	@rm -f $(VENV)/.runtime $(VENV)/.dev
	@echo "making $(VENV) with $(PYTHON) and installing pinned packages (once, a minute or two)"
	$(PYTHON) -m venv $(VENV)
	$(INSTALL) --upgrade pip
	@printf '%s\n' "$(CURDIR)" > $@

$(VENV)/.runtime: $(VENV)/.made pyproject.toml constraints.txt
	$(INSTALL) --build-constraint constraints.txt --editable ".[lightgbm]"
	@touch $@

$(VENV)/.dev: $(VENV)/.runtime
	$(INSTALL) --group dev --build-constraint constraints.txt --editable ".[$(EXTRAS)]"
	@touch $@

$(ORACLES)/.made: $(VENV)/.made pyproject.toml tests/oracles/lock.txt
	@echo "making $(ORACLES) with the packages of tests/oracles/lock.txt (once, a minute or two)"
	$(BIN)/python -m venv --clear $(ORACLES)
	$(ORACLES)/bin/python -m pip --disable-pip-version-check install --quiet --upgrade pip
	$(ORACLES)/bin/python -m pip --disable-pip-version-check install --quiet --constraint tests/oracles/lock.txt \
		--build-constraint constraints.txt --group oracles --editable .
	@touch $@

$(RAY)/.made: $(VENV)/.made pyproject.toml constraints.txt
	@echo "making $(RAY) with the tools of the tests and Ray (once, a minute or two)"
	$(BIN)/python -m venv --clear $(RAY)
	$(RAY)/bin/python -m pip --disable-pip-version-check install --quiet --upgrade pip
	$(RAY)/bin/python -m pip --disable-pip-version-check install --quiet --constraint constraints.txt \
		--build-constraint constraints.txt --group dev --editable ".[ray]"
	@touch $@
