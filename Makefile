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
# One more than there are processors: some tests wait for a service or a container.
JOBS ?= $(shell echo $$(($$(getconf _NPROCESSORS_ONLN) + 1)))
SECONDS ?= 3600
SEED ?= 0
FORMAT ?=

# Percent of the lines of src and api, where engines, browser and real data are absent too.
LEAST_COVERED := 85

# What reads params.yaml, the data and the models of this repository.
MODEL_TESTS := tests/repository tests/api/test_exported.py tests/config/test_params.py \
	tests/pipeline/test_flagship.py tests/preparation/test_examples.py tests/sources/test_file.py \
	tests/sources/test_tree_experiment.py

UV := uv==0.13.8
EXAMPLE := MODEL=tree-survival
# Absolute, so that stages started by DVC find the same tools as we do, before any others.
BIN := $(if $(filter /%,$(VENV)),$(VENV),$(CURDIR)/$(VENV))/bin
export PATH := $(BIN):$(PATH)
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# Texts are UTF-8 for every Python below, whatever the locale is.
export PYTHONUTF8 := 1
# Python keeps what it compiles, though images and CI often forbid it: the installation compiles
# nothing, and a process that compiles all that it imports takes two to three times as long to start.
unexport PYTHONDONTWRITEBYTECODE
# The shell reads these itself, so that no text in them is ever part of a command.
export BASE COMMIT LOG MODEL NAME PORT PULL_REQUEST

# The tracker's client is installed where one is chosen, or asked for.
TRACKER := $(if $(MLFLOW_TRACKING_URI)$(shell sed -n '/^tracker: *mlflow/p' params.yaml),$(VENV)/.tracking)
follow = $(if $(TRACKER),treeline track --if-chosen)
# So is what DVC needs besides for a remote whose address begins so.
SCHEMES := $(firstword $(subst :, ,$(value DVC_REMOTE_URL))) \
	$(shell sed -n 's/^ *url *= *\([a-z]*\):.*/\1/p' .dvc/config .dvc/config.local 2>/dev/null)
REMOTES := $(addprefix $(VENV)/.,$(sort $(filter azure gs,$(SCHEMES))))
# What signs releases is installed where they are signed.
SIGNER := $(if $(SIGNING)$(SIGNING_KEY),$(VENV)/.signing)

MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help setup setup-dev setup-full setup-lab setup-engines run serve repro train track tracking params compare add adopt
.PHONY: example forget score notebook benchmark
.PHONY: pull retrain stale publish report comment outcome pending release ship deploy monitor respond replay gc doctor
.PHONY: propose notify scope remote emulate
.PHONY: check format test test-models test-documents coverage test-wheel fuzz lock image training-image push-image clean
.PHONY: site publish-site package upload-package announce

help: ## List the tasks
	@echo "Treeline ships tabular models from git. Tasks:"
	@echo
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' Makefile
	@echo
	@echo "Settings, given as NAME=value after the task, and their defaults:"
	@echo "  MODEL, FILE, NAME (none)  PORT=$(PORT)  BASE=$(BASE)  IMAGE=$(IMAGE)  PYTHON=$(PYTHON)  VENV=$(VENV)"
	@echo "  FORCE, RECOLLECT, ACCEPT (true or not)  COMMIT, PULL_REQUEST, VERSION, TAG (none)"
	@echo "  SECONDS=$(SECONDS)  SEED=$(SEED)  FORMAT (all): of make fuzz"
	@echo "  JOBS=$(JOBS): tests at a time; 0 runs them one after the other in one process"
	@echo "  ARGS: further options for repro, add, example, score, test, test-wheel, fuzz, lock, benchmark: make test ARGS='-k gate'"

# --- run -----------------------------------------------------------------------------------------

setup: $(VENV)/.train $(TRACKER) $(REMOTES) ## Install what training and serving need, as locked
	$(checkout)
setup-dev: $(VENV)/.dev ## Install besides what checks, tests and notebooks need
	$(checkout)
setup-lab: $(VENV)/.lab ## Install besides MLflow, Optuna, SQL drivers, JupyterLab: all but Java's
	$(checkout)
setup-full: $(VENV)/.full ## Install besides what the service can do with Arrow, pictures, PostgreSQL
	$(checkout)
setup-engines: $(VENV)/.engines ## Install everything: the tools above, H2O and Spark
	$(checkout)

run: setup ## Set up, bring every model up to date, serve those that are: all there is to it
	@status=0; treeline repro $(ARGS) || status=$$?; $(or $(follow),:); \
		[ $$status -le 1 ] || exit $$status; $(serve)

serve: setup ## Serve the exported models on PORT until Ctrl-C
	@$(serve)

repro: setup ## Run the stages that are out of date, for every model
	@status=0; treeline repro $(ARGS) || status=$$?; $(or $(follow),:); exit $$status

train: setup ## The same for one MODEL, up to its export
	$(call need,MODEL,$(EXAMPLE))
	@status=0; treeline train "$$MODEL" || status=$$?; \
		$(if $(follow),$(follow) "$$MODEL",:); exit $$status

track: setup $(VENV)/.tracking ## Record what was trained with MLflow, for MODEL or all
	@treeline track $${MODEL:+"$$MODEL"}

tracking: setup $(VENV)/.tracking ## Record it, and open MLflow's page on TRACKING_PORT until Ctrl-C
	@treeline track || echo "Not all of it is recorded; the page shows the rest" >&2
	@case "$$MLFLOW_TRACKING_URI" in \
	http*) echo "The page is at $$MLFLOW_TRACKING_URI";; \
	*) echo "MLflow: http://127.0.0.1:$(TRACKING_PORT)"; \
		export DO_NOT_TRACK=true MLFLOW_DISABLE_TELEMETRY=true MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false; \
		exec mlflow server --workers 1 --host 127.0.0.1 --port $(TRACKING_PORT) \
			--artifacts-destination .treeline/mlruns \
			--backend-store-uri "$${MLFLOW_TRACKING_URI:-sqlite:///.treeline/mlflow.db}";; esac

params: setup ## Check params.yaml and print the schema it must fit
	@treeline params

example: setup ## Run the example NAME, of examples/, in build/examples
	$(call need,NAME,NAME=fraud)
	@treeline example "$$NAME" $(ARGS)

score: setup ## Score Parquet by an exported model: ARGS="MODEL INPUT OUTPUT"
	@treeline score $(ARGS)

compare: setup ## Compare the models here with those of the commit BASE
	@treeline compare $(call asked,ACCEPT) $(call asked,GO_ON) --base "$$BASE" $${MODEL:+"$$MODEL"}

add: setup ## Draft a model that predicts TARGET from a table FILE, into params.yaml
	$(call need,FILE,FILE=path/to/table.csv TARGET=left)
	$(call need,TARGET,FILE=path/to/table.csv TARGET=left)
	@treeline add "$(FILE)" --target "$(TARGET)" $(ARGS)

adopt: setup ## Take a data FILE of your own as the rows of MODEL
	$(call need,MODEL,$(EXAMPLE))
	$(call need,FILE,$(EXAMPLE) FILE=path/to/table.csv)
	@treeline adopt "$(MODEL)" "$(FILE)"

forget: setup ## Remove MODEL, or what params.yaml declares no more, with all its files
	@treeline forget $${MODEL:+"$$MODEL"}

# --- train and deliver, as the workflows do it (docs/workflows.md) -------------------------------

pull: setup ## Fetch data and models from the shared remote
	@treeline pull

retrain: setup ## Train MODEL, or all, and note what fails for the report
	@treeline retrain $(call asked,RECOLLECT) $(call asked,FORCE) $(call asked,GO_ON) $${MODEL:+"$$MODEL"}

stale: setup ## Ask every source again and say whether a training is due
	@treeline stale

publish: setup $(SIGNER) ## Store what was trained, commit it, push it, release it
	@treeline publish

report: setup ## Write what the training did to build/run/report.md
	@treeline report

comment: setup ## Post that report on COMMIT or PULL_REQUEST
	@treeline comment \
		$(if $(COMMIT),--commit="$$COMMIT",--pull-request="$$PULL_REQUEST")

propose: setup ## Open the pull request of BRANCH, with that report as its text
	@treeline propose

notify: setup ## Open the issue of a scheduled training whose OUTCOME is failure, or close it
	@treeline notify

outcome: setup ## End badly when a person must look at the training
	@treeline outcome

pending: setup ## Say whether there is anything to deploy, or VERSION
	@treeline pending

release: setup ## Fetch the released commit, or VERSION, and its models into build/release
	@treeline release

ship: setup ## Build the image of build/release, check it, push it as IMAGE
	@treeline ship

deploy: setup $(SIGNER) ## Deploy that image (DEPLOY_TO), ask the endpoint, go back if it fails
	@treeline deploy

gc: setup ## Remove data and models that no branch, tag or release needs (ARGS="--remote --dry")
	@treeline gc $(ARGS)

monitor: setup ## Compare what the service behind LOG answers with what was promised, for MODEL or all
	@treeline monitor $${LOG:+--log "$$LOG"} $${MODEL:+"$$MODEL"} $(ARGS)

respond: setup ## Bring the issues of what is monitored up to date; say whether a training can help
	@treeline respond

replay: setup ## Make MODEL again from its commit, or any release, and say whether it is the same
	@treeline replay $${MODEL:---random} $(ARGS)

doctor: setup ## Check the remote, the credentials and what the workflows need
	@treeline doctor

# --- work on the code ----------------------------------------------------------------------------

check: setup-dev ## Everything that can be said without running the code
	@BIN="$(BIN)" VENV="$(VENV)" .ci/check

format: setup-dev ## Rewrite the code the way `make check` wants it
	@ruff check --fix-only --quiet . && ruff format .

# Tests run beside each other on all processors; with several threads each they wait for each other.
test coverage: export OMP_NUM_THREADS := $(or $(OMP_NUM_THREADS),1)
test: setup-dev ## Run the tests
	@python -m pytest --numprocesses $(JOBS) --dist loadgroup --no-loadscope-reorder $(ARGS)

test-models: setup-dev ## Run the tests of what is declared here: models, their data, documents
	@python -m pytest --numprocesses 0 $(MODEL_TESTS) $(ARGS)

test-documents: setup-dev ## Run the tests of the documents
	@python -m pytest --numprocesses 0 tests/repository/test_docs.py $(ARGS)

coverage: setup-dev ## Run the tests and say which lines of src and api they leave out
	@mkdir -p build; status=0; \
	python -m pytest --numprocesses $(JOBS) --dist loadgroup --no-loadscope-reorder \
		--cov --cov-report term-missing:skip-covered --cov-report markdown:build/coverage.md \
		$(if $(ARGS),$(ARGS),--cov-fail-under $(LEAST_COVERED)) || status=$$?; \
	cat build/coverage.md >> "$${GITHUB_STEP_SUMMARY:-/dev/null}"; exit $$status

test-wheel: setup-dev ## Run the API's tests on the built wheel instead of the source tree
	@$(wheel)

scope: ## Say which tests this commit needs: what passed before on the same files is left out
	@"$(PYTHON)" .ci/scope.py

remote: ## Hand the credentials of the DVC remote to the steps that follow, in a workflow
	@"$(PYTHON)" .ci/remote.py

fuzz: setup-dev ## Send hostile bodies to the service for SECONDS, of one FORMAT or all
	@python -m tests.fuzz --seconds "$(SECONDS)" --seed "$(SEED)" $(addprefix --format ,$(FORMAT)) $(ARGS)

notebook: setup-dev ## Run the notebooks from top to bottom and keep what they show
	@jupyter nbconvert --execute --inplace --to notebook --log-level WARN \
		--ExecutePreprocessor.record_timing=False notebooks/*.ipynb

benchmark: setup-dev ## Measure the service and the pipeline
	@python -m benchmarks $(ARGS)

image: ## Build the serving image IMAGE with the models exported here
	@command -v docker >/dev/null || { echo "make image needs docker" >&2; exit 1; }
	@docker build --tag "$(IMAGE)" .

training-image: ## Build the image IMAGE that trains, and let it list its stages
	@command -v docker >/dev/null || { echo "make training-image needs docker" >&2; exit 1; }
	@docker build --build-arg RUNTIME=train --tag "$(IMAGE)" .
	@docker run --rm --network none "$(IMAGE)" dvc stage list --name-only

push-image: ## Push the image IMAGE; by BUILDER, where there is one, for all PLATFORMS
	@if [ -n "$$BUILDER" ]; then docker buildx build --builder "$$BUILDER" \
			$${PLATFORMS:+--platform "$$PLATFORMS"} --sbom=true --provenance=mode=max --push --tag "$(IMAGE)" .; \
		else docker push "$(IMAGE)"; fi

emulate: ## Let this machine run images of the other PLATFORMS, where it is GitHub's
	@.ci/emulate

site: setup-dev ## Build the documentation as a site, into build/site
	@sphinx-build --quiet --fresh-env --fail-on-warning --keep-going -b html docs build/site
	@echo "build/site/index.html"

publish-site: setup-dev ## Push build/site to the branch gh-pages
	@python .ci/site.py

package: setup-dev ## Build wheel, source and notes of this version into build/dist; TAG must be its tag
	@python .ci/package.py $(TAG)

upload-package: ## Upload build/dist to the package index, as the workflow that this is
	@$(create)
	@python -m pip install -qq --target "$(VENV)/uv" --upgrade "$(UV)"
	@"$(VENV)/uv/bin/uv" publish --trusted-publishing always build/dist/*.whl build/dist/*.tar.gz

announce: ## Make a release of TAG on GitHub from build/dist
	@gh release create "$(TAG)" --verify-tag --title "$(TAG)" --notes-file build/dist/NOTES.md \
		build/dist/*.whl build/dist/*.tar.gz

lock: ## Pin and hash every distribution anew (ARGS=--upgrade takes newer ones)
	@$(create)
	@python -m pip install -qq --target "$(VENV)/uv" --upgrade "$(UV)"
	@python requirements/lock.py "$(VENV)/uv/bin/uv" $(ARGS)

clean: ## Remove the environment and all caches of tools; data and models stay
	@$(own); rm -rf "$(VENV)" .coverage* .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis build dist
	@find api src tests -name __pycache__ -prune -exec rm -rf {} +

# --- how it is done ------------------------------------------------------------------------------

# A stamp is newer than what it was installed from. The larger set holds the smaller one.
$(VENV)/.train: pyproject.toml requirements/build.txt requirements/train.txt
	@$(call install,train)
$(VENV)/.dev: pyproject.toml requirements/build.txt requirements/dev.txt
	@$(call install,dev)
	@touch "$(VENV)/.train" "$(VENV)/.tracking" "$(VENV)/.full" "$(VENV)/.signing"
$(VENV)/.tracking: pyproject.toml requirements/build.txt requirements/tracking.txt
	@$(call install,tracking)
$(VENV)/.signing: pyproject.toml requirements/build.txt requirements/signing.txt
	@$(call install,signing)
$(VENV)/.azure $(VENV)/.gs: $(VENV)/.%: pyproject.toml requirements/build.txt requirements/%.txt
	@$(call install,$*)
$(VENV)/.full: $(VENV)/.train pyproject.toml requirements/build.txt requirements/full.txt
	@$(call install,full)
	@touch "$(VENV)/.signing"
$(VENV)/.lab: pyproject.toml requirements/build.txt requirements/lab.txt
	@$(call install,lab)
	@touch "$(VENV)/.train" "$(VENV)/.tracking"
$(VENV)/.engines: pyproject.toml requirements/build.txt requirements/engines.txt
	@$(call install,engines)
	@touch "$(VENV)/.train" "$(VENV)/.dev" "$(VENV)/.lab" "$(VENV)/.tracking" "$(VENV)/.full" \
		"$(VENV)/.signing" "$(VENV)/.azure" "$(VENV)/.gs"

# An environment that was moved or copied points to where it came from.
ifneq ($(shell cat "$(VENV)/.home" 2>/dev/null),$(CURDIR))
.PHONY: $(VENV)/.train $(VENV)/.full $(VENV)/.dev $(VENV)/.lab $(VENV)/.tracking $(VENV)/.signing $(VENV)/.engines $(REMOTES)
endif

# A folder that is no environment of ours is never emptied: it may hold somebody's work.
define own
if [ ! -e "$(VENV)/.home" ] && [ -n "$$(ls -A "$(VENV)" 2>/dev/null)" ]; then \
	echo "$(VENV) is there, and make has not made it: name another folder (VENV=…), or move it away" >&2; \
	exit 1; \
fi
endef

# Create the environment where there is none, or one that was moved or left half-installed.
define create
set -e; home=$$(cat "$(VENV)/.home" 2>/dev/null || true); \
if [ "$$home" != "$(CURDIR)" ] || [ -e "$(VENV)/.unfinished" ] || ! [ -x "$(VENV)/bin/python" ]; then \
	found=; for python in "$(PYTHON)" python3 python3.13 python3.12 python3.14; do \
		"$$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 15))' 2>/dev/null || \
			continue; \
		found=$$python; break; \
	done; \
	[ -n "$$found" ] || { \
		echo "Treeline needs Python 3.11, 3.12, 3.13 or 3.14; neither $(PYTHON) nor python3 is one." >&2; \
		echo "Name yours: make setup PYTHON=/path/to/python3" >&2; exit 1; }; \
	$(own); \
	echo "Creating $(VENV) with $$("$$found" --version)"; \
	rm -rf "$(VENV)"; mkdir -p "$(VENV)"; \
	printf '%s\n' "$(CURDIR)" > "$(VENV)/.home"; touch "$(VENV)/.unfinished"; \
	"$$found" -m venv "$(VENV)"; \
	printf '%s\n' "$(CURDIR)" > "$(VENV)/.home"; rm -f "$(VENV)/.unfinished"; \
fi
endef

# DVC keeps the bytes, git what points to them: without git nothing below would end well.
define install
git rev-parse --git-dir >/dev/null 2>&1 || { \
	echo "This folder is no git repository, and DVC needs one. If it was a zip, make it one, then again:" >&2; \
	echo "  git init && git add --all && git commit --message Treeline" >&2; exit 1; }; \
$(create); touch "$(VENV)/.unfinished"; \
echo "Installing requirements/$(1).txt into $(VENV) (from nothing it takes one to three minutes)"; \
python requirements/install.py $(1); \
rm "$(VENV)/.unfinished"; \
$(storage); \
touch "$(VENV)/.$(1)"
endef

# An absolute path, for DVC's sake (docs/remotes.md); DVC writes no other letters than ASCII.
define storage
printf %s "$(CURDIR)" | LC_ALL=C grep -q '[^ -~]' || \
	dvc config --local remote.local.url >/dev/null 2>&1 || \
	dvc remote modify --local local url "$(CURDIR)/.dvc/storage"
endef

# Any `pip install .` puts a copy in the place of this checkout: edits would do nothing any more, and
# DVC would write down the code here for what the copy did.
define checkout
@python -c 'import os, treeline; assert os.path.samefile(treeline.__path__[0], "src/treeline")' \
	2>/dev/null || { \
	echo "$(VENV) has another treeline than src/treeline; putting this one back" >&2; \
	python requirements/install.py --checkout; }
endef

# Nothing here imports from the source tree: the tests run beside a copy of what they read, the
# wheel comes before the environment, and one of them says whose code it is that they test.
define wheel
set -e; rm -rf build/wheel; mkdir -p build/wheel/work; \
python -m pip wheel -qq --no-deps --no-build-isolation --no-index --wheel-dir build/wheel .; \
python -m pip install -qq --no-deps --no-index --target build/wheel/installed build/wheel/*.whl; \
cp -R tests docs pyproject.toml initializer.sh params.yaml model build/wheel/work; \
export TESTED_WHEEL="$(CURDIR)/build/wheel/installed"; \
cd build/wheel/work; PYTHONPATH="$$TESTED_WHEEL" python -P -m pytest tests/api $(ARGS)
endef

# A switch is on when its variable says so: RECOLLECT=true gives --recollect.
asked = $(if $(filter true yes 1,$($(1))),--$(shell echo $(1) | tr A-Z_ a-z-))

# What params.yaml declares no more is left out: its files may be gone, and nobody makes them again.
serve = left_out=$$(treeline forget --list) && \
	export API_LEAVE_OUT="$${API_LEAVE_OUT:-$$left_out}"; exec ./initializer.sh

define need
@[ -n "$($(1))" ] || { echo "make $@ needs $(1), e.g. make $@ $(2)" >&2; exit 2; }
endef
