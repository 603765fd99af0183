# The one door: people and CI use these commands and no others. `make help` lists them.
#
#   PYTHON=python3.11        the interpreter that makes .venv
#   CARILLON_FLAVOUR=cpu|gpu what to install; gpu where an NVIDIA GPU answers
#   CARILLON_PORT=8000       the HTTP port
#   CARILLON_CONFIG=file     what to serve; serve_config.yaml, or serve_config.gpu.yaml on GPUs
#   UPGRADE=1                with `make lock`: newest versions instead of the pinned ones

SHELL := /bin/sh
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

VENV := .venv
BIN := $(VENV)/bin
export PYTHON ?= python3.11
FLAVOUR = $(or $(CARILLON_FLAVOUR),$(shell command -v nvidia-smi >/dev/null 2>&1 && timeout 20 nvidia-smi -L >/dev/null 2>&1 && echo gpu || echo cpu))
CONFIG = $(or $(CARILLON_CONFIG),$(if $(filter gpu,$(FLAVOUR)),serve_config.gpu.yaml,serve_config.yaml))
RUNTIME = $(VENV)/.installed-$(FLAVOUR)
DEV := $(VENV)/.installed-dev
FAST := not slow and not chaos and not bench

.PHONY: help serve stop status test test-slow chaos check format lock bench install clean

help: ## list the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' Makefile

serve: ## start everything in the foreground: http://127.0.0.1:8000, Ctrl-C ends it
	@$(MAKE) -s --no-print-directory $(RUNTIME)
	@exec $(BIN)/carillon up $(CONFIG)

stop: ## stop exactly what `make serve` started, also after a crash
	@test -x $(BIN)/carillon && exec $(BIN)/carillon down || echo "nothing is installed, so nothing runs"

status: ## show applications, replicas, stores and the ledger
	@exec $(BIN)/carillon status

test: install ## run the tests
	$(BIN)/python -m pytest -m "$(FAST)" $(ARGS)

test-slow: install ## run the tests that take minutes
	$(BIN)/python -m pytest -m slow --timeout 1800 $(ARGS)

chaos: install ## run the tests that kill processes
	$(BIN)/python -m pytest -m chaos --timeout 1800 $(ARGS)

check: install ## lint, format, types, import direction, fresh locks
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m cli.locks check

format: install ## rewrite the sources as `make check` wants them
	$(BIN)/ruff check --fix-only --quiet .
	$(BIN)/ruff format .

lock: ## resolve the requirements again (needs the network)
	@requirements/install.sh uv
	$(BIN)/python -m cli.locks write $(BIN)/uv "$$PIP_FIND_LINKS" $(if $(UPGRADE),--upgrade)

bench: install ## measure against the peers; writes docs/benchmarks.md
	$(BIN)/carillon bench $(ARGS)

install: ## install what the tests and checks need
	@$(MAKE) -s --no-print-directory $(DEV)

clean: ## remove the environment and caches; data in .carillon stay
	rm -rf $(VENV)-old
	test ! -e $(VENV) || mv $(VENV) $(VENV)-old  # half of it must not be taken for the whole
	rm -rf $(VENV)-old build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

$(VENV)/.installed-cpu $(VENV)/.installed-gpu: $(VENV)/.installed-%: requirements/%.txt requirements/install.sh
	@requirements/install.sh $*

$(DEV): requirements/dev.txt $(RUNTIME)
	@requirements/install.sh dev
