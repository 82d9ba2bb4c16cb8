# `make help` says what there is. Needs Python 3.11 or newer and make, nothing else.
SHELL := /bin/bash
BIN := .venv/bin
READY := .venv/.ready
PINS := requirements/run.txt requirements/test.txt requirements/tools.txt
# The first of these that is new enough; looked for only when .venv is made.
PYTHON = $(shell for python in python3 python3.13 python3.12 python3.11; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done)
ARGS ?=
SEEDS ?= 200

.DEFAULT_GOAL := help
.PHONY: help setup demo up down test lint gen check-gen lock bench faults simulate clean

help: ## Say what there is
	@grep -hE '^[a-z-]+:.*## ' Makefile | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 12

setup: $(READY) ## Prepare .venv
	@echo "Ready: .venv/bin/chronos and .venv/bin/chronosctl"

demo: $(READY) ## Start a mesh, run some jobs for 30 s, show what happens, stop
	@$(BIN)/chronos demo $(ARGS)

up: $(READY) ## Start a mesh and keep it running; Ctrl-C stops it
	@$(BIN)/chronos up $(ARGS)

down: $(READY) ## Stop the mesh that runs here
	@$(BIN)/chronos down $(ARGS)

test: $(READY) ## Run every test
	@$(BIN)/python -m pytest $(ARGS)

lint: check-gen ## Check style, types, imports, protos, and that gen/ is up to date
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/buf lint

gen: $(READY) ## Write gen/ from proto/, without a network
	$(BIN)/python proto/generate.py

check-gen: $(READY)
	rm -rf .build/gen-before && mkdir -p .build && cp -r gen .build/gen-before
	$(BIN)/python proto/generate.py
	diff -r --exclude=__pycache__ .build/gen-before gen

lock: ## Pin the newest versions that fit requirements/*.in (needs uv)
	@command -v uv >/dev/null || { echo "make lock needs uv: https://docs.astral.sh/uv/"; exit 1; }
	for name in run test tools; do UV_CUSTOM_COMPILE_COMMAND="make lock" uv pip compile --universal --upgrade \
		--python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --quiet \
		requirements/$$name.in --output-file requirements/$$name.txt || exit 1; done

bench: $(READY) ## Measure the whole mesh; see docs/benchmarks.md
	@$(BIN)/python -m bench $(ARGS)

simulate: $(READY) ## Live through simulated worlds full of faults (SEEDS=200, or FIRST-LAST, or =ONE)
	@$(BIN)/python -m tests.simulation $(SEEDS) $(ARGS)

faults: $(READY) ## Break a whole mesh for some minutes and judge it; see docs/fault-suite.md. DURATION=1h SEED=7
	@$(BIN)/python -m tests.faults.run --duration $(or $(DURATION),5m) $(if $(SEED),--seed $(SEED)) $(ARGS)

clean: ## Remove what the other targets made, but no mesh's data
	rm -rf .venv .build .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(READY): $(PINS) pyproject.toml requirements/run.in requirements/hatch_build.py
	@test -n "$(PYTHON)" || { echo "Chronos needs Python 3.11 or newer; python3 here is $$(python3 -V 2>&1)."; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
		{ echo "$(PYTHON) cannot make virtual environments; on Debian and Ubuntu: apt install python3-venv"; exit 1; }
	@echo "Preparing .venv with $$($(PYTHON) -V); the first time takes a minute or two."
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes $(addprefix -r ,$(PINS))
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@
