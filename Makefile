# Two commands matter: `make serve` and `make test`. Each sets up what it needs in .venv.

# Of 3.11 to 3.13 the newest that is there, unless told: make PYTHON=/path/to/python3.12
PYTHON ?=
PORT ?= 8000
RECIPE ?= digits
DATA_DIR ?= data
# The engine that `make serve` installs: cpu (OpenVINO) or gpu (TensorFlow with CUDA).
EXTRA ?= cpu

BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

.PHONY: serve test check bench bench-quick torture format train browser wrk clients lock sbom pythons clean

serve: .venv/$(EXTRA).installed
	STRIATE_PORT=$(PORT) $(BIN)/python -m service

test: .venv/dev.installed
	$(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

check: .venv/dev.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: .venv/dev.installed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Debian's Chromium, for the tests of pages; without it they are skipped.
browser:
	command -v chromium >/dev/null || (apt-get update -qq && apt-get install -qq -y --no-install-recommends chromium)

# Clients of Triton, KServe and TensorFlow Serving, for the tests of dialects; without them they are skipped.
clients:
	PYTHON="$(PYTHON)" sh deploy/make_clients.sh .venvs/clients

# Debian's load generator, for the benchmarks.
wrk:
	command -v wrk >/dev/null || (apt-get update -qq && apt-get install -qq -y --no-install-recommends wrk)

bench: .venv/dev.installed wrk
	$(BIN)/python -m benchmarks

bench-quick: .venv/dev.installed wrk
	$(BIN)/python -m benchmarks --quick

# Faults, floods and hostile input, about forty minutes; TORTURE=--soak for half an hour more of steady load.
torture: .venv/dev.installed
	$(BIN)/python -m benchmarks.torture $(TORTURE)

train: .venv/dev.installed
	$(BIN)/python -m training train $(RECIPE) --data-dir $(DATA_DIR)

# The locks are hashed and name no index: pip takes the one that it is set up with.
lock: .venv/bin/python
	$(PIP) install 'uv>=0.9,<1'
	$(BIN)/uv pip compile -q pyproject.toml --extra dev $(LOCK) -o requirements-dev.txt
	$(BIN)/uv pip compile -q pyproject.toml --extra cpu $(LOCK) -c requirements-dev.txt -o requirements-cpu.txt
	$(BIN)/uv pip compile -q pyproject.toml --extra gpu $(LOCK) -c requirements-dev.txt -o requirements-gpu.txt
	for name in light kserve mlserver; do \
		$(BIN)/uv pip compile -q deploy/clients/$$name.in $(LOCK) -o deploy/clients/$$name.txt; done
	$(BIN)/uv pip compile -q --no-deps deploy/clients/perf.in $(LOCK) -o deploy/clients/perf.txt
	echo 'setuptools>=80' | $(BIN)/uv pip compile -q - $(LOCK) -c requirements-dev.txt -o requirements-build.txt

# One lock for every Python from 3.11: one set of versions, so that what one of them proves the others run.
LOCK := --universal --python-version 3.11 --fork-strategy fewest --generate-hashes --no-emit-index-url \
	--custom-compile-command "make lock"

# What is in the environment, for whoever has to know (CycloneDX 1.6).
sbom: .venv/dev.installed
	$(BIN)/cyclonedx-py environment --pyproject pyproject.toml --output-reproducible --of JSON -o sbom.json $(BIN)/python

# Every other Python that is there: installs the locks and runs a part of the tests that meets every library.
pythons: .venv/dev.installed
	sh deploy/try_pythons.sh .venv

.venv/bin/python:
	PYTHON="$(PYTHON)" sh deploy/make_venv.sh .venv

.venv/%.installed: requirements-%.txt requirements-build.txt pyproject.toml .venv/bin/python
	$(PIP) install --require-hashes --only-binary :all: -r requirements-build.txt
	$(PIP) install --require-hashes --only-binary :all: -r requirements-$*.txt
	$(PIP) install --no-deps --no-build-isolation --editable .
	touch $@

clean:
	rm -rf .venv .venvs .mypy_cache .ruff_cache .pytest_cache .hypothesis *.egg-info
