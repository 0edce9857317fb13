# Everything a newcomer needs is `make demo` and `make test`.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO_FLAGS ?=
TEST_FLAGS ?=
BENCH_FLAGS ?=

.PHONY: help demo test check golden bench install dev system clean

help: ## list the targets
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/'

demo: $(VENV)/.installed ## serve the sample shop on loopback (DEMO_FLAGS=--once ends by itself)
	$(BIN)/onehop demo $(DEMO_FLAGS)

test: $(VENV)/.dev system ## run every test this user may run
	@tests/run.sh $(TEST_FLAGS)

check: $(VENV)/.dev ## format, lint, types, import contracts
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/pyright
	$(BIN)/lint-imports

golden: $(VENV)/.dev ## write the golden files anew; read the diff before you commit it
	ONEHOP_UPDATE_GOLDEN=1 $(BIN)/pytest -q tests/test_scenarios.py tests/compile/test_manual.py \
	  tests/explain tests/certificates tests/net/bird/test_bird_render.py tests/driver_vtm tests/driver_haproxy/test_haproxy_stories.py tests/lab_bench/test_bench_report.py tests/docs/test_data_planes.py

bench: $(VENV)/.dev system ## measure against the floor; JSON in bench/results (BENCH_FLAGS="--only edits --quick")
	$(BIN)/python -m bench $(BENCH_FLAGS)

system: ## install the Debian packages that tests need, where that is possible
	@tests/system-packages.sh

install: $(VENV)/.installed ## onehop in .venv
dev: $(VENV)/.dev ## onehop and the development tools in .venv

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip

$(VENV)/.installed: $(VENV)/bin/python pyproject.toml constraints.txt
	$(BIN)/pip install --quiet --constraint constraints.txt --editable .
	@touch $@

$(VENV)/.dev: $(VENV)/.installed
	$(BIN)/pip install --quiet --constraint constraints.txt --group dev
	@touch $@

clean: ## remove what the targets made
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
