# Two commands do everything: `make demo` to see it, `make test` to check it.
# Everything lands in .venv; set PYTHON to choose another interpreter.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

NODE_STAMP := tests/node/node_modules/.installed

.PHONY: help setup system node demo test check format lint types pytest bench clean

help: ## Say what there is
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: $(STAMP) ## Make the virtual environment; leaves the command at .venv/bin/gateway

$(STAMP): pyproject.toml constraints.txt
	@sh tests/system-packages.sh python $(PYTHON)
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $(STAMP)

system: ## Install the system packages the tests use (as root), or name what is missing
	@sh tests/system-packages.sh test

node: system $(NODE_STAMP) ## Install what the tests run under Node

$(NODE_STAMP): tests/node/package.json
	cd tests/node && npm install --no-package-lock --no-audit --no-fund --silent
	touch $@

demo: setup ## A simulated exchange and the gateway in one process, on loopback
	$(BIN)/gateway demo

test: setup system node check ## Set up, then run everything that CI runs

check: lint types pytest ## Format, lint, types and tests, without set-up

lint:
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types:
	$(BIN)/mypy

pytest:
	$(BIN)/pytest

format: ## Rewrite the files in the project's format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: setup ## Measure: messages/s beside a peer in the same run
	$(BIN)/python -m tests.bench

clean: ## Remove what set-up and tests left here
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist *.egg-info var tests/node/node_modules
