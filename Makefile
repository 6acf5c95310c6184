# Every task by one word; CI and the hooks use the same words. `make` alone lists them.

PYTHON ?= python3.11
VENV ?= .venv
PORT ?= 8000
TRACKING_PORT ?= 5000
BASE ?= HEAD
IMAGE ?= treeline
MODEL ?=
FILE ?=
NAME ?=
ARGS ?=
JOBS ?= auto

UV := uv==0.13.8
EXAMPLE := MODEL=tree-survival
# Absolute, so that stages started by DVC find the same tools as we do, before any others.
BIN := $(if $(filter /%,$(VENV)),$(VENV),$(CURDIR)/$(VENV))/bin
TOOLS := actionlint check-jsonschema codespell dvc hadolint lint-imports mypy pytest python ruff \
	shellcheck yamllint zizmor
export PATH := $(BIN):$(PATH)
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# The shell reads these itself, so that no text in them is ever part of a command.
export BASE COMMIT MODEL NAME PORT PULL_REQUEST

# The tracker's client is installed where one is chosen, or asked for.
TRACKER := $(if $(MLFLOW_TRACKING_URI)$(shell sed -n '/^tracker: *mlflow/p' params.yaml),$(VENV)/.tracking)
follow = $(if $(TRACKER),python -m treeline.commands.track --if-chosen)

MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help setup setup-dev setup-lab setup-engines run serve repro train track tracking params compare adopt
.PHONY: example score notebook benchmark
.PHONY: pull retrain stale publish report comment release ship deploy doctor
.PHONY: check format test test-wheel lock image clean

help: ## List the tasks
	@echo "Treeline ships tabular models from git. Tasks:"
	@echo
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' Makefile
	@echo
	@echo "Settings, given as NAME=value after the task, and their defaults:"
	@echo "  MODEL, FILE, NAME (none)  PORT=$(PORT)  BASE=$(BASE)  IMAGE=$(IMAGE)  PYTHON=$(PYTHON)  VENV=$(VENV)"
	@echo "  FORCE, RECOLLECT, ACCEPT (true or not)  COMMIT, PULL_REQUEST, VERSION (none)"
	@echo "  JOBS=$(JOBS): tests at a time; 0 runs them one after the other in one process"
	@echo "  ARGS: further options for repro, example, score, test, test-wheel, lock, benchmark: make test ARGS='-k gate'"

# --- run -----------------------------------------------------------------------------------------

setup: $(VENV)/.train $(TRACKER) ## Install what training and serving need, as locked
setup-dev: $(VENV)/.dev ## Install besides what checks, tests and notebooks need
setup-lab: $(VENV)/.lab ## Install besides MLflow, Optuna, SQL drivers, JupyterLab: all but Java's
setup-engines: $(VENV)/.engines ## Install everything: the tools above, H2O and Spark

run: repro serve ## Set up, bring every model up to date, serve them: all there is to it

serve: setup ## Serve the exported models on PORT until Ctrl-C
	@exec ./initializer.sh

repro: setup ## Run the stages that are out of date, for every model
	@echo "Bringing every model up to date"
	@status=0; dvc repro --keep-going $(ARGS) || status=1; $(or $(follow),:); [ $$status = 0 ] || { \
		echo "A stage failed; what passed is there all the same: make serve" >&2; exit 1; }

train: setup ## The same for one MODEL, up to its export
	$(call need,MODEL,$(EXAMPLE))
	@echo "Bringing $(MODEL) up to date"
	@status=0; dvc repro "export@$(MODEL)" || status=1; \
		$(if $(follow),$(follow) "$(MODEL)",:); exit $$status

track: setup $(VENV)/.tracking ## Record what was trained with MLflow, for MODEL or all
	@python -m treeline.commands.track $${MODEL:+"$$MODEL"}

tracking: setup $(VENV)/.tracking ## Record it, and open MLflow's page on TRACKING_PORT until Ctrl-C
	-@python -m treeline.commands.track
	@case "$$MLFLOW_TRACKING_URI" in \
	http*) echo "The page is at $$MLFLOW_TRACKING_URI";; \
	*) echo "MLflow: http://127.0.0.1:$(TRACKING_PORT)"; \
		export DO_NOT_TRACK=true MLFLOW_DISABLE_TELEMETRY=true MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false; \
		exec mlflow server --workers 1 --host 127.0.0.1 --port $(TRACKING_PORT) \
			--artifacts-destination .treeline/mlruns \
			--backend-store-uri "$${MLFLOW_TRACKING_URI:-sqlite:///.treeline/mlflow.db}";; esac

params: setup ## Check params.yaml and print the schema it must fit
	@python -m treeline.commands.params

example: setup ## Run the example NAME, of examples/, in build/examples
	$(call need,NAME,NAME=fraud)
	@python -m treeline.commands.example "$$NAME" $(ARGS)

score: setup ## Score Parquet by an exported model: ARGS="MODEL INPUT OUTPUT"
	@python -m treeline.commands.score $(ARGS)

compare: setup ## Compare the models here with those of the commit BASE
	@python -m treeline.commands.compare $(call asked,ACCEPT) --base "$$BASE" $${MODEL:+"$$MODEL"}

adopt: setup ## Take a data FILE of your own as the rows of MODEL
	$(call need,MODEL,$(EXAMPLE))
	$(call need,FILE,$(EXAMPLE) FILE=path/to/table.csv)
	@python -m treeline.commands.adopt "$(MODEL)" "$(FILE)"

# --- train and deliver, as the workflows do it (docs/workflows.md) -------------------------------

pull: setup ## Fetch data and models from the shared remote
	@python -m treeline.commands.pull

retrain: setup ## Train MODEL, or all, and note what fails for the report
	@python -m treeline.commands.retrain $(call asked,RECOLLECT) $(call asked,FORCE) $${MODEL:+"$$MODEL"}

stale: setup ## Ask every source again and say whether a training is due
	@python -m treeline.commands.stale

publish: setup ## Store what was trained, commit it, push it, release it
	@python -m treeline.commands.publish

report: setup ## Write what the training did to build/run/report.md
	@python -m treeline.commands.report

comment: setup ## Post that report on COMMIT or PULL_REQUEST
	@python -m treeline.commands.comment \
		$(if $(COMMIT),--commit="$$COMMIT",--pull-request="$$PULL_REQUEST")

release: setup ## Fetch the released commit, or VERSION, and its models into build/release
	@python -m treeline.commands.release

ship: setup ## Build the image of build/release, check it, push it as IMAGE
	@python -m treeline.commands.ship

deploy: setup ## Deploy that image on Koyeb, ask the endpoint, go back if it fails
	@python -m treeline.commands.deploy

doctor: setup ## Check the remote, the credentials and what the workflows need
	@python -m treeline.commands.doctor

# --- work on the code ----------------------------------------------------------------------------

check: setup-dev ## Everything that can be said without running the code
	@$(checks)

format: setup-dev ## Rewrite the code the way `make check` wants it
	@ruff check --fix-only --quiet . && ruff format .

test: setup-dev ## Run the tests
	@python -m pytest --numprocesses $(JOBS) --dist loadgroup --no-loadscope-reorder $(ARGS)

test-wheel: setup-dev ## Run the API's tests on the built wheel instead of the source tree
	@$(wheel)

notebook: setup-dev ## Run the notebooks from top to bottom and keep what they show
	@jupyter nbconvert --execute --inplace --to notebook --log-level WARN \
		--ExecutePreprocessor.record_timing=False notebooks/*.ipynb

benchmark: setup-dev ## Measure the service and the pipeline
	@python -m benchmarks $(ARGS)

image: ## Build the serving image IMAGE with the models exported here
	@command -v docker >/dev/null || { echo "make image needs docker" >&2; exit 1; }
	@docker build --tag "$(IMAGE)" .

lock: ## Pin and hash every distribution anew (ARGS=--upgrade takes newer ones)
	@$(create)
	@python -m pip install -qq --target "$(VENV)/uv" --upgrade "$(UV)"
	@python requirements/lock.py "$(VENV)/uv/bin/uv" $(ARGS)

clean: ## Remove the environment and all caches of tools; data and models stay
	@rm -rf "$(VENV)" .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis build dist
	@find api src tests -name __pycache__ -prune -exec rm -rf {} +

# --- how it is done ------------------------------------------------------------------------------

# A stamp is newer than what it was installed from. The larger set holds the smaller one.
$(VENV)/.train: pyproject.toml requirements/build.txt requirements/train.txt
	@$(call install,train)
$(VENV)/.dev: pyproject.toml requirements/build.txt requirements/dev.txt
	@$(call install,dev)
	@touch "$(VENV)/.train" "$(VENV)/.tracking"
$(VENV)/.tracking: pyproject.toml requirements/build.txt requirements/tracking.txt
	@$(call install,tracking)
$(VENV)/.lab: pyproject.toml requirements/build.txt requirements/lab.txt
	@$(call install,lab)
	@touch "$(VENV)/.train" "$(VENV)/.tracking"
$(VENV)/.engines: pyproject.toml requirements/build.txt requirements/engines.txt
	@$(call install,engines)
	@touch "$(VENV)/.train" "$(VENV)/.dev" "$(VENV)/.lab" "$(VENV)/.tracking"

# An environment that was moved or copied points to where it came from.
ifneq ($(shell cat "$(VENV)/.home" 2>/dev/null),$(CURDIR))
.PHONY: $(VENV)/.train $(VENV)/.dev $(VENV)/.lab $(VENV)/.tracking $(VENV)/.engines
endif

# Create the environment where there is none, or one that was moved or left half-installed.
define create
set -e; home=$$(cat "$(VENV)/.home" 2>/dev/null || true); \
if [ "$$home" != "$(CURDIR)" ] || [ -e "$(VENV)/.unfinished" ] || ! [ -x "$(VENV)/bin/python" ]; then \
	found=; for python in "$(PYTHON)" python3; do \
		"$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || continue; \
		found=$$python; break; \
	done; \
	[ -n "$$found" ] || { \
		echo "Treeline needs Python 3.11 or later; neither $(PYTHON) nor python3 is one." >&2; \
		echo "Name yours: make setup PYTHON=/path/to/python3" >&2; exit 1; }; \
	echo "Creating $(VENV) with $$("$$found" --version)"; \
	"$$found" -m venv --clear "$(VENV)"; \
	printf '%s\n' "$(CURDIR)" > "$(VENV)/.home"; \
fi
endef

# The backend comes first and by itself: it builds ours and the few that come as source only.
define install
$(create); touch "$(VENV)/.unfinished"; \
echo "Installing requirements/$(1).txt into $(VENV) (from nothing it takes about a minute)"; \
pip="python -m pip install -qq --no-deps"; \
$$pip --no-compile --require-hashes -r requirements/build.txt; \
$$pip --no-compile --require-hashes --no-build-isolation -r requirements/$(1).txt; \
rm "$(VENV)/.unfinished"; \
$$pip --no-index --no-build-isolation --editable .; \
dvc config --local remote.local.url >/dev/null 2>&1 || \
	dvc remote modify --local local url "$(CURDIR)/.dvc/storage"; \
touch "$(VENV)/.$(1)"
endef

# Nothing here imports from the source tree: the tests run beside a copy of what they read, the
# wheel comes before the environment, and one of them says whose code it is that they test.
define wheel
set -e; rm -rf build/wheel; mkdir -p build/wheel/work; \
python -m pip wheel -qq --no-deps --no-build-isolation --no-index --wheel-dir build/wheel .; \
python -m pip install -qq --no-deps --no-index --target build/wheel/installed build/wheel/*.whl; \
cp -R tests pyproject.toml initializer.sh params.yaml model build/wheel/work; \
export TESTED_WHEEL="$(CURDIR)/build/wheel/installed"; \
cd build/wheel/work; PYTHONPATH="$$TESTED_WHEEL" python -P -m pytest tests/api $(ARGS)
endef

# A switch is on when its variable says so: RECOLLECT=true gives --recollect.
asked = $(if $(filter true yes 1,$($(1))),--$(shell echo $(1) | tr A-Z a-z))

define need
@[ -n "$($(1))" ] || { echo "make $@ needs $(1), e.g. make $@ $(2)" >&2; exit 2; }
endef

# Every check runs, whatever the others found; only those that fail speak. actionlint knows the
# inputs of an action by its tag: the tag is put back where a commit is pinned.
define checks
failed=0; \
step() { \
	printf '  %-42s' "$$1"; shift; \
	if said=$$("$$@" 2>&1); then echo ok; else echo FAILED; echo "$$said"; failed=1; fi; }; \
ours() { \
	for tool in $(TOOLS); do \
		[ "$$(command -v $$tool)" = "$(BIN)/$$tool" ] || { echo "$$tool is not $(VENV)'s"; return 1; }; \
	done; }; \
files() { git ls-files --cached --others --exclude-standard -- "$$@"; }; \
workflows() { \
	wrong=0; \
	for file in $$(files '.github/workflows/*.yml'); do \
		tagged=$$(sed -E 's/@[0-9a-f]{40} +# (v[0-9]+)[0-9.]*/@\1/' "$$file") && \
		printf '%s\n' "$$tagged" | actionlint -no-color -stdin-filename "$$file" - || wrong=1; \
	done; return $$wrong; }; \
fits() { \
	found=$$(files "$$2"); [ -z "$$found" ] || check-jsonschema --builtin-schema "vendor.$$1" $$found; }; \
step "tools come from $(VENV)" ours; \
step "lock files fit pyproject.toml" python requirements/lock.py; \
step "format (ruff)" ruff format --check --output-format concise .; \
step "lint (ruff)" ruff check --quiet --output-format concise .; \
step "types (mypy)" mypy; \
step "imports go one way (import-linter)" lint-imports --no-logo; \
step "pipeline parses (dvc)" dvc dag; \
step "YAML (yamllint)" yamllint --strict .; \
step "workflows (actionlint)" workflows; \
step "workflows are safe (zizmor)" \
	zizmor --offline --no-progress --strict-collection --min-severity=medium .github; \
step "workflows fit their schema" fits github-workflows '.github/workflows/*.yml'; \
step "actions fit their schema" fits github-actions '.github/actions/*/action.yml'; \
step "dependabot.yml fits its schema" fits dependabot .github/dependabot.yml; \
step "compose.yaml fits its schema" fits compose-spec deploy/compose.yaml; \
step "shell (shellcheck)" shellcheck $$(files '*.sh' .ci/run); \
step "images (hadolint)" hadolint $$(files Dockerfile 'deploy/*/Dockerfile'); \
step "spelling (codespell)" codespell; \
[ $$failed = 0 ]
endef
