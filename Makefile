PYTHON ?= python3
BIN = .venv/bin
ENGINES = .venv-engines
BENCH = .venv-bench
# the same versions next year, those that build this package too
INSTALL = $(BIN)/pip install --quiet --constraint constraints.txt --build-constraint constraints.txt

.PHONY: audit test test-engines attack bench setup constraints clean

setup: .venv/installed

# what users may want, all of it, but not what only tests and benchmarks need
.venv/library: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --upgrade --constraint constraints.txt pip
	$(INSTALL) -e '.[all]'
	touch $@

.venv/installed: .venv/library
	$(INSTALL) -e '.[dev]'
	$(INSTALL) --no-deps libcachesim  # whose other needs (a cloud's client) its caches do not have
	touch $@

# the newest versions of everything, written down; then `make test`
constraints:
	rm -rf .venv-newest
	$(PYTHON) -m venv .venv-newest
	.venv-newest/bin/pip install --quiet --upgrade pip
	.venv-newest/bin/pip install --quiet -e '.[dev]'
	.venv-newest/bin/pip install --quiet --no-deps libcachesim
	sed -i '/^[^#]/d' constraints.txt
	.venv-newest/bin/pip freeze --all --exclude-editable >>constraints.txt
	rm -rf .venv-newest

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

# tries to cross every bound: minutes of search, on so many cores
MINUTES ?= 60
JOBS ?= $(shell nproc)
attack: setup
	$(BIN)/python -m tests.attack --minutes $(MINUTES) --jobs $(JOBS)

bench: setup
	bash benchmarks/peers/setup.sh
	$(BIN)/python benchmarks/run_all.py

clean:
	rm -rf .venv $(ENGINES) $(BENCH) build
