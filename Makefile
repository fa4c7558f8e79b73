# The one command runner. Each target sets up what it needs on first use (scripts/bootstrap).
# Options: make demo CSV=path, make test T="tests/core -k envelope", make bench B=--help.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

RUN := scripts/run
CSV ?= examples/data/patients.csv
T ?=
B ?=
W ?=
NATIVE := build/native/delay.so build/native/floor

WEB_SOURCES := $(shell find web/src web/static web/*.mjs web/*.json -type f 2>/dev/null)

.PHONY: help demo demo-web web test attack bench bench-quick lint format types docs vectors native lock clean \
        ready-demo ready-web ready-dev

help: ## list the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14

demo: ready-demo ## seal a table, open it with members, fail as a thief, lose a laptop (CSV=path)
	@$(RUN) python -m twinlock.cli.demo $(CSV)

demo-web: ready-web web/dist/agent.js ## a clinic in the browser: sign in, unlock the agent, see records open (W=--help)
	@$(RUN) python -m examples.clinic.demo $(W)

web: ready-web web/dist/agent.js ## build the browser agent and its client

test: ready-dev native web/dist/agent.js ## all tests, on real tokens and a PostgreSQL of their own (T="path -k words")
	@$(RUN) scripts/with-postgres python -m pytest -n 2 --dist loadfile -rs $(T)

attack: ready-dev native web/dist/agent.js ## try every claim of docs/threat-model.md
	@$(RUN) scripts/with-postgres python -m attacks

bench: ready-dev native ## measure everything (B=options)
	@$(RUN) scripts/with-postgres python -m bench $(B)

bench-quick: ready-dev native ## measure the main figures, in a minute or two
	@$(RUN) scripts/with-postgres python -m bench --quick $(B)

lint: ready-dev ## ruff
	@$(RUN) ruff check .
	@$(RUN) ruff format --check --quiet . || { echo "Some files are not formatted: make format" >&2; exit 1; }

format: ready-dev ## format the code
	@$(RUN) ruff check --quiet --fix .; $(RUN) ruff format .

types: ready-dev ## mypy --strict, and TypeScript's
	@$(RUN) mypy $(wildcard src scripts attacks bench)
	@cd web && ../scripts/run npm run --silent check

docs: ready-dev ## links, code blocks, error table, requirements without a test
	@$(RUN) python scripts/check_docs.py

vectors: ready-dev ## make the test vectors again; fails when they differ from the files
	@rm -rf build/vectors && mkdir -p build && cp -r vectors build/vectors
	@$(RUN) python -m vectors
	@diff --recursive --brief --exclude=__pycache__ build/vectors vectors

native: ready-dev $(NATIVE) ## the C shim and the benchmark's floor

build/native/%.so: native/%.c native/pkcs11.h
	@mkdir -p $(@D)
	@$(RUN) sh -c '"$$TWINLOCK_CC" -std=c11 -O2 -Wall -Wextra -Werror -fvisibility=hidden -shared -fPIC -o $@ $< -ldl -pthread'

build/native/floor: native/floor.c native/pkcs11.h
	@mkdir -p $(@D)
	@$(RUN) sh -c '"$$TWINLOCK_CC" -std=c11 -O2 -Wall -Wextra -Werror -o $@ $< -ldl'

web/dist/agent.js: $(WEB_SOURCES)
	@scripts/bootstrap web
	@cd web && ../scripts/run npm run --silent build

lock: ## resolve the Python packages anew (needs uv)
	@scripts/lock --upgrade

clean: ## remove what was built; .venv and .tools stay
	@rm -rf build dist web/dist web/build demo-run demo-web .mypy_cache .ruff_cache .pytest_cache .hypothesis
	@find . -name __pycache__ -not -path './.venv/*' -not -path './.tools/*' -prune -exec rm -rf {} +

ready-demo:
	@scripts/bootstrap demo

ready-web:
	@scripts/bootstrap web

ready-dev:
	@scripts/bootstrap dev
