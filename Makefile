# Everything runs in the virtual environment of the project, made by the first target that needs it.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV ?= .venv
BIN := $(VENV)/bin
DEPENDENCIES := $(VENV)/.dependencies
STAMP := $(VENV)/.installed
TOOLS := $(VENV)/.tools
NATIVE := $(shell find pykopia -name '*.pyx' -o -name '*.pxd' -o -name '*.pxi' -o -name '*.h')

PACKAGED := $(wildcard pyproject.toml setup.py MANIFEST.in README.md LICENSE scripts/build_packages.py $(shell git ls-files pykopia mover operator 2>/dev/null))

# For example: make test PYTEST="-k splitter", make bench BENCH="--sets big --rounds 5",
# make bench-remote REMOTE="--round-trips 50 --rounds 5"
PYTEST ?= -n auto
CLUSTER_PYTEST ?=
FUZZ_SECONDS ?= 28800
ASAN_SECONDS ?= 120
FAULTS ?= --write
# Tests of the rooms that `make coverage` measures, and those that plainly use them.
COVERED ?= $(wildcard $(addprefix tests/,format storage repository index maintenance api conformance testing snapshot) $(addprefix tests/cli/test_,maintenance.py repair.py repository.py storage_flags.py))
MUTATION ?=
BENCH ?=
REMOTE ?=

SERVERS := .servers/.installed
CLUSTER := .servers/.cluster

# A wheel with its modules compiled, as users have it: what stands in the working tree is compiled at each start where
# PYTHONDONTWRITEBYTECODE is set, and found by a longer way.
INSTALLED := .venv-installed

# The programs that build and check packages, and the packages that a user of all extras has.
PACKAGING := .venv-packaging
RUNTIME := .venv-runtime

# For example: make wheel-test WHEEL_PYTHONS="python3.11 python3.13" WHEEL_TEST="-- tests/format"
WHEEL_PYTHONS ?= $(PYTHON)
WHEEL_TEST ?=

.PHONY: help venv crds docs demo test coverage test-slow test-operator soak faults fuzz asan mutation lint lint-style lint-format lint-types lint-layers format packages wheel-test pure-test oldest-test stranger sbom licenses audit newcomer bench bench-remote bench-results bench-micro clean

help:
	@echo 'make demo       back up a folder, change it, back it up again, list, verify, restore, compare'
	@echo 'make test       the whole test suite but the slow tests; those with a real kopia if KOPIA_EXE or PATH has one'
	@echo 'make coverage   how much of format, storage, repository, index and maintenance the tests cover: 95 % or more'
	@echo 'make test-slow  the slow tests'
	@echo 'make test-operator  the operator on a real Kubernetes API server, which Go builds once in some minutes'
	@echo 'make soak       the slow tests and all properties with many more examples: an hour or more'
	@echo 'make faults     every operation with a fault at each call of its storage; writes the table in docs/reliability.md; FAULTS="--most 8"'
	@echo 'make fuzz       all decoders with changed golden data, for FUZZ_SECONDS (8 hours); what fails is kept in tests/fuzz/corpus'
	@echo 'make asan       native modules built with sanitizers: the fuzz targets for ASAN_SECONDS, and the tests of native code'
	@echo 'make mutation   small faults in decoders and decisions, which their tests must notice; MUTATION="--most 200 pykopia.format.pack"'
	@echo 'make lint       style, types and import layers'
	@echo 'make format     let ruff correct what it can'
	@echo 'make bench      pykopia beside kopia, restic and borg, as far as they are on the machine'
	@echo 'make bench-remote  the same against S3 behind a proxy with latency; REMOTE="--servers s3,gcs,azure,sftp,webdav"'
	@echo 'make bench-results  the same at length: writes benchmarks/RESULTS.md; half an hour of a quiet machine'
	@echo 'make bench-micro  hashes, ciphers, compressors, splitters, indexes and opening, each by itself'
	@echo 'make docs       the documentation as a site, in site/, and its spelling'
	@echo 'make packages   the source distribution and the wheel, in dist/; the wheel is built twice, with equal bytes'
	@echo 'make wheel-test  a part of the tests on the installed wheel; WHEEL_PYTHONS="python3.11 python3.13"'
	@echo 'make pure-test  the same part on a wheel that was built without a compiler'
	@echo 'make oldest-test  the same part with the oldest dependencies that pyproject.toml allows'
	@echo 'make stranger   the wheel on a fresh Debian without a compiler, where a new user types the tutorial; as root'
	@echo 'make sbom       the dependencies, with all extras, as a bill of materials (CycloneDX)'
	@echo 'make licenses   the licences of the dependencies'
	@echo 'make audit      known weaknesses of the dependencies'
	@echo 'make newcomer   what a new contributor does, in a clone: environment, change, test, lint, docs'
	@echo 'make crds       generate the CustomResourceDefinitions of the operator'
	@echo 'make venv       the virtual environment alone'
	@echo 'make clean      remove what was built, and the virtual environment'

venv: $(STAMP) $(TOOLS)

# A change of the dependencies compiles nothing; a change of a native module compiles that module alone.
# Changes in Python take effect at once.
$(STAMP): $(DEPENDENCIES) setup.py $(NATIVE)
	$(if $(filter-out $(DEPENDENCIES),$?),$(BIN)/python setup.py --quiet build_ext --inplace)
	touch $@

$(DEPENDENCIES): pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed: make PYTHON=...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1'
	$(BIN)/python -m pip install --quiet --group dev --group servers
	PYKOPIA_PURE=1 PYTHONWARNINGS=ignore $(BIN)/python -m pip install --quiet --no-build-isolation --editable '.[all]'
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

# Tests start hundreds of programs; where nothing keeps bytecode, each start compiles all packages again.
unexport PYTHONDONTWRITEBYTECODE

test: $(STAMP) $(TOOLS) $(SERVERS)
	$(BIN)/python -m pytest -q -m 'not slow and not cluster' $(PYTEST)

# Fails where the tests cover less than 95 % of the lines or of the branches of a room.
coverage: $(STAMP) $(TOOLS) $(SERVERS)
	$(BIN)/python -m pytest -q -m 'not slow and not cluster' $(PYTEST) --cov=pykopia --cov-branch --cov-report= $(COVERED)
	$(BIN)/coverage json --quiet -o .coverage.json
	$(BIN)/python scripts/coverage_of_rooms.py .coverage.json

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

faults: $(STAMP) $(TOOLS)
	$(BIN)/python -m tests.faults $(FAULTS)

fuzz: $(STAMP)
	$(BIN)/python -m tests.fuzz --seconds $(FUZZ_SECONDS)

asan: $(STAMP) $(TOOLS)
	sh scripts/asan.sh $(BIN)/python $(ASAN_SECONDS)

mutation: $(STAMP) $(TOOLS)
	$(BIN)/python -m tests.mutation $(MUTATION)

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

$(PACKAGING)/.installed: scripts/requirements.txt
	$(PYTHON) -m venv $(PACKAGING)
	$(PACKAGING)/bin/python -m pip install --quiet --disable-pip-version-check --requirement scripts/requirements.txt
	touch $@

# One rule for both packages: an older wheel in dist/ is never tested in place of the new one. Folders are among what they
# depend on, for files that were removed.
dist/packages/.built: $(PACKAGING)/.installed $(PACKAGED) $(filter-out ./,$(sort $(dir $(PACKAGED))))
	rm -rf dist/packages
	$(PACKAGING)/bin/python scripts/build_packages.py dist/packages
	touch $@

packages: dist/packages/.built

wheel-test: packages
	$(PACKAGING)/bin/python scripts/test_wheel.py $(WHEEL_PYTHONS:%=--python %) dist/packages/*.whl $(WHEEL_TEST)

pure-test: $(PACKAGING)/.installed
	rm -rf dist/pure
	$(PACKAGING)/bin/python scripts/build_packages.py --pure dist/pure
	$(PACKAGING)/bin/python scripts/test_wheel.py --pure --python $(PYTHON) dist/pure/*.whl $(WHEEL_TEST)

oldest-test: packages
	$(PACKAGING)/bin/python scripts/test_wheel.py --oldest --python $(PYTHON) dist/packages/*.whl $(WHEEL_TEST)

# Exit status 77 says that mmdebstrap is missing, or the rights of root.
stranger: packages
	$(PYTHON) scripts/stranger.py dist/packages/*.whl

$(RUNTIME)/.installed: pyproject.toml $(PACKAGING)/.installed
	$(PACKAGING)/bin/uv venv --quiet --clear --python $(PYTHON) $(RUNTIME)
	PYKOPIA_PURE=1 $(PACKAGING)/bin/uv pip install --quiet --python $(RUNTIME)/bin/python '.[all]'
	touch $@

sbom: $(RUNTIME)/.installed
	mkdir -p dist
	$(PACKAGING)/bin/cyclonedx-py environment --output-reproducible --output-file dist/sbom.cdx.json $(RUNTIME)/bin/python

# An error for a package that may be passed on only under the GPL or the AGPL, or without a known licence.
licenses: $(RUNTIME)/.installed
	mkdir -p dist
	$(PACKAGING)/bin/pip-licenses --python $(RUNTIME)/bin/python --from mixed --format markdown --output-file dist/licenses.md
	! grep -E '\| +(UNKNOWN|A?GPL[^|]*|GNU (Affero )?General Public[^|]*) +\|$$' dist/licenses.md

# Strict: a package that the service does not know is an error, not a pass.
audit: $(RUNTIME)/.installed
	$(PACKAGING)/bin/uv pip freeze --quiet --python $(RUNTIME)/bin/python | grep -v '^pykopia @' > $(RUNTIME)/packages.txt
	$(PACKAGING)/bin/pip-audit --strict --no-deps --disable-pip --requirement $(RUNTIME)/packages.txt

newcomer:
	sh scripts/newcomer.sh $(PYTHON)

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
	rm -rf $(VENV) $(INSTALLED) $(PACKAGING) $(RUNTIME) .servers build dist site *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .benchmarks
	find pykopia -name '__pycache__' -prune -exec rm -rf {} +
	find pykopia \( -name '*.so' -o -name '*.c' \) -delete
