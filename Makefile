# The project's commands. `make` lists them, below the headings in the lines with #@.
SHELL := /bin/bash
.SHELLFLAGS := -o pipefail -c
PYTHON ?= python3
BIN := .venv/bin
export PATH := $(CURDIR)/$(BIN):$(CURDIR)/node_modules/.bin:$(PATH)
# Node.js also trusts the system's certificates, as pip does, because some networks use a private certificate authority.
export NODE_USE_SYSTEM_CA := 1
# Keep caches below this folder, and suppress advice to upgrade pinned programs.
export JSII_RUNTIME_PACKAGE_CACHE_ROOT := $(CURDIR)/.cache/jsii
export npm_config_cache := $(CURDIR)/.cache/npm
export npm_config_update_notifier := false
export CDK_HOME := $(CURDIR)/.cache/cdk
export CDK_DISABLE_VERSION_CHECK := 1
export CDK_DISABLE_CLI_TELEMETRY := true
export IPYTHONDIR := $(CURDIR)/.cache/ipython
export MPLCONFIGDIR := $(CURDIR)/.cache/matplotlib
# Without cached bytecode, each synth compiles aws-cdk-lib again.
unexport PYTHONDONTWRITEBYTECODE
# Also accepted: SYSTEMS.
SYSTEM ?= $(SYSTEMS)
# Each system has a module or package in stacks/. Checked here, because setup and tests take minutes.
KNOWN_SYSTEMS := $(filter-out constructs __init__ __pycache__,$(sort $(basename $(notdir $(wildcard stacks/*)))))
UNKNOWN_SYSTEMS := $(filter-out $(KNOWN_SYSTEMS),$(SYSTEM))
ifneq ($(UNKNOWN_SYSTEMS),)
$(error Unknown system: $(UNKNOWN_SYSTEMS) (valid: $(KNOWN_SYSTEMS)))
endif
# Packages that the sandbox needs for these systems, or for all.
NEEDED := setup $(if $(SYSTEM),$(if $(filter analytics_host,$(SYSTEM)),analysis),analysis)
# And those that the end-to-end tests of static_site need.
GENERATORS := $(if $(SYSTEM),$(if $(filter static_site,$(SYSTEM)),generators),generators)
CDK := cdk
# Pytest workers, which take up to 1.5 GB each and often wait for a sandbox. tests/conftest.py orders and groups the tests.
WORKERS ?= 3
PYTEST := pytest -n $(WORKERS)
# With SYSTEM, only tests with one of its names in their path or name.
SPACE := $(subst ,, )
OF_SYSTEM = $(if $(SYSTEM),-k "$(subst $(SPACE), or ,$(strip $(SYSTEM)))")

.DEFAULT_GOAL := help
.PHONY: demo sandbox bootstrap synth deploy walkthrough destroy setup analysis generators unit templates e2e lint types test docs audit grants bench pictures lock sbom clean help

#@ Try it

demo: $(NEEDED) ## deploy every stack to a sandbox on this computer and run every walkthrough (SYSTEM="...", SONGS=path/to/songs.csv)
	@python -m sandbox demo $(if $(SONGS),--songs "$(SONGS)") $(SYSTEM)

sandbox: $(NEEDED) ## deploy every stack to the sandbox and keep it running (SYSTEM="...")
	@python -m sandbox up $(SYSTEM)

#@ Deploy

bootstrap: setup ## run `cdk bootstrap` for your account and the Regions of all stacks, once (ARGS=aws://<account>/<region> for one)
	@$(CDK) bootstrap $(ARGS)

synth: setup ## write every template to cdk.out (STACK=... for one stack, ARGS="-c ...", ARGS=--no-validation for quick loops)
	@$(CDK) synth --quiet $(if $(STACK),--exclusively "$(STACK)") $(ARGS) 2>&1 | sed -e '/^Successfully synthesized/d' -e '/^Supply a stack id/d'
	@echo "The templates are in cdk.out."

deploy: setup ## deploy a stack to your AWS account: make deploy STACK=StaticSite (`cdk ls` lists the stacks)
	@test -n "$(STACK)" || { echo "Name a stack: make deploy STACK=SecurityGroupRevert"; exit 1; }
	@$(CDK) deploy --exclusively "$(STACK)" $(ARGS)

walkthrough: setup $(if $(filter analytics_host,$(SYSTEM)),analysis) ## run a walkthrough in your AWS account: make walkthrough SYSTEM=security_group_revert
	@test -n "$(SYSTEM)" || { echo "Name a system: make walkthrough SYSTEM=security_group_revert"; exit 1; }
	@python -m walkthroughs $(SYSTEM) $(ARGS)

destroy: setup ## destroy a stack in your AWS account: make destroy STACK=StaticSite
	@test -n "$(STACK)" || { echo "Name a stack: make destroy STACK=SecurityGroupRevert"; exit 1; }
	@found=$$($(CDK) list "$(STACK)" $(filter-out --force -f,$(ARGS))) || exit 1; test -n "$$found" || \
	  { echo "No stack of the current settings matches $(STACK): nothing was destroyed."; \
	    echo "Stacks:" $$($(CDK) list $(filter-out --force -f,$(ARGS))); \
	    echo "To name a stack of other settings, pass them, such as a Region that is no longer in multi_region_api:regions:"; \
	    echo "  make destroy STACK=MultiRegionApi-eu-west-1 ARGS=\"-c 'multi_region_api:regions=[\\\"eu-west-1\\\"]'\""; exit 1; }
	@$(CDK) destroy "$(STACK)" $(ARGS) || \
	  { echo "cdk destroy failed; its message is above. Without a terminal, add ARGS=--force. If a certificate is still in use, run the same command again after a few minutes."; exit 1; }

#@ Develop

setup: .venv/done node_modules/done ## install Python packages, Node.js 24 and the CDK CLI below this folder
	@:

.venv/done: locks/requirements-dev.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or later is needed; $(PYTHON) is $$($(PYTHON) --version 2>/dev/null || echo missing). Use another: make PYTHON=python3.12"; exit 1; }
	@echo "Setting up the Python environment in .venv (about 250 MB, a minute or two the first time)"
	@$(PYTHON) -m venv .venv || { echo "Python's venv module is missing. On Debian and Ubuntu: apt-get install python3-venv"; exit 1; }
	@$(BIN)/python -m pip install --progress-bar=off --disable-pip-version-check --require-hashes -r locks/requirements-dev.txt \
	  | sed -un -e 's/^ *Downloading \(.* MB)\).*/  \1/p' -e 's/^ *Using cached \(.* MB)\).*/  \1/p' -e 's/^Installing .*/  installing/p'
	@touch $@

node_modules/done: package.json package-lock.json .venv/done
	@echo "Installing the CDK CLI in node_modules"
	@npm ci --ignore-scripts --loglevel=error --no-audit --no-fund
	@touch $@

analysis: setup .venv/analysis ## install H2O, Java and other packages for analytics_host (about 450 MB)

# Not part of setup, because deploying and the other systems don't need it.
.venv/analysis: .venv/done locks/requirements-analysis.txt
	@echo "Setting up H2O, Java, pandas and Jupyter's kernel in .venv (about 450 MB, a minute or two)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r locks/requirements-analysis.txt
	@touch $@

generators: setup .cache/generators/done ## install MkDocs, Sphinx and SvelteKit, whose sites the tests of static_site build (about 180 MB)
	@:

# A separate environment, because these tests are skipped without it: a failure to install it is only reported.
.cache/generators/done: locks/requirements-generators.txt tests/sandbox/generators/package-lock.json .venv/done
	@echo "Setting up site generators in .cache/generators (about 180 MB, less than a minute)"
	@mkdir -p .cache/generators && cp tests/sandbox/generators/package*.json .cache/generators
	@{ $(PYTHON) -m venv .cache/generators/venv && \
	  .cache/generators/venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r locks/requirements-generators.txt && \
	  cd .cache/generators && npm ci --ignore-scripts --loglevel=error --no-audit --no-fund && touch done; } || \
	  echo "The site generators could not be installed. Tests that need them will be skipped."

unit: setup ## run the unit tests, without synthesis or the sandbox (SYSTEM=static_site for one system)
	@$(PYTEST) -m unit $(OF_SYSTEM)

templates: setup ## synthesize and test the templates, with cdk-nag and cfn-lint (SYSTEM=...)
	@$(PYTEST) -m templates $(OF_SYSTEM)

e2e: $(NEEDED) $(GENERATORS) ## deploy to the sandbox and run the tests and walkthroughs there (SYSTEM=...)
	@ONLY="$(SYSTEM)" $(PYTEST) -m e2e $(OF_SYSTEM)

lint: setup ## check style, types and shell scripts
	@echo "Style: ruff" && ruff check . && ruff format --check .
	@echo "Types: mypy (a minute the first time)" && mypy
	@echo "Shell scripts: shellcheck" && shellcheck -x -P SCRIPTDIR assets/*/host/*.sh

types: setup ## check the stacks against the types of aws-cdk-lib (a minute or two, later seconds)
	@mypy --config-file mypy-aws-cdk.toml

test: $(NEEDED) $(GENERATORS) $(if $(SYSTEM),,lint) ## run lint, unit, templates and e2e (with SYSTEM=..., only that system's tests, without lint)
	@ONLY="$(SYSTEM)" $(PYTEST) $(OF_SYSTEM)

#@ Maintain

docs: setup ## generate docs/reliability.md, tables of docs/security.md and docs/deployment_policies/
	@python -m tests.reliability
	@python -m audit

audit: setup .audit/done ## check all templates with Checkov (downloads 300 MB the first time) and update docs/security.md
	@python -m audit --checkov .audit/bin/checkov

# A separate environment, because its pins conflict with the project's.
.audit/done: locks/requirements-audit.txt .venv/done
	@echo "Setting up Checkov in .audit (about 300 MB, a minute or two)"
	@$(PYTHON) -m venv .audit
	@.audit/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r locks/requirements-audit.txt
	@touch $@

grants: $(NEEDED) ## run the walkthroughs in the sandbox, and document their policies and unused grants (ARGS=--remove: run them without each grant)
	@python -m audit.grants $(ARGS) $(SYSTEM)

bench: setup analysis .bench/done ## run the benchmarks and write docs/benchmarks.md (ARGS=--tests: with the duration of all tests)
	@python -m bench $(ARGS)

# A separate environment, because its pins conflict with the project's.
.bench/done: locks/requirements-bench.txt .venv/done
	@echo "Setting up cloud-custodian in .bench (about 100 MB)"
	@$(PYTHON) -m venv .bench
	@.bench/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r locks/requirements-bench.txt
	@touch $@

pictures: setup analysis ## update the screenshots in docs/ (needs chromium and chromium-driver)
	@mkdir -p docs/pictures && python -m sandbox demo --pictures docs/pictures
	@python -m bench.canary_picture
	@python -m bench.failover_picture
	@COLUMNS=100 python -m sandbox demo --record docs/pictures/demo.svg security_group_revert
	@COLUMNS=100 python -m sandbox demo --record docs/pictures/cost_control.svg cost_control

lock: .venv/done ## resolve requirements-*.txt into locks/, with the hashes of every package
	@$(PYTHON) -m venv .cache/uv && .cache/uv/bin/python -m pip install --quiet --disable-pip-version-check \
	  --require-hashes -r locks/requirements-lock.txt
	@for name in dev analysis audit bench generators lock sbom; do .cache/uv/bin/uv pip compile --quiet --universal --python-version 3.11 \
	  --generate-hashes --no-header --no-annotate requirements-$$name.txt -o locks/requirements-$$name.txt; done

sbom: .cache/sbom/done ## write sbom.cdx.json: the Python and npm packages, and actions, of the last commit as CycloneDX
	@rm -rf .cache/sbom/commit && mkdir .cache/sbom/commit && git archive HEAD | tar -x -C .cache/sbom/commit
	@SYFT_CACHE_DIR=.cache/syft SYFT_JAVASCRIPT_INCLUDE_DEV_DEPENDENCIES=true SYFT_CHECK_FOR_APP_UPDATE=false \
	  .cache/sbom/venv/bin/syft scan --quiet dir:.cache/sbom/commit --source-name aws-reference-architectures \
	  --source-version "$$(git rev-parse HEAD)" --output cyclonedx-json=sbom.cdx.json
	@echo "The SBOM is in sbom.cdx.json."

# A separate environment, because nothing else needs it.
.cache/sbom/done: locks/requirements-sbom.txt .venv/done
	@echo "Setting up Syft in .cache/sbom (about 60 MB)"
	@$(PYTHON) -m venv .cache/sbom/venv
	@.cache/sbom/venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r locks/requirements-sbom.txt
	@touch $@

clean: ## delete everything that was installed or written below this folder, including reports
	@rm -rf .venv .audit .bench node_modules cdk.out sbom.cdx.json .cache .mypy_cache .pytest_cache .ruff_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

help: ## list the targets
	@echo "Start with: make demo"
	@echo "Names for SYSTEM: $(KNOWN_SYSTEMS)"
	@sed -En -e 's/^#@ (.*)/\n\1:/p' -e 's/^([a-z0-9]+):.*## (.*)/  \1\t\2/p' $(MAKEFILE_LIST) | expand -t 15
