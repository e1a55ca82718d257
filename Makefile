# `make demo` and `make test` set up everything they need; `make help` lists the rest.

BIN := .venv/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)
export ANSIBLE_CONFIG := $(CURDIR)/ansible.cfg

.PHONY: help setup demo demo-down test lint unit dates molecule e2e bench enrol campaign xtensa fuzz decade docs lock dist clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## packages and virtual environment, as a real site needs them
	@scripts/setup site

demo: ## from nothing to three devices that talk, on this machine
	@scripts/setup
	@python -m virtual.demo up

demo-down: ## remove the demo's container and processes, and nothing else
	@test -x $(BIN)/python || { echo "There is no demo here: nothing to do."; exit 0; }; \
	python -m virtual.demo down

test: ## lint, unit and module tests, molecule, end to end
	@scripts/setup test
	@$(MAKE) --no-print-directory lint
	@echo "Now the unit tests, and molecule beside them; each says what it found when it is done (a few minutes)"
	@$(MAKE) --no-print-directory --jobs 2 --output-sync=target unit molecule
	@$(MAKE) --no-print-directory e2e

lint: ## ruff, mypy, layers, yamllint, ansible-lint, ansible-test sanity, ansible-doc
	scripts/lint

# They wait more than they work, so that one more of them than there are processors takes less time.
WORKERS = $$(($$(nproc) + 1))
# The files run in another order with each commit, since none may know what another one did; ORDER=SEED repeats one.
ORDER ?= $(shell git rev-parse --short HEAD 2>/dev/null || echo 0)

unit: ## everything that needs no container; its files are in memory where a tmpfs has room for them
	python -m pytest tests -m "not podman" --numprocesses $(WORKERS) --dist worksteal --order $(ORDER)

# A certificate that ended, a year that has a day more: whatever mixes a fixed time with the clock fails here.
# In a directory of their own: 400 days from now pytest would tidy away the files of all runs that go on today.
dates: ## the unit tests 400 days from now, and on a 29 February
	@scripts/setup test
	@set -eu; base=$$(mktemp -d -p "$$(python -m tests.support.scratch)"); trap 'rm -rf "$$base"' EXIT; \
	export FAKETIME_DONT_FAKE_MONOTONIC=1 PYTHONPATH="$(CURDIR)/tests/dates"; \
	for when in '+400d' '@2028-02-29 11:59:00'; do \
	    echo "the unit tests at $$when:"; \
	    faketime -f "$$when" python -m pytest tests -m "not podman" --numprocesses $(WORKERS) --dist worksteal \
	        --basetemp "$$base/t"; \
	done

# Named, since molecule looks for it in a clone of git only.
molecule: ## the roles of the controller, each alone, and the real playbooks on a virtual Pi: check, converge, idempotence, verify
	molecule --base-config .config/molecule/config.yml test --all

e2e: ## the whole chain, and everything that must be refused
	python -m pytest tests -m podman --verbose

bench: ## what certificates, NVS images, batches, the agent of a device and the ways to keep a CA's key cost, beside what they cannot do without and what others take
	@python benchmarks/issue.py
	@python benchmarks/nvs.py
	@python benchmarks/batch.py
	@PYTHONPATH=. python benchmarks/burn.py
	@PYTHONPATH=. python benchmarks/device.py
	@PYTHONPATH=. python benchmarks/renewal.py
	@PYTHONPATH=. python benchmarks/key.py

enrol: ## enrolments a second through a virtual Pi, beside cfssl behind the same nginx
	@scripts/setup test
	@PYTHONPATH=. python benchmarks/enrol.py --requests 100000

xtensa: ## the device in C on an ESP8266's processor, in qemu: it enrols and holds a session, with what that takes
	@scripts/setup test
	@PYTHONPATH=. python benchmarks/xtensa.py

# Hostile requests go to the real application behind a socket, with the libraries of here and of both releases of Debian.
campaign: ## 1,000 virtual boards at 4 stations, a tenth bad; 1,000 fleets robbed and cut in any order; 10,000 hostile requests a route; a disk that fails at every write
	@scripts/setup test
	@PYTHONPATH=. python benchmarks/campaign.py
	@PYTHONPATH=. python benchmarks/any_order.py
	@PYTHONPATH=.:src python -m tests.support.hostile 10000
	@PYTHONPATH=.:src python -m tests.support.broken_disk

# The tests have a short cut of it; what it finds stands in a file that it names, and the same input finds it again.
SECONDS_EACH ?= 60
fuzz: ## everything in the C core that reads what others have written, under the sanitizers, for a minute each
	@scripts/setup test
	@PYTHONPATH=. python -m tests.support.c_fuzz $(SECONDS_EACH)

decade: ## ten years of a site in an hour or two, under a clock that is moved: is anybody locked out?
	@scripts/setup test
	@PYTHONPATH=. python benchmarks/decade.py

docs: ## write docs/cli.md and docs/variables.md from the commands and the roles
	@PYTHONPATH=. python scripts/reference.py

lock: ## resolve requirements.lock and tests/scanners.lock anew (needs uv)
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
	    --all-extras --no-emit-package fleetmint pyproject.toml -o requirements.lock
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
	    tests/scanners.in -o tests/scanners.lock

dist: ## a release of what is committed, in dist/: wheel, source, collection, firmware, SHA256SUMS
	@scripts/setup site
	@python scripts/dist.py

clean: demo-down ## remove the virtual environment; states of sites stay
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis
