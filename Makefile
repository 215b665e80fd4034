# Everything runs in the virtual environment of the project, made by the first target that needs it.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
TOOLS := $(VENV)/.tools
NATIVE := $(shell find pykopia -name '*.pyx' -o -name '*.pxd' -o -name '*.pxi' -o -name '*.h')

# For example: make test PYTEST="-k splitter", make bench BENCH="--sets big --rounds 5",
# make bench-remote REMOTE="--round-trips 50 --rounds 5"
PYTEST ?= -n auto
CLUSTER_PYTEST ?=
BENCH ?=
REMOTE ?=

SERVERS := .servers/.installed
CLUSTER := .servers/.cluster

# A wheel with its modules compiled, as users have it: what stands in the working tree is compiled at each start where
# PYTHONDONTWRITEBYTECODE is set, and found by a longer way.
INSTALLED := .venv-installed

.PHONY: help venv crds docs demo test test-slow test-operator soak lint lint-style lint-format lint-types lint-layers format bench bench-remote bench-results bench-micro clean

help:
	@echo 'make demo       back up a folder, change it, back it up again, list, verify, restore, compare'
	@echo 'make test       the whole test suite but the slow tests; those with a real kopia if KOPIA_EXE or PATH has one'
	@echo 'make test-slow  the slow tests'
	@echo 'make test-operator  the operator on a real Kubernetes API server, which Go builds once in some minutes'
	@echo 'make soak       the slow tests and all properties with many more examples: an hour or more'
	@echo 'make lint       style, types and import layers'
	@echo 'make format     let ruff correct what it can'
	@echo 'make bench      pykopia beside kopia, restic and borg, as far as they are on the machine'
	@echo 'make bench-remote  the same against S3 behind a proxy with latency; REMOTE="--servers s3,gcs,azure,sftp,webdav"'
	@echo 'make bench-results  the same at length: writes benchmarks/RESULTS.md; half an hour of a quiet machine'
	@echo 'make bench-micro  hashes, ciphers, compressors, splitters, indexes and opening, each by itself'
	@echo 'make docs       the documentation as a site, in site/, and its spelling'
	@echo 'make crds       generate the CustomResourceDefinitions of the operator'
	@echo 'make venv       the virtual environment alone'
	@echo 'make clean      remove what was built, and the virtual environment'

venv: $(STAMP) $(TOOLS)

# Built again when the dependencies or a native module changed; changes in Python take effect at once.
$(STAMP): pyproject.toml setup.py $(NATIVE)
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed: make PYTHON=...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1'
	$(BIN)/python -m pip install --quiet --group dev --group servers --editable '.[all]'
	touch $@

# Tools of single tests, in a list of their own: a change of it builds no native module again.
$(TOOLS): tests/requirements.txt $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --requirement tests/requirements.txt
	touch $@

# Servers for the tests of remote storages, as far as npm brings them; tests whose server is missing are skipped.
$(SERVERS): scripts/test-servers.sh
	sh scripts/test-servers.sh
	touch $@

# The CustomResourceDefinitions of the chart, from the typed models of the operator.
crds: $(STAMP)
	$(BIN)/python -m pykopia_operator.model.crds operator/chart/files/crds operator/kustomize/crds

# The site, strictly: a link that leads nowhere is an error. It is made without asking any other server.
docs: $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --requirement docs/requirements.txt
	$(BIN)/codespell README.md CHANGELOG.md CONTRIBUTING.md SECURITY.md CODE_OF_CONDUCT.md docs/*.md docs/format mover/README.md operator/README.md
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

demo: $(STAMP)
	PATH="$(CURDIR)/$(BIN):$$PATH" sh scripts/demo.sh

test: $(STAMP) $(TOOLS) $(SERVERS)
	$(BIN)/python -m pytest -q -m 'not slow and not cluster' $(PYTEST)

test-slow: $(STAMP) $(TOOLS) $(SERVERS)
	$(BIN)/python -m pytest -q -m 'slow and not cluster' $(PYTEST)

# An API server, its controllers and what else the tests of the operator need; the script says so where Go is missing.
$(CLUSTER): scripts/test-servers.sh $(wildcard tests/k8s/server/*)
	sh scripts/test-servers.sh --cluster
	touch $@

# One process: the tests share one cluster.
test-operator: $(STAMP) $(CLUSTER)
	$(BIN)/python -m pytest -q --session-timeout=2400 tests/k8s $(CLUSTER_PYTEST)

soak: $(STAMP) $(TOOLS)
	HYPOTHESIS_PROFILE=soak $(BIN)/python -m pytest -q -m 'not cluster' $(PYTEST)

# Parts of their own, so that `make --keep-going lint` tells all at once.
lint: lint-style lint-format lint-types lint-layers

lint-style: $(STAMP)
	$(BIN)/ruff check .

lint-format: $(STAMP)
	$(BIN)/ruff format --check .

lint-types: $(STAMP) $(TOOLS)
	$(BIN)/mypy

# What import-linter can't see: circles of imports, also those in functions.
lint-layers: $(STAMP) $(TOOLS)
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -q -n 0 tests/test_architecture.py -k "imports or longer"

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

$(INSTALLED)/.installed: pyproject.toml setup.py $(shell find pykopia mover -name '*.py') $(NATIVE)
	$(PYTHON) -m venv --clear $(INSTALLED)
	$(INSTALLED)/bin/python -m pip install --quiet --disable-pip-version-check '.[all]'
	touch $@

bench: $(STAMP) $(INSTALLED)/.installed
	PYKOPIA_EXE=$(CURDIR)/$(INSTALLED)/bin/pykopia $(BIN)/python benchmarks/compare.py $(BENCH)

# About ten minutes; a command that hangs is ended after five.
bench-remote: $(STAMP) $(SERVERS) $(INSTALLED)/.installed
	PYKOPIA_EXE=$(CURDIR)/$(INSTALLED)/bin/pykopia $(BIN)/python benchmarks/compare.py --servers s3 --rounds 2 $(REMOTE)

bench-results: $(STAMP) $(SERVERS) $(INSTALLED)/.installed
	PYKOPIA_EXE=$(CURDIR)/$(INSTALLED)/bin/pykopia $(BIN)/python benchmarks/compare.py --rounds 5 --other-rounds 3 --results benchmarks/RESULTS.md
	PYKOPIA_EXE=$(CURDIR)/$(INSTALLED)/bin/pykopia $(BIN)/python benchmarks/compare.py --servers s3 --rounds 3 --other-rounds 1 --results benchmarks/RESULTS.md

bench-micro: $(STAMP)
	$(BIN)/python -m pytest benchmarks --benchmark-only -p no:randomly

clean:
	rm -rf $(VENV) $(INSTALLED) .servers build dist site *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .benchmarks
	find pykopia -name '__pycache__' -prune -exec rm -rf {} +
	find pykopia \( -name '*.so' -o -name '*.c' \) -delete
