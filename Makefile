# Every target does its own set-up: git, make and Python 3.11 to 3.13 are enough.
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3; do \
	$$p -c 'import sys; sys.exit(not (3,11) <= sys.version_info[:2] < (3,14))' 2>/dev/null && { echo $$p; break; }; done)
VENV := .venv
BIN := $(VENV)/bin
DEMO_HOME ?= .lowtide/demo
DEV_HOME ?= .lowtide/home

.PHONY: demo test test-full lanes check bench dev lock setup clean

# The lock is complete, so nothing is left to resolve; an older pip takes a minute longer over it. Byte code is made on all
# cores, and not of tests and of modules that nothing here imports; what is left out is made where it is imported.
$(VENV)/.locked: requirements-dev.lock pyproject.toml
	@test -n "$(PYTHON)" || { echo "Python 3.11, 3.12 or 3.13 is needed and none was found on the PATH" >&2; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv --upgrade-deps $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps --no-compile \
		-r requirements-dev.lock
	-$(BIN)/python -m compileall -q -j 0 -x '/(tests?|ccxt/(async_support|pro|static_dependencies))/' $(VENV)/lib \
		pipelines assets quality
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	$(BIN)/lowtide warmup
	@touch $@

setup: $(VENV)/.locked

demo: setup
	$(BIN)/lowtide demo --home $(DEMO_HOME)

# Two workers, a file to a worker, the long files first: a run of the whole way keeps one core busy.
PYTEST := $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

test: setup
	$(PYTEST)

test-full: setup
	LOWTIDE_TRIALS=full $(PYTEST) --timeout=7200
	@cat build/trials.txt
	$(MAKE) lanes

# The kernels compiled, interpreted, and compiled with bounds checks; each lane has a cache of its own.
lanes: setup
	NUMBA_CACHE_DIR=$(abspath build/lanes/compiled) $(PYTEST) -q tests/assets/cascade
	NUMBA_DISABLE_JIT=1 $(PYTEST) -q --timeout=7200 -m "not compiled" \
		tests/assets/cascade
	NUMBA_BOUNDSCHECK=1 NUMBA_CACHE_DIR=$(abspath build/lanes/bounds) $(PYTEST) -q \
		tests/assets/cascade

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/sqlfluff lint --disable-progress-bar dbt/models dbt/data_tests
	$(BIN)/python -c "from pipelines.dbt_manifest import ensure_manifest; print(ensure_manifest())"
	$(BIN)/python -m pytest -m fast -q

bench: setup
	$(BIN)/python tests/benchmarks/run.py

dev: setup
	LOWTIDE_HOME=$(abspath $(DEV_HOME)) $(BIN)/python -c "from pipelines.home import open_home; \
		from pipelines.settings import Settings; open_home(Settings().home, 'real', create=True)"
	LOWTIDE_HOME=$(abspath $(DEV_HOME)) DAGSTER_HOME=$(abspath $(DEV_HOME))/dagster \
		$(BIN)/dagster dev --module-name pipelines.definitions --host 127.0.0.1 --port 3000

lock:
	$(PYTHON) -m venv build/lock-venv && build/lock-venv/bin/pip install --quiet uv
	printf 'hatchling==1.27.0\neditables>=0.5\n' > build/build.in
	build/lock-venv/bin/uv pip compile pyproject.toml build/build.in $(LOCK_FLAGS) -o requirements.lock
	build/lock-venv/bin/uv pip compile pyproject.toml build/build.in $(LOCK_FLAGS) --extra dev --extra postgres \
		-c requirements.lock -o requirements-dev.lock

LOCK_FLAGS := --universal --python-version 3.11 --generate-hashes --no-strip-extras --no-emit-index-url \
	--no-header --no-annotate --quiet

clean:
	rm -rf $(VENV) build .lowtide dbt/target
