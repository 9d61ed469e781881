# The front door. Needs python3 (3.11 or newer) and make; everything else goes into .venv.

PYTHON ?= python3
PORT ?= 8000
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
PINNED := --constraint .ci/constraints.txt --build-constraint .ci/constraints.txt
# The longest tests stand together: who has run out of tests takes over some of them.
COVERED := $(BIN)/coverage run -m pytest --numprocesses=auto --dist=worksteal

CHROMIUM := $(shell for name in "$$CHROMIUM" chromium chromium-browser google-chrome; do command -v "$$name" && break; done)
FIREFOX := $(shell command -v firefox-esr)
WEBKIT := $(shell command -v WebKitWebDriver >/dev/null && command -v Xvfb)
NPM := $(shell command -v npm)
# From npm: what finds pages hard to use for some people, and service workers as sites have them.
# One installation, because the next would remove what the one before did not save.
AXE := axe-core@4.14.1
WORKBOX := 7.4.1
NODE_PACKAGES := $(AXE) $(addsuffix @$(WORKBOX),workbox-sw workbox-core workbox-routing workbox-strategies)
NODE := $(VENV)/.$(AXE)-workbox@$(WORKBOX)
# pyenv's interpreters need not be on the PATH.
PYENV_PYTHONS = $(wildcard $(or $(PYENV_ROOT),$(HOME)/.pyenv)/versions/3.1[1-3]*/bin/python)

.DELETE_ON_ERROR: # a half-made environment is made again

.PHONY: help demo servers test test-rest test-all prove lint format types matrix coverage docs screenshots bench bench-load bench-scale mutants clean

help: ## Say what there is
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 20

demo: $(VENV)/.demo ## Serve the demo (PORT=8000, HTTPS=1): sign in and watch the session stay alive
	$(if $(HTTPS),DEMO_HTTPS=1 )$(BIN)/python manage.py demo --port "$(PORT)"

servers: $(VENV)/.servers ## Serve the demo beside two resource servers, behind nginx (PORT=8000)
	$(BIN)/python manage.py servers --port "$(PORT)"

test: $(VENV)/.test $(VENV)/.servers $(if $(CHROMIUM),$(VENV)/.browser $(if $(NPM),$(NODE))) ## Test on SQLite, and in Chromium, Firefox and WebKitGTK where they are
	rm -f .coverage*
	$(COVERED)
	TOKENAUTH_TEST_USER_MODEL=tests.Member $(COVERED) -m "users and not browser"
	@echo "left out: PostgreSQL and MariaDB (make test-all)$(if $(CHROMIUM),,, Chromium (not found; CHROMIUM=/path/to/it))$(if $(FIREFOX),,, Firefox (firefox-esr not found))$(if $(WEBKIT),,, WebKitGTK (WebKitWebDriver or Xvfb not found))$(if $(NPM),,, axe-core and Workbox (npm not found))"

# What knows no database is not repeated on each.
DATABASE_FREE = test_benchmarks test_checks test_conf test_demo test_docs test_example_id test_fastapi test_harness test_interleavings test_key_checks test_languages \
  test_layers test_gates test_gateway_jwks test_nginx test_servers test_slow_uploads session/test_devices session/test_keys session/test_rotation session/test_tokens api/test_schema \
  resource/test_authentication resource/test_checks resource/test_expiry resource/test_keys resource/test_middleware resource/test_revocations \
  resource/test_standalone resource/test_unavailable resource/test_bound_sessions device/test_binding_model device/test_challenges device/test_checks device/test_demo device/test_proofs device/test_tokens \
  request/test_bounce request/test_caching request/test_cookies request/test_loops request/test_origins
DATABASES = -m "not browser" $(DATABASE_FREE:%=--ignore=tests/%.py)

# What `make test` leaves out. Nothing may be missing here, coverage of the combined runs neither.
test-rest: export TOKENAUTH_ROUNDS ?= 10
test-rest: export TOKENAUTH_STATEFUL_EXAMPLES ?= 10
test-rest: export TOKENAUTH_FUZZ_EXAMPLES ?= 100
test-rest: $(VENV)/.test $(VENV)/.databases
	TOKENAUTH_TEST_DATABASE=postgresql $(COVERED) $(DATABASES)
	TOKENAUTH_TEST_DATABASE=mariadb $(COVERED) $(DATABASES)
	$(MAKE) --no-print-directory coverage

test-all: export TOKENAUTH_REQUIRE_ALL = 1
test-all: ## Test on SQLite, PostgreSQL, MariaDB and in three browsers; all must be there
	$(MAKE) --no-print-directory test
	$(MAKE) --no-print-directory test-rest

# Twelve thousand examples, two thousand lives, thousands of races: half an hour on two cores.
prove: $(VENV)/.test $(VENV)/.databases ## Run everything long, print one table: check, violations, runs
	$(BIN)/python -m tests.prove

lint: $(VENV)/.lint ## Check format and style (ruff)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

format: $(VENV)/.lint ## Let ruff put format and style right
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: $(VENV)/.types ## Check types (mypy --strict)
	$(BIN)/mypy

# A missing interpreter is an error in CI and a skipped environment elsewhere; tox says which.
# WITH="py312-django60" takes one, TESTS="tests/test_flow.py" a part, TOKENAUTH_TEST_DATABASE another database.
matrix: $(VENV)/.matrix ## Test the built wheel with each Python and its Django (tox)
	$(BIN)/tox run $(if $(WITH),-e $(WITH)) --skip-missing-interpreters $(if $(CI),false,true) $(if $(PYENV_PYTHONS),--discover $(PYENV_PYTHONS)) $(if $(TESTS),-- $(TESTS))

# What the runs before have left in .coverage.*, on whichever database and Python.
coverage: $(VENV)/.test ## Say what no test has run; fail if anything is left
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report --fail-under=100

docs: $(VENV)/.docs ## Build the documentation: docs/_build/index.html
	$(BIN)/python docs/generate.py
	$(BIN)/sphinx-build --quiet --nitpicky --fail-on-warning --keep-going docs docs/_build

screenshots: $(VENV)/.screenshots ## Take the pictures in docs/images, from the demo
	$(BIN)/python docs/screenshots.py

# Three minutes; COLUMNS="tokenauth session_db" takes two. docs/topics/performance.md
bench: $(VENV)/.bench ## Compare what a signed-in request costs (COLUMNS="tokenauth session_db", DATABASE=postgresql)
	$(BIN)/python -m benchmarks.requests --columns "$(COLUMNS)" --database "$(or $(DATABASE),sqlite)"

bench-load: $(VENV)/.bench $(VENV)/.test ## Compare requests per second behind gunicorn (wrk; COLUMNS, DATABASE as above)
	$(BIN)/python -m benchmarks.load --columns "$(COLUMNS)" $(if $(DATABASE),--database "$(DATABASE)")

bench-scale: $(VENV)/.test $(VENV)/.databases ## Time the admin over ROWS=1000000 sessions, weigh what a refresh writes (PostgreSQL)
	$(BIN)/python -m benchmarks.scale --tries 3 --rows "$(or $(ROWS),1000000)"

mutants: $(VENV)/.mutants ## Break the code on purpose; list what no test notices (long)
	$(BIN)/python -m tests.mutants

clean: ## Remove what the others made
	rm -rf $(VENV) .tox .coverage* .hypothesis .mypy_cache .pytest_cache .ruff_cache build dist docs/_build
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "Python 3.11 or newer is needed, and '$(PYTHON)' is not: try make PYTHON=python3.13"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' || { \
	  echo "Python's venv module is missing. On Debian and Ubuntu: apt install python3-venv"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(PIP) --constraint .ci/constraints.txt --upgrade pip

# Stamps: what is installed is not installed again until the pins change.
$(VENV)/.installed: pyproject.toml .ci/constraints.txt | $(BIN)/python
	$(PIP) $(PINNED) --editable .
	@touch $@

$(NODE): | $(BIN)/python
	npm install --prefix $(VENV) --no-save --ignore-scripts --no-audit --no-fund --loglevel=error $(NODE_PACKAGES) && touch $@ \
	  || echo "$(NODE_PACKAGES) were not installed: the tests that need them will say so"

$(VENV)/.%: $(VENV)/.installed
	$(PIP) $(PINNED) --group $*
	@touch $@
