# Needs Python 3.8 or newer, and make. `make PYTHON=python3.12 test` chooses the interpreter.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
# Each stamp says what is installed. The first has the interpreter in its name: another PYTHON makes a new venv.
MADE := $(VENV)/.made-$(subst /,_,$(PYTHON))
RUNTIME := $(VENV)/.runtime
DEV := $(VENV)/.dev
# The queues that we are compared with live apart: they are no dependencies of ours.
PEERS := .venvs/compare
COMPARED := $(PEERS)/.installed-$(subst /,_,$(PYTHON))

.DEFAULT_GOAL := help
.PHONY: help demo test lint format bench compare chaos clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' Makefile

demo: $(RUNTIME) ## show the queue at work: enqueue, a worker, results
	@$(BIN)/python examples/demo.py

test: $(DEV) ## run the whole suite on Python 3.8, on the newest Python here, and last on the default one
	@$(BIN)/python tools/test_everywhere.py $(ARGS)

lint: $(DEV) ## check style (ruff) and types (mypy)
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .
	$(BIN)/python -m mypy

format: $(DEV) ## mend what ruff can mend by itself
	$(BIN)/python -m ruff check --fix .
	$(BIN)/python -m ruff format .

bench: $(DEV) ## measure against a hand-written sqlite3 loop
	@$(BIN)/python -m benchmarks $(ARGS)

compare: $(COMPARED) ## measure against other job queues (ARGS="--quick"), in an environment of their own
	@$(PEERS)/bin/python -m benchmarks.compare $(ARGS)

chaos: $(DEV) ## kill workers and producers at random, and check that nothing is lost (ARGS="--minutes 10 --database postgres")
	@$(BIN)/python -m tests.chaos $(ARGS)

clean: ## remove what these commands have made
	rm -rf .venv .venvs .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage .coverage.* build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(MADE):
	@echo "Making $(VENV) with $(PYTHON)"
	@$(PYTHON) -m venv --clear $(VENV)
	@$(PIP) install -q "pip>=21.3" # the first that installs this project editable
	@touch $@

$(RUNTIME): $(MADE) pyproject.toml
	@echo "Installing sqlite-job"
	@$(PIP) install -q -e .
	@touch $@

$(DEV): $(MADE) pyproject.toml
	@echo "Installing sqlite-job and what its development needs"
	@$(PIP) install -q -e ".[dev]"
	@touch $(RUNTIME) $@

# It needs Python 3.10: the newest releases of the others do. What cannot be had is left out of the comparison, loudly.
$(COMPARED): pyproject.toml benchmarks/compare/requirements.txt
	@echo "Making $(PEERS) with $(PYTHON)"
	@$(PYTHON) -m venv --clear $(PEERS)
	@$(PEERS)/bin/python -m pip --disable-pip-version-check install -q "pip>=21.3"
	@$(PEERS)/bin/python -m pip --disable-pip-version-check install -q -e .
	@$(PEERS)/bin/python -m pip --disable-pip-version-check install -q -r benchmarks/compare/requirements.txt || \
		$(PEERS)/bin/python -m benchmarks.compare.installing benchmarks/compare/requirements.txt
	@touch $@
