# `make help` lists the targets. Variables: WORKERS, EPOCHS, BATCH_PER_WORKER, MODELS, DATA, SOURCE, FRESH.
PYTHON ?= python3.11
DATA ?= ./trained_model
WORKERS ?= 2
SOURCE ?= auto
VENV := .venv
RUN := $(VENV)/bin/python
export TF_CPP_MIN_LOG_LEVEL ?= 3

.PHONY: help run test lint format bench clean requirements

help: ## list the targets
	@sed -nE 's/^([a-z-]+):.*## (.*)/\1\t\2/p' $(MAKEFILE_LIST) | expand -t 16

run: $(VENV)/run ## ingest, train three models on real workers, select, publish, report
ifdef FRESH
	rm -rf $(DATA)
endif
	$(RUN) src/local_pipeline.py --volume $(DATA) --workers $(WORKERS) --source $(SOURCE) \
	  $(if $(EPOCHS),--epochs $(EPOCHS)) $(if $(BATCH_PER_WORKER),--batch-per-worker $(BATCH_PER_WORKER)) \
	  $(if $(MODELS),--models "$(MODELS)")

test: $(VENV)/dev ## every test that needs no cluster
	$(RUN) -m pytest -m "not cluster"

lint: $(VENV)/dev ## ruff and mypy
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

format: $(VENV)/dev ## let ruff rewrite the layout of the code
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .

bench: $(VENV)/bench ## measure ratios side by side; results in bench/results/
	$(RUN) bench/training.py --volume $(DATA)

clean: ## remove the environments and what tests leave; the volume $(DATA) stays
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis

# One environment; each stamp says which requirements are in it.
$(VENV)/pip:
	$(PYTHON) -m venv $(VENV)
	touch $@

$(VENV)/run: requirements.txt | $(VENV)/pip
	$(VENV)/bin/pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements.txt
	touch $@

$(VENV)/dev: requirements-dev.txt | $(VENV)/pip
	$(VENV)/bin/pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements-dev.txt
	touch $@ $(VENV)/run

$(VENV)/bench: requirements-bench.txt | $(VENV)/dev
	$(VENV)/bin/pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements-bench.txt
	touch $@

requirements: ## pin requirements*.in again, for Linux (x86-64, arm64) and macOS (arm64)
	for name in requirements requirements-dev requirements-bench; do \
	  uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url \
	    --no-emit-find-links $$name.in -o $$name.txt; done

-include cluster.mk
