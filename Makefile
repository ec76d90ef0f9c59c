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
	$(BIN)/python benchmarks/import_time.py --check
	$(BIN)/python benchmarks/simulator_speed.py --check
	$(BIN)/python benchmarks/audit_speed.py
	$(BIN)/python benchmarks/published_study.py --seconds-per-instance 1.5
	$(BIN)/python benchmarks/fidelity.py
	$(BIN)/python benchmarks/expert_dispatch.py --check
	$(BIN)/python benchmarks/routing_decision.py
	$(BIN)/python benchmarks/routing_speed.py --check
	$(BIN)/python benchmarks/router_cost.py
	$(BIN)/python benchmarks/router_quality.py
	$(BIN)/python benchmarks/router_faults.py --check

clean:
	rm -rf .venv $(ENGINES) $(BENCH) build
