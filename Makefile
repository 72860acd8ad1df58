# Everything here works on a fresh machine with python3 (3.11+, with its venv module), make and git.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# The tests keep their own registries: nothing of the user's is touched.
PYTEST := $(BIN)/python -m pytest

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-slow check bench soak fmt docs schemas golden lock clean

help: ## Show what make can do here
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile

setup: $(READY) ## Make .venv with mlctl and all its tools

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "mlctl needs Python 3.11 or newer, $(PYTHON) is `$(PYTHON) --version 2>&1`: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)"; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { \
	  echo "python3 lacks its venv module: apt-get install python3-venv"; exit 1; }
	@rm -f $(READY)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $(READY)

demo: $(READY) ## Train a fraud model, deploy it blue and green, score, split, mirror, rotate
	@PATH="$(CURDIR)/$(BIN):$$PATH" bash examples/01-fraud/demo.sh

test: $(READY) ## All tests but the slow ones
	$(PYTEST) -m "not slow" -n 2 --dist worksteal

test-slow: $(READY) ## Faults, load, fuzz
	$(PYTEST) -m slow

check: $(READY) ## Format, lint, types, layers, generated files in sync
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright
	$(BIN)/lint-imports
	$(BIN)/python -m scripts.generate_schemas --check
	$(BIN)/python -m scripts.generate_surface --check
	$(BIN)/cog -c --check -P README.md docs/cli.md docs/az-surface.md

fmt: $(READY) ## Format and mend what can be mended
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(READY) ## Measure mlctl beside its peers (needs wrk: apt-get install wrk)
	$(BIN)/python -m benchmarks

soak: $(READY) ## Watch the scoring server's memory for 20 minutes (needs wrk)
	$(BIN)/python -m benchmarks soak

docs: $(READY) ## Write the generated parts of README.md and docs/
	$(BIN)/cog -c -r -P README.md docs/cli.md docs/az-surface.md

schemas: $(READY) ## Write schemas/ from the entities, and the table of az's flags
	$(BIN)/python -m scripts.generate_schemas
	$(BIN)/python -m scripts.generate_surface

golden: $(READY) ## Write the golden files of tests/golden anew
	$(PYTEST) tests/golden --update-golden

lock: $(READY) ## Resolve the dependencies anew
	$(BIN)/uv pip compile --universal --generate-hashes --no-emit-index-url --python-version 3.11 --all-extras pyproject.toml -o requirements.lock

clean: ## Remove what make setup and make bench made
	rm -rf $(VENV) .bench
