# Everything starts here: each target sets up what it needs, in .venv. Wanted beforehand: Python 3.11 or newer, and git.
# Behind a package mirror, set PIP_INDEX_URL and UV_DEFAULT_INDEX.

SHELL := /bin/bash
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

VENV := .venv
PY := $(VENV)/bin/python
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11 python; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
SYNC = $(VENV)/bin/uv pip sync --quiet --require-hashes --python $(PY)

# Two sets of packages: what the product needs, and a superset for tests. Once the larger one is there, everything uses it.
TEST_READY := $(VENV)/.test-synced
RUN_READY := $(or $(wildcard $(TEST_READY)),$(VENV)/.run-synced)

##@ Use
run: $(RUN_READY) ## Web and scheduler for real work, on http://127.0.0.1:$PORT (8000); Ctrl-C stops both
	@$(PY) manage.py up $(if $(PORT),--port $(PORT))

demo: $(RUN_READY) ## The same on a small project, offline, with scripted answers; ONCE=1 ends when all is merged, FRESH=1 begins anew
	@$(PY) -m beebeebrain.demo $(if $(ONCE),--once) $(if $(FRESH),--fresh) $(if $(PORT),--port $(PORT))

##@ Check
test: $(TEST_READY) ## Everything: lint, types, imports, migrations, all tests on SQLite and on PostgreSQL
	@$(PY) -m tests

test-long: $(TEST_READY) ## The tests marked `torture`, on both databases, and on PostgreSQL those that `make test` runs on SQLite alone
	@$(PY) -m tests sqlite -- -m torture
	@$(PY) -m tests postgres -- -m "torture or one_database" --also-one-database

torture: $(TEST_READY) ## Six schedulers on a random graph while processes are killed and databases restarted; ARGS="--seconds 600 --seed 7 --database postgres"
	@$(PY) -m tests.torture $(ARGS)

mutants: $(TEST_READY) ## Take our guards away one by one; each has to make its named test fail. ARGS="epoch" picks some
	@$(PY) -m tests.mutants $(ARGS)

lint types imports migrations: $(TEST_READY) ## One part of `make test`
	@$(PY) -m tests $@

test-sqlite test-postgres: $(TEST_READY) ## The tests on one database; ARGS="inbox -k close" goes to pytest
	@$(PY) -m tests $(@:test-%=%) $(if $(ARGS),-- $(ARGS))

coverage: $(TEST_READY) ## The tests on SQLite, and which lines and branches they leave out
	@$(PY) -m tests sqlite -- --cov --cov-report=term --cov-report=html $(ARGS)

format: $(TEST_READY) ## Format the code and repair what ruff can
	@$(VENV)/bin/ruff check --fix . ; $(VENV)/bin/ruff format .

check-format: $(TEST_READY) ## Say what `make format` would change
	@$(VENV)/bin/ruff format --check .

bench: $(TEST_READY) ## Measure, one line per figure; ONLY=latency picks one group
	@$(PY) -m benchmarks $(ONLY)

bench-peers: $(TEST_READY) ## Install the queues and engines that `make bench` measures beside ours, into .bench; ONLY=dbos picks one
	@$(PY) -m benchmarks.peers $(ONLY)

openapi: $(TEST_READY) ## Write docs/openapi.yaml, docs/errors.md and docs/events.* anew, as the code has them
	@set -e; export BBB_PROFILE=test BBB_HOME=$$(mktemp -d); trap 'rm -rf "$$BBB_HOME"' EXIT; \
	$(PY) manage.py spectacular --validate --fail-on-warn --file "$$BBB_HOME/openapi.yaml"; \
	$(PY) manage.py describe_errors > "$$BBB_HOME/errors.md"; \
	$(PY) manage.py describe_events > "$$BBB_HOME/events.md"; \
	$(PY) manage.py describe_events --format jsonschema > "$$BBB_HOME/events.schema.json"; \
	$(PY) manage.py describe_events --format typescript > "$$BBB_HOME/events.d.ts"; \
	cp "$$BBB_HOME/openapi.yaml" "$$BBB_HOME/errors.md" "$$BBB_HOME"/events.* docs/

##@ Set up
setup: $(TEST_READY) ## Only install what `make test` needs

lock: $(VENV)/.uv ## Write requirements/*.txt anew from pyproject.toml; UPGRADE=1 takes newer versions
	@$(COMPILE) pyproject.toml $(addprefix --extra ,scale celery claude mcp observe dev) -o requirements/test.txt
	@$(COMPILE) pyproject.toml $(addprefix --extra ,scale claude) -c requirements/test.txt -o requirements/run.txt
	@$(COMPILE) requirements/uv.in -c requirements/test.txt -o requirements/uv.txt

COMPILE = UV_CUSTOM_COMPILE_COMMAND="make lock" $(VENV)/bin/uv pip compile --quiet --universal --generate-hashes \
	--no-emit-index-url --python-version 3.11 $(if $(UPGRADE),--upgrade)

clean: ## Remove what was installed, measured and cached here; data in $BBB_HOME stays
	rm -rf $(VENV) .bench .tox .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage* htmlcov staticfiles

help: ## Show this
	@awk -F ':.*## ' '/^##@/ { printf "\n%s\n", substr($$0, 5) } /^[a-z -]+:.*## / { printf "  %-36s %s\n", $$1, $$2 }' Makefile

$(VENV)/.uv: requirements/uv.txt
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed, and none is on the PATH."; exit 1; }
	@test -x $(PY) || $(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); echo "Python's venv module is needed (Debian: python3-venv)."; exit 1; }
	@$(PY) -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/uv.txt
	@touch $@

$(VENV)/.run-synced: requirements/run.txt $(VENV)/.uv
	@echo "Installing what the product needs (600 MB with the agent's client) ..."
	@$(SYNC) requirements/run.txt
	@touch $@

$(TEST_READY): requirements/test.txt $(VENV)/.uv
	@echo "Installing what the tests need (1.2 GB with the agent's client) ..."
	@$(SYNC) requirements/test.txt
	@touch $@

.PHONY: run demo test test-long torture mutants lint types imports migrations test-sqlite test-postgres coverage format check-format bench bench-peers openapi \
	setup lock clean help
