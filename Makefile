# Everything a contributor runs. `make` alone lists it.
.DEFAULT_GOAL := help
.PHONY: help run test acceptance parts coverage test-clients prove lint bench pins system-test system-clients system-bench

PYTHON ?= python3
ARGS ?=
PY := .venv/bin/python
PYTEST := $(PY) -m pytest
QUICK := $(PYTEST) -m "not prove and not clients"
# Debian packages are installed only where that was asked for.
SYSTEM ?= $(if $(filter true,$(CI)),1)

help: ## this list
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 22

run: .venv/.run ## a real model server behind the gateway, in ./var; ARGS="--port-base 9443" moves its ports
	@exec $(PY) -m gateway demo $(ARGS)

test: lint system-test ## lint, then every test that needs no foreign language; SYSTEM=1 installs Debian packages for it
	$(if $(ARGS),$(QUICK) $(ARGS),@$(MAKE) --no-print-directory --jobs=2 --output-sync=target acceptance parts)

# The two halves of the tests run side by side: much of their time is waiting. Each is told when it is over.
acceptance: .venv/.dev
	$(QUICK) tests/acceptance

parts: coverage
	$(QUICK) --ignore=tests/acceptance --ignore=tests/core --ignore=tests/policy

coverage: .venv/.dev ## core and policy: every branch is tested
	$(PYTEST) tests/core tests/policy -q --cov --cov-report=term-missing:skip-covered --cov-fail-under=100

test-clients: .venv/.dev system-clients ## the sample clients in C#, Go, Java, Python and R against the demo
	$(PYTEST) -m clients tests/clients $(ARGS)

prove: .venv/.dev system-test ## long proofs: faults, fuzzing, soak
	$(PYTEST) -m prove $(ARGS)

lint: .venv/.dev ## format, lint, types, floors
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy
	.venv/bin/lint-imports

bench: .venv/.dev system-bench ## what a request costs, beside other proxies; SYSTEM=1 installs those that Debian has
	@$(PY) -m bench $(ARGS)

pins: ## take newer releases into constraints*.txt; needs uv
	scripts/pins

system-test system-clients system-bench: system-%:
	$(if $(SYSTEM),scripts/system-packages $*)

.venv/.run: constraints.txt pyproject.toml scripts/environment
	@PYTHON=$(PYTHON) scripts/environment run

.venv/.dev: constraints-dev.txt constraints-sslyze.txt pyproject.toml scripts/environment
	@PYTHON=$(PYTHON) scripts/environment dev
