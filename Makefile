# A user sets ARGS, LOGGER, TORCH and what `make help` has in capitals. The rest is set-up, all inside this folder.
EXPERIMENT ?= digits_mlp
RUN ?= runs/$(EXPERIMENT)
SEARCH ?= configs/search/$(EXPERIMENT).yaml
PYTHON ?= python3

TORCH ?= $(patsubst .venv/.ready%,%,$(wildcard .venv/.ready*))# as it was set up: cpu, or nothing for the usual builds
$(if $(filter-out cpu,$(TORCH)),$(error TORCH=$(TORCH): cpu is the only choice: make setup TORCH= installs the usual builds))

BIN := .venv/bin
READY := .venv/.ready$(TORCH)
RUN_PYTHON = $(BIN)/python -m arc_light
OPTIONS = -c configs/trainer.yaml -c configs/$(EXPERIMENT).yaml
FIT_OPTIONS = $(OPTIONS) $(if $(LOGGER),--logger $(LOGGER))
FIT_OPTIONS += $(if $(LOOP),--loop $(LOOP))# automatic, handwritten, manual [part:loops]
REPEAT = repeat $(if $(SEEDS),--seeds "$(SEEDS)") $(if $(WORKERS),--workers $(WORKERS))
export UV_CACHE_DIR ?= $(CURDIR)/.cache/uv
export UV_PYTHON_DOWNLOADS ?= never
export MPLCONFIGDIR ?= $(CURDIR)/.cache/matplotlib
# the compiler takes no path with a space; without the variable it writes into TMPDIR
$(if $(word 2,$(CURDIR)),,$(eval export TORCHINDUCTOR_CACHE_DIR ?= $(CURDIR)/.cache/inductor))
UV = $(or $(shell command -v uv 2>/dev/null),.cache/tools/bin/uv)
SCHEMA = $(RUN_PYTHON) fit --print_schema > .cache/schema.json && mv .cache/schema.json configs/schema.json
AGAIN = $(MAKE) --silent --no-print-directory# by a name, for --dry-run would run $(MAKE)
LOCK = import fcntl, os, sys; lock = os.open(".cache/lock", os.O_CREAT | os.O_RDWR); os.set_inheritable(lock, True); \
	fcntl.flock(lock, fcntl.LOCK_EX); os.execvp(sys.argv[1], sys.argv[1:])

.DEFAULT_GOAL := help
.PHONY: $(shell sed -nE 's/^([a-z-]+):.*## .*/\1/p' $(MAKEFILE_LIST))

help: ## list the targets
	@sed -nE 's/^([a-z-]+):[^#]*## (.*)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 24
setup: $(READY) ## install what the project needs into .venv

ifdef LOCKED
SYNC = $(UV) pip sync --python $(BIN)/python $(if $(shell test -t 2 && echo terminal),,--quiet)
ifeq ($(TORCH),cpu)
# the lock has no hashes of these builds, and none of what the CUDA build requires is needed
CPU = /^[a-z]/ { torch = /^torch(vision)?==/; cut = /^((cuda|nvidia)-|triton==)/ } \
	!cut && (!torch || /==/) { print torch ? $$1 : $$0 }
INSTALL = awk '$(CPU)' requirements.lock | $(SYNC) --torch-backend cpu - \
	|| { echo "TORCH=cpu: could not be installed, see above: make setup TORCH= installs the usual builds" >&2; exit 1; }
else
INSTALL = $(SYNC) --require-hashes requirements.lock
endif
$(READY): export UV_COMPILE_BYTECODE = 1
$(READY): requirements.lock pyproject.toml
	@echo "installing what requirements.lock lists into .venv, once: $(if $(TORCH),1.4,6) GB" >&2
	@command -v uv >/dev/null || test -x .cache/tools/bin/uv \
		|| $(PYTHON) -m pip install --quiet --no-cache-dir --disable-pip-version-check --root-user-action=ignore --target .cache/tools uv
	@$(UV) venv --quiet --allow-existing --python $(PYTHON) .venv
	@$(INSTALL)
	@$(UV) pip install --quiet --python $(BIN)/python --no-deps --editable .
	@test -e configs/schema.json || { $(SCHEMA); } 2>/dev/null || true # an editor can do without
	@rm -f .venv/.ready* && touch $@
else # of several at once, one sets up and the others wait for it
$(READY): requirements.lock pyproject.toml
	@mkdir -p .cache
	@$(PYTHON) -c '$(LOCK)' $(AGAIN) LOCKED=yes $@
endif

# [part:folder]
data/digits: | $(READY)
	@$(BIN)/python -c "from arc_light.data.digits_folder import write_digits; write_digits('$@')"
ifeq ($(EXPERIMENT),digits_folder)
train crossval show doctor tune shards: data/digits
parity: data/digits# [part:loops]
endif
# [/part:folder]
train: $(READY) ## train and test an EXPERIMENT, with further options in ARGS; five times with SEEDS=5
	@$(RUN_PYTHON) $(if $(SEEDS),$(REPEAT),fit) $(FIT_OPTIONS) $(ARGS)
# [part:digits]
crossval: $(READY) ## train on each of the FOLDS of a cross-validation, by default 5, WORKERS of them at once
	@$(RUN_PYTHON) $(REPEAT) --folds $(or $(FOLDS),5) $(FIT_OPTIONS) $(ARGS)
# [/part:digits]
show: $(READY) ## print the options of an EXPERIMENT, and where each comes from
	@$(RUN_PYTHON) show $(FIT_OPTIONS) $(ARGS)
doctor: $(READY) ## check an EXPERIMENT before it is trained for long
search: $(READY) ## search over options as in SEARCH, a file of configs/search, WORKERS trials at once
	@$(RUN_PYTHON) search --search "$(SEARCH)" $(if $(WORKERS),--workers $(WORKERS)) $(ARGS)
tune: $(READY) ## find the largest batch size that fits an EXPERIMENT, and a learning rate to try
shards: $(READY) ## write the data of an EXPERIMENT to disk, for --data.shards to stream it
doctor tune shards:; @$(RUN_PYTHON) $@ $(OPTIONS) $(ARGS)
evaluate: $(READY) ## evaluate the best checkpoint of a RUN
# [part:wandb]
sync: $(READY) ## upload a RUN that W&B recorded offline
	@$(RUN_PYTHON) sync --run "$(RUN)" $(ARGS)
# [/part:wandb]
predict: $(READY) ## predict INPUT, an image or a folder of images, with a RUN
	@$(RUN_PYTHON) predict --run "$(RUN)" --input "$(INPUT)" $(ARGS)
report: $(READY) ## write report.html, the page of a RUN
compare: $(READY) ## compare RUNS, or the newest of an EXPERIMENT
	@$(RUN_PYTHON) compare $(or $(RUNS),"$(RUN)") $(ARGS)
prune: $(READY) ## remove checkpoints of RUNS except the best and the last, after confirmation
	@$(RUN_PYTHON) prune $(or $(RUNS),"$(RUN)") $(ARGS)
# [part:tensorboard]
board: $(READY) ## show all runs in TensorBoard
	@$(RUN_PYTHON) board $(ARGS)
# [/part:tensorboard]
# [part:demo]
demo: $(READY) ## classify images with a RUN's model on a page in the browser
# [/part:demo]
export: $(READY) ## write a RUN's model to a file in a FORMAT: onnx, pt2, safetensors or ckpt
	@$(RUN_PYTHON) export --run "$(RUN)" $(if $(FORMAT),--format $(FORMAT)) $(ARGS)
resume: $(READY) ## continue a RUN, for example with ARGS="--trainer.max_epochs 30"
evaluate report demo resume:; @$(RUN_PYTHON) $@ --run "$(RUN)" $(ARGS)
# [part:loops]
parity: $(READY) ## train an EXPERIMENT with three loops and compare every bit
	@$(RUN_PYTHON) parity $(OPTIONS) $(ARGS)
# [/part:loops]
new-experiment: $(READY) ## write the file of an experiment to begin with: NAME=my_own
# [part:classification]
new-model: $(READY) ## write the files of a model to begin with
new-data: $(READY) ## write the files of a data set to begin with
# [/part:classification]
new-task: $(READY) ## write the files of a task to begin with
new-experiment new-model new-data new-task:
	@$(RUN_PYTHON) new $(@:new-%=%) "$(NAME)" --like configs/$(EXPERIMENT).yaml
schema: $(READY) ## write configs/schema.json, with which editors check and complete YAML files
	@$(SCHEMA)
test test-slow: export OMP_NUM_THREADS ?= 1# each core has a process of tests already
test: $(READY) ## run the fast tests
	@$(BIN)/python -m pytest -n auto --dist loadfile -m "not slow" $(ARGS)
test-slow: $(READY) ## run the slow tests
	@$(BIN)/python -m pytest -n auto --dist worksteal -m slow $(ARGS) || test $$? -eq 5 # there are none
lint: $(READY) ## check style and types
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy
# [part:template]
bench: $(READY) ## measure speed and memory against peers, all or ONLY="start step", with further options in ARGS
	@$(BIN)/python -m benchmarks $(ONLY) $(ARGS)
# [/part:template]
extra: $(READY) ## install the optional packages of a command: EXTRA=demo, export, hub, interpolation, parquet, search, streaming
	@test -n "$(EXTRA)" || { echo "make extra: EXTRA is empty: give demo, export, hub, interpolation, parquet, search, streaming" >&2; exit 2; }
	@$(UV) pip install --quiet --python $(BIN)/python --constraint requirements.lock --editable ".[$(EXTRA)]"
lock: $(READY) ## choose the newest versions that fit together
	@$(UV) pip compile --quiet --upgrade --universal --generate-hashes --no-header --no-emit-index-url --group dev -o requirements.lock pyproject.toml
clean: ## remove what set-up and checks made, but no run and no data
	@rm -rf .venv .cache .mypy_cache .pytest_cache .ruff_cache
