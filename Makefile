# make demo and make test need Python 3.11 or newer with pip, make and git; the rest is set up here.
# `make help` lists the targets.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.ONESHELL:
.SILENT:
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

PYTHON_IN := .venv/bin/python
READY := .venv/.ready

# $(call step,what it is,command): say it, run it, and name it when it fails.
define step
printf '\n== %s\n' "$(1)"
$(2) || { code=$$?; printf '\nmake $@: %s failed (exit %s)\n' "$(1)" "$$code" >&2; exit "$$code"; }
endef

.PHONY: help setup browser postgres azurite axe demo test coverage lint format bench torture schemas clean

help:
	echo "make demo     plan and apply the CDNOW example on the emulator, and check every member"
	echo "make test     every check and test"
	echo "make coverage the same, with the coverage of lines and branches; takes a third longer"
	echo "make lint     the checks alone"
	echo "make format   rewrite what ruff can"
	echo "make schemas  write schemas/ from the code"
	echo "make bench    the benchmarks, and their figures into docs/benchmarks.md; FULL=1: longer; QUICK=1: a look"
	echo "make torture  applies killed, cut off and failing at every point; property tests with fresh chance"
	echo "make clean    remove what the others made, .venv too"

$(READY): pyproject.toml constraints.txt .ci/setup
	.ci/setup
	touch $(READY)

setup: $(READY)

browser:
	.ci/browser

postgres:
	.ci/postgres

azurite:
	.ci/azurite

axe:
	.ci/axe

demo: $(READY)
	$(PYTHON_IN) -m examples.demo

lint: $(READY)
	$(call step,ruff check,$(PYTHON_IN) -m ruff check .)
	$(call step,ruff format,$(PYTHON_IN) -m ruff format --check .)
	$(call step,mypy,$(PYTHON_IN) -m mypy)
	$(call step,import-linter,$(dir $(PYTHON_IN))lint-imports)

test: $(READY) browser postgres azurite axe lint
	# In memory, the tests do not wait for the disk. They also run programs that they write.
	free=$$(df --output=avail -k /dev/shm 2>/dev/null | tail -n 1 || true)
	if [ "$${free:-0}" -ge 4194304 ]; then
	  folder=$$(mktemp -d /dev/shm/segctl-tests.XXXXXX)
	  trap 'rm -rf "$$folder"' EXIT
	  chmod 711 "$$folder" # PostgreSQL runs as another user if make runs as root
	  cp "$$(type -P true)" "$$folder/true"
	  if "$$folder/true" 2>/dev/null; then export TMPDIR=$$folder; fi
	fi
	# Without stored bytecode, each process that they start compiles all modules.
	unset PYTHONDONTWRITEBYTECODE
	$(call step,pytest,HYPOTHESIS_PROFILE=ci $(PYTHON_IN) -m pytest -n 2 --dist worksteal $(PYTEST_OPTIONS))
	printf '\nmake test: everything passed\n'

coverage: PYTEST_OPTIONS := --cov --cov-report=term
coverage: test

schemas: $(READY)
	SEGCTL_REGENERATE=1 $(PYTHON_IN) -m pytest -q tests/manifests/test_manifests_schema.py tests/render/test_render_schemas.py

format: $(READY)
	$(PYTHON_IN) -m ruff check --fix .
	$(PYTHON_IN) -m ruff format .

# FULL=1 adds a hundred million members, and waits for whoever takes minutes at ten thousand;
# QUICK=1 is a first look.
ifdef FULL
RECONCILE := --sizes 1e4,1e5,1e6,1e7,1e8 --patience 900
endif
ifdef QUICK
RECONCILE := --sizes 1e4,1e6 --runs 1 --patience 10
PACKING := --scale 0.1
APPLY := --requests 200 --changes 100000
EMULATOR := --seconds 1 --profiles 100000
EMULATOR_SCALE := --seconds 1 --users 100000
STARTUP := --runs 3
COMPOSED := --rows 1e6 --runs 1
endif

bench: $(READY)
	$(call step,packing,$(PYTHON_IN) -m benchmarks.packing $(PACKING))
	$(call step,apply,$(PYTHON_IN) -m benchmarks.apply_throughput $(APPLY))
	$(call step,emulator,$(PYTHON_IN) -m benchmarks.emulator_throughput $(EMULATOR))
	$(call step,emulator with ten million memberships,$(PYTHON_IN) -m benchmarks.emulator_scale $(EMULATOR_SCALE))
	$(call step,startup,$(PYTHON_IN) -m benchmarks.startup $(STARTUP))
	$(call step,composed segments,$(PYTHON_IN) -m benchmarks.composed $(COMPOSED))
	$(call step,reconcile,$(PYTHON_IN) -m benchmarks.reconcile $(RECONCILE))
	$(PYTHON_IN) -m benchmarks.page
	printf '\nmake bench: the results are in benchmarks/results and in docs/benchmarks.md\n'

torture: $(READY) postgres
	echo "every point at which an apply can die, then every property test with 2,000 examples; takes a while"
	$(call step,every point,SEGCTL_TORTURE=1 $(PYTHON_IN) -m pytest -n 2 tests/torture)
	$(call step,pytest,HYPOTHESIS_PROFILE=torture $(PYTHON_IN) -m pytest -n 2 -m hypothesis)

clean:
	rm -rf .venv build dist htmlcov .coverage .coverage.* .hypothesis .pytest_cache .mypy_cache
	rm -rf .ruff_cache .import_linter_cache .cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
