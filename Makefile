# Two commands for everybody: `make demo` and `make test`. The others are their parts.

PYTHON ?= python3
VENV ?= .venv
# What to install beside the project, e.g. PACKAGES="Django~=5.2.0 wagtail~=7.4.0".
PACKAGES ?=
# On which databases `make test` runs the slow tests too (all, if blank), e.g. SLOW_ON=sqlite.
SLOW_ON ?=
# What `make bench` measures (all, if blank), whether in few and small rounds, and where to keep what
# was measured, as JSON (nowhere, if blank).
MEASURES ?=
QUICK ?=
OUTPUT ?=

BIN = $(VENV)/bin
INSTALLED = $(VENV)/installed
BENCHABLE = $(VENV)/benchable

.PHONY: demo test test-quick lint soak bench clean

demo: $(INSTALLED)
	$(BIN)/python scripts/demo.py

test: lint
	$(BIN)/python scripts/test.py $(if $(SLOW_ON),--slow-on $(SLOW_ON))

test-quick: $(INSTALLED)
	$(BIN)/python scripts/test.py --quick

# Real faults on real servers, for some twenty minutes; writes the table of docs/reliability.md.
soak: $(INSTALLED)
	$(BIN)/python scripts/soak.py --write docs/reliability.md

# How fast it is, beside the alternatives, e.g. `make bench QUICK=1 MEASURES=publish`; writes
# docs/performance.md, if neither is given.
bench: $(BENCHABLE)
	$(BIN)/python -m benchmarks $(if $(QUICK),--quick) $(if $(OUTPUT),--output $(OUTPUT)) $(MEASURES)

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python tests/site/manage.py makemigrations --check --dry-run

$(INSTALLED): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[test]' $(PACKAGES)
	touch $@

$(BENCHABLE): $(INSTALLED)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[test,bench]' $(PACKAGES)
	touch $@

clean:
	rm -rf .venv* .demo .coverage* .hypothesis .mypy_cache .pytest_cache .ruff_cache
