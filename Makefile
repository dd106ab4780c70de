# make run    serve the Image API on loopback, nothing else needed
# make test   everything that must hold before a change goes in
#
# Both make their own virtual environment and are quick when it is there.

PYTHON ?= python3
VENV   ?= .venv
VAR    ?= var
HOST   ?= 127.0.0.1
PORT   ?= 9292

# On CI a missing PostgreSQL, MariaDB or RabbitMQ is a failure, not a skip.
ifeq ($(CI),true)
export GLANCE_TEST_REQUIRE_SERVICES ?= 1
endif

bin     := $(VENV)/bin
conf    := $(VAR)/glance-api.conf
pip     := $(bin)/python -m pip --disable-pip-version-check install --quiet
package := setup.cfg setup.py pyproject.toml

.DEFAULT_GOAL := help
.PHONY: help run venv test lint style types imports unit coverage mutants canary canary-tests first-steps samples check-samples docs clean

help:
	@sed -n 's/^# \(make .*\)/\1/p' Makefile

# ---------------------------------------------------------------- environment

$(VENV)/.created:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Python 3.11 or newer is needed; name one with: make PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.run: $(VENV)/.created $(package)
	$(pip) --editable .
	@touch $@

$(VENV)/.test: $(VENV)/.created $(package)
	$(pip) --editable '.[test]'
	@$(pip) --editable '.[lha]' || echo "lhafile could not be built: LHA will not be tested"
	@touch $(VENV)/.run $@

# Servers that tests start; without them their tests are skipped, on CI they fail.
$(VENV)/.servers: tests/servers/requirements.txt $(VENV)/.created
	@$(PYTHON) -m venv $(VENV)/servers && $(VENV)/servers/bin/python -m pip \
	  --disable-pip-version-check install --quiet --prefer-binary -r $< \
	  && touch $@ || echo "Swift could not be installed: it will not be tested"

$(VENV)/.docs: $(VENV)/.created $(package)
	$(pip) --editable '.[docs]'
	@touch $(VENV)/.run $@

venv: $(VENV)/.test

# ------------------------------------------------------------------------ run

define CONFIGURATION
# Written by "make run", each time: copy it before you change it.
# The flavor "fakeauth" believes every token; it serves on loopback only.
[DEFAULT]
bind_host = $(HOST)
bind_port = $(PORT)
workers = 2
enabled_backends = local:file

[glance_store]
default_backend = local

[local]
filesystem_store_datadir = $(abspath $(VAR))/images

[os_glance_staging_store]
filesystem_store_datadir = $(abspath $(VAR))/staging

[os_glance_tasks_store]
filesystem_store_datadir = $(abspath $(VAR))/tasks

[database]
connection = sqlite:///$(abspath $(VAR))/glance.sqlite

[paste_deploy]
flavor = fakeauth
endef

define INVITATION

  The Image API answers at http://$(HOST):$(PORT)/ (Ctrl-C stops it).

  There is no Keystone here: a token is user:project:role. In another terminal:

    python3 -m venv ~/.osc && ~/.osc/bin/pip install python-openstackclient
    export OS_AUTH_TYPE=admin_token OS_ENDPOINT=http://$(HOST):$(PORT)/v2 OS_TOKEN=admin:demo:admin
    ~/.osc/bin/openstack image create --disk-format raw --container-format bare --file README.md hello
    ~/.osc/bin/openstack image list

endef

run: export CONFIGURATION := $(CONFIGURATION)
run: export INVITATION := $(INVITATION)
run: $(VENV)/.run
	@mkdir -p $(VAR)/images $(VAR)/staging $(VAR)/tasks
	@printf '%s\n' "$$CONFIGURATION" > $(conf)
	@$(bin)/glance-manage --config-file $(conf) db sync
	@printf '%s\n' "$$INVITATION"
	@exec $(bin)/glance-api --config-file $(conf)

# ----------------------------------------------------------------------- test

# With -k each part is tried even when another one fails.  Tests wait for servers now and
# then; what the linters need fits in between, and so does one worker more than cores.
WORKERS ?= $(shell expr $$(nproc) + 1)

test: $(VENV)/.test $(VENV)/.servers
	@$(MAKE) --no-print-directory --jobs=2 lint unit

lint: style types imports

style: $(VENV)/.test
	$(bin)/ruff check --output-format concise .
	$(bin)/ruff format --check --quiet .

types: $(VENV)/.test
	$(bin)/mypy

imports: $(VENV)/.test
	$(bin)/lint-imports --no-cache

# All tests: coverage is measured in every Python process that they start, and must not fall below
# the floors. Some tests (TESTS=expression): nothing is measured, unless COVER=1 asks for it.
COVER    ?= $(if $(TESTS),,1)
measured := COVERAGE_PROCESS_START=$(CURDIR)/pyproject.toml
export COVERAGE_FILE := $(CURDIR)/.coverage/data

unit: $(VENV)/.test $(VENV)/.servers
	@rm -rf .coverage && mkdir .coverage; \
	$(if $(COVER),$(measured)) $(bin)/stestr run --concurrency $(WORKERS) $(if $(TESTS),'$(TESTS)'); status=$$?; \
	$(if $(COVER),$(MAKE) --no-print-directory coverage || status=1;) \
	$(bin)/stestr last --subunit | $(bin)/python tests/summary.py; exit $$status

# What the last run covered; for lines that no test runs: .venv/bin/coverage report -m
coverage:
	@$(bin)/coverage combine -q .coverage
	@$(bin)/coverage json -q -o - | $(bin)/python tests/coverage_floor.py $(if $(TESTS),|| true)

# Small errors that no test notices: in the checks of rights, and a sample in whole packages.
mutants: $(VENV)/.test
	$(bin)/python -m tests.mutants

# Libraries whose private parts we use: their newest releases, upper bounds disregarded, in an
# environment of their own (CI: once a week).
canary:
	@$(MAKE) --no-print-directory VENV=$(VENV)/newest canary-tests

canary-tests: $(VENV)/.test
	$(pip) --upgrade --pre $$($(bin)/python -m tests.canary --requirements)
	$(bin)/python -m tests.canary

# The base package alone must be enough for the first steps of a new user.
first-steps:
	@rm -rf $(VENV)/base && $(PYTHON) -m venv $(VENV)/base
	@$(VENV)/base/bin/python -m pip --disable-pip-version-check install --quiet .
	@$(VENV)/base/bin/python tests/first_steps.py

# The files in etc/ that name every option and every rule.
samples: $(VENV)/.test
	@for each in etc/oslo-config-generator/glance-*.conf; do \
	  $(bin)/oslo-config-generator --config-file $$each || exit; done
	@$(bin)/oslopolicy-sample-generator --config-file etc/oslo-config-generator/policy.conf

check-samples: $(VENV)/.test
	@$(bin)/stestr run tests.unit.test_samples

docs: $(VENV)/.docs
	$(bin)/sphinx-build -W -q -b html doc/source doc/build/html

clean:
	rm -rf $(VAR) build doc/build .stestr .coverage .hypothesis .mypy_cache .ruff_cache .import_linter_cache
