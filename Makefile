# Commands for everybody: `make demo`, `make test`, and `make test-all`. The others are their parts.

# An end of what is supported, e.g. `make test END=oldest`, which has an environment of its own.
END ?=
ifeq ($(END),oldest)
PYTHON = python3.11
VENV = .venv-oldest
PACKAGES = Django~=5.2.0 wagtail~=7.4.0
else ifeq ($(END),newest)
PYTHON = python3.13
VENV = .venv-newest
PACKAGES = Django~=6.1.0 wagtail~=8.0.0
else ifneq ($(END),)
$(error END is oldest, newest, or blank)
endif

PYTHON ?= python3
VENV ?= .venv
# What to install beside the project, e.g. PACKAGES="Django~=5.2.0 wagtail~=7.4.0".
PACKAGES ?=
# What `make bench` measures (all, if blank), whether in few and small rounds, and where to keep what
# was measured, as JSON (nowhere, if blank).
MEASURES ?=
QUICK ?=
OUTPUT ?=

BIN = $(VENV)/bin
INSTALLED = $(VENV)/installed
BENCHABLE = $(VENV)/benchable
COMPILED = $(VENV)/compiled
NOX = PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/nox
JOBS = lint sqlite postgres mysql

.PHONY: demo docs dist test test-all test-quick lint soak bench messages screenshots tools clean

demo: $(INSTALLED)
	$(BIN)/python scripts/demo.py

test: tools $(COMPILED)
	$(NOX) --parallel 4 -s $(JOBS)

# Everything, with coverage; on servers all but what is the same on all databases.
test-all: tools $(COMPILED)
	$(BIN)/coverage erase
	TESTS=all $(NOX) --parallel 4 -s $(JOBS)
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

test-quick: $(INSTALLED)
	$(NOX) -s sqlite -- -m "not slow"

lint: $(INSTALLED)
	$(NOX) -s lint

# The documentation as a site, in docs/_build/html/; warnings are errors, among them links that lead
# nowhere.
docs: $(INSTALLED)
	$(NOX) -s docs

# The sdist and the wheel, in dist/, checked.
dist: $(INSTALLED)
	$(NOX) -s dist

# Real faults on real servers, for some twenty minutes; writes the table of
# docs/explanation/reliability.md.
soak: $(INSTALLED)
	$(BIN)/python scripts/soak.py --write docs/explanation/reliability.md

# How fast it is, beside the alternatives, e.g. `make bench QUICK=1 MEASURES=publish`; writes
# docs/explanation/performance.md, if neither is given.
bench: $(BENCHABLE)
	$(BIN)/python -m benchmarks $(if $(QUICK),--quick) $(if $(OUTPUT),--output $(OUTPUT)) $(MEASURES)

# A picture of every page of the admin, light and dark, wide and narrow; those that the docs use
# are written to docs/pictures/.
screenshots: tools $(INSTALLED)
	$(BIN)/python scripts/screenshots.py

# A browser, and GNU gettext.
tools:
	@scripts/install_tools.sh

# Reads the texts to translate into wagtail_async_hooks/locale/, and compiles what is translated
# there; needs GNU gettext.
messages: $(INSTALLED)
	$(BIN)/python scripts/messages.py

$(INSTALLED): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[test]' $(PACKAGES)
	touch $@

# Pytest compiles the tests once, rather than in each of the processes that begin to run them.
$(COMPILED): $(INSTALLED)
	-PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest --collect-only -q > /dev/null
	touch $@

$(BENCHABLE): $(INSTALLED)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[test,bench]' $(PACKAGES)
	touch $@

clean:
	rm -rf .venv* .demo .coverage* .hypothesis .mypy_cache .nox .pytest_cache .ruff_cache dist docs/_build
