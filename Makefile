PYTHON ?= python3
BIN = .venv/bin
ENGINES = .venv-engines
BENCH = .venv-bench

.PHONY: audit test test-engines bench setup clean

setup: .venv/installed

# without what only tests and benchmarks need
.venv/library: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet -e .
	touch $@

.venv/installed: .venv/library
	$(BIN)/pip install --quiet -e '.[dev]'
	touch $@

audit: .venv/library
	$(BIN)/shadowprice audit

test: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pytest -n 2

test-engines: setup
	bash tests/engines/setup.sh
	$(BIN)/pytest -o addopts="-q --strict-markers --import-mode=importlib" -o faulthandler_timeout=1100 --timeout 1200 tests/engines

bench: setup
	bash benchmarks/peers/setup.sh
	$(BIN)/python benchmarks/run_all.py

clean:
	rm -rf .venv $(ENGINES) $(BENCH) build
