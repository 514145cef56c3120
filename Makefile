# Two commands do everything: `make demo` to see it, `make test` to check it.
# Everything lands in .venv; set PYTHON to choose another interpreter.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

NODE_STAMP := tests/node/node_modules/.installed

.PHONY: help setup system node demo test check format lint types pytest bench audit sbom licences image clean

help: ## Say what there is
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: $(STAMP) ## Make the virtual environment; leaves the command at .venv/bin/gateway

$(STAMP): pyproject.toml constraints.txt
	@sh tests/system-packages.sh python $(PYTHON)
	@echo 'Setting up $(VENV): a minute or two, once.'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $(STAMP)

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

# What an installation consists of, and no more; and the tools that look at it, apart from it.
RUNTIME := build/runtime
TOOLS := build/tools

$(RUNTIME): pyproject.toml constraints.txt
	$(PYTHON) -m venv --clear $(RUNTIME)
	$(RUNTIME)/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt '.[jwt]'

$(TOOLS): deploy/tools-constraints.txt
	$(PYTHON) -m venv --clear $(TOOLS)
	$(TOOLS)/bin/python -m pip install --quiet --disable-pip-version-check \
	    --constraint deploy/tools-constraints.txt pip-audit cyclonedx-bom

audit: $(TOOLS) ## Ask PyPI for known holes in what constraints.txt pins; what can't be asked is an error
	@$(TOOLS)/bin/python deploy/audit.py $(TOOLS)/bin/pip-audit

sbom: $(RUNTIME) $(TOOLS) ## Write what an installation consists of, as CycloneDX, to dist/sbom.cdx.json
	mkdir -p dist
	$(TOOLS)/bin/cyclonedx-py environment $(RUNTIME) --pyproject pyproject.toml --output-reproducible \
	    --output-file dist/sbom.cdx.json

licences: setup ## List the licences of what an installation consists of
	@$(BIN)/python deploy/licences.py

image: setup ## Build the container image and try it out with podman (as root; some minutes)
	sh deploy/check.sh

clean: ## Remove what set-up and tests left here
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist *.egg-info var tests/node/node_modules
