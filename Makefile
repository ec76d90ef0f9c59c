PYTHON ?= python3
BIN = .venv/bin
ENGINES = .venv-engines
BENCH = .venv-bench

.PHONY: audit test test-engines bench setup clean

setup: .venv/installed

.venv/installed: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet -e '.[dev]'
	touch $@

audit: setup
	$(BIN)/shadowprice audit

test: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pytest -n 2

clean:
	rm -rf .venv $(ENGINES) $(BENCH) build
