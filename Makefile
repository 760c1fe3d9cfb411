# Everything that is run here. `make` alone lists it.
SHELL := /bin/bash
.SHELLFLAGS := -o pipefail -c
PYTHON ?= python3
BIN := .venv/bin
export PATH := $(CURDIR)/$(BIN):$(CURDIR)/node_modules/.bin:$(PATH)
# Node trusts the certificates of the system too, as pip does: some networks have their own.
export NODE_USE_SYSTEM_CA := 1
# Caches stay below this folder; no advice to install what does not fit.
export JSII_RUNTIME_PACKAGE_CACHE_ROOT := $(CURDIR)/.cache/jsii
export npm_config_cache := $(CURDIR)/.cache/npm
export npm_config_update_notifier := false
export CDK_HOME := $(CURDIR)/.cache/cdk
export CDK_DISABLE_VERSION_CHECK := 1
export CDK_DISABLE_CLI_TELEMETRY := true
export IPYTHONDIR := $(CURDIR)/.cache/ipython
export MPLCONFIGDIR := $(CURDIR)/.cache/matplotlib
# Compiled modules are kept: without them each synth compiles aws-cdk-lib anew.
unexport PYTHONDONTWRITEBYTECODE
SYSTEMS ?= $(SYSTEM)
# What the sandbox needs for these systems, or for all.
NEEDED := setup $(if $(SYSTEMS),$(if $(filter analytics_host,$(SYSTEMS)),analysis),analysis)
CDK := cdk
# What the CDK CLI says that is no user's business; warnings and errors are not among it.
CHATTER := /program\.js:[0-9:]*$$ Acknowledge.with..Annotation::info ^Successfully.synthesized ^Supply.a.stack.id ^$$

.DEFAULT_GOAL := help
.PHONY: help setup analysis lock synth bootstrap lint test audit demo pictures sandbox story bench deploy destroy clean

help: ## list what can be run
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: .venv/done node_modules/done ## install Python packages, Node 24 and the CDK CLI, below this folder only
	@:

.venv/done: locks/dev.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed; $(PYTHON) is $$($(PYTHON) --version 2>&1). Name another: make PYTHON=python3.12"; exit 1; }
	@echo "Setting up the Python environment in .venv (about 250 MB, a minute or two the first time)"
	@$(PYTHON) -m venv .venv || { echo "Python's venv module is missing. On Debian and Ubuntu: apt-get install python3-venv"; exit 1; }
	@$(BIN)/python -m pip install --progress-bar=off --disable-pip-version-check --require-hashes -r locks/dev.txt \
	  | sed -un -e 's/^ *Downloading \(.* MB)\).*/  \1/p' -e 's/^ *Using cached \(.* MB)\).*/  \1/p' -e 's/^Installing .*/  installing/p'
	@touch $@

node_modules/done: package.json package-lock.json .venv/done
	@echo "Installing the CDK CLI in node_modules"
	@npm ci --loglevel=error --no-audit --no-fund
	@touch $@

analysis: setup .venv/analysis ## install H2O, Java and what else analytics_host needs here (about 450 MB)

# Apart from setup: who only deploys, or tries another system, need not wait for it.
.venv/analysis: .venv/done locks/analysis.txt
	@echo "Setting up H2O, Java, pandas and Jupyter's kernel in .venv (about 450 MB, a minute or two)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r locks/analysis.txt
	@touch $@

synth: setup ## write every stack's template to cdk.out (STACK=... that one's, ARGS="-c ...")
	@$(CDK) synth --quiet $(if $(STACK),--exclusively "$(STACK)") $(ARGS) 2>&1 | sed $(foreach line,$(CHATTER),-e '\,$(line),d')
	@echo "The templates are in cdk.out."

bootstrap: setup ## prepare the account and region of your AWS configuration for CDK, once
	@$(CDK) bootstrap $(ARGS)

lint: setup ## style, types, and the templates against CloudFormation's schemas
	@ruff check . && ruff format --check .
	@mypy
	@shellcheck -x -P SCRIPTDIR assets/*/host/*.sh

test: setup lint analysis ## everything: style, types, unit, template and security tests, walkthroughs in the sandbox
	@pytest

audit: setup .audit/done ## look at every template with Checkov too (about 300 MB the first time), and write the tables of docs/security.md
	@python -m audit --checkov .audit/bin/checkov

# In an environment of its own: it pins what others pin too, otherwise.
.audit/done: locks/audit.txt .venv/done
	@echo "Setting up Checkov in .audit (about 300 MB, a minute or two)"
	@$(PYTHON) -m venv .audit
	@.audit/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r locks/audit.txt
	@touch $@

demo: $(NEEDED) ## deploy every stack to an emulator on this computer and play every walkthrough (SYSTEMS="...", SONGS=...)
	@python -m sandbox demo $(if $(SONGS),--songs "$(SONGS)") $(SYSTEMS)

pictures: setup analysis ## take the screenshots of docs/ anew (needs chromium and chromium-driver)
	@mkdir -p docs/pictures && python -m sandbox demo --pictures docs/pictures
	@COLUMNS=100 python -m sandbox demo --record docs/pictures/demo.svg security_group_revert

sandbox: $(NEEDED) ## start the emulator with every stack deployed, and leave it up (SYSTEMS="...")
	@python -m sandbox up $(SYSTEMS)

story: setup $(if $(filter analytics_host,$(SYSTEM)),analysis) ## play one walkthrough in the account of your AWS configuration: make story SYSTEM=security_group_revert
	@test -n "$(SYSTEM)" || { echo "Which story? make story SYSTEM=security_group_revert"; exit 1; }
	@python -m walkthroughs $(SYSTEM) $(ARGS)

bench: setup analysis ## measure, and write docs/benchmarks.md
	@python -m bench

deploy: setup ## deploy to the real account of your AWS configuration: make deploy STACK=SecurityGroupRevert
	@test -n "$(STACK)" || { echo "Which stack? make deploy STACK=SecurityGroupRevert"; exit 1; }
	@$(CDK) deploy --exclusively "$(STACK)" $(ARGS)

destroy: setup ## remove from the real account: make destroy STACK=SecurityGroupRevert
	@test -n "$(STACK)" || { echo "Which stack? make destroy STACK=SecurityGroupRevert"; exit 1; }
	@found=$$($(CDK) list "$(STACK)" $(filter-out --force -f,$(ARGS))) || exit 1; test -n "$$found" || \
	  { echo "No stack of the current settings matches $(STACK): nothing was destroyed."; \
	    echo "Stacks:" $$($(CDK) list $(filter-out --force -f,$(ARGS))); \
	    echo "To name a region that is no longer in multi_region_api:regions:"; \
	    echo "  make destroy STACK=MultiRegionApi-eu-west-1 ARGS=\"-c 'multi_region_api:regions=[\\\"eu-west-1\\\"]'\""; exit 1; }
	@$(CDK) destroy "$(STACK)" $(ARGS) || \
	  { echo "cdk destroy failed; its message is above. If a certificate is still in use, run the same command again after some minutes."; exit 1; }

lock: .venv/done ## resolve requirements-*.txt again, into locks/, with the hashes of every package
	@$(PYTHON) -m venv .cache/uv && .cache/uv/bin/python -m pip install --quiet --disable-pip-version-check uv==0.13.9
	@for name in dev analysis audit; do .cache/uv/bin/uv pip compile --quiet --universal --python-version 3.11 \
	  --generate-hashes --no-header --no-annotate requirements-$$name.txt -o locks/$$name.txt; done

clean: ## remove everything that was set up or written here
	@rm -rf .venv .audit node_modules cdk.out .cache .mypy_cache .pytest_cache .ruff_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
