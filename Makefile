# Words for daily work; CI uses the same ones. Needs Python >= 3.11 and git, nothing else.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/ready
# CI and developers wait for them. Workers rewrite the assertions of plugins unless the first process
# could write down what it made of them. On two cores four: tests wait for processes half of the time.
PYTEST := env -u PYTHONDONTWRITEBYTECODE $(BIN)/python -m pytest
TEST := $(PYTEST) -n 4 --dist worksteal

.PHONY: setup check quick test test-podman conformance coverage demo docs bench lock services test-kubernetes test-image test-compose

setup: $(STAMP) ## the virtual environment with everything, from the lock file

$(STAMP): requirements/dev.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Trunkline needs Python 3.11 or newer; say make PYTHON=...")'
	$(PYTHON) -m venv --clear .venv
	$(BIN)/python -m pip install -q --no-cache-dir --disable-pip-version-check --require-hashes -r requirements/dev.lock
	$(BIN)/python -m pip install -q --no-cache-dir --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $@

check: setup ## everything that can be known without running Trunkline
	$(BIN)/ruff format --check . && $(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/vulture
	$(PYTEST) tests/test_tidy.py tests/test_lock.py tests/test_install_size.py

quick: setup ## unit and property tests, small
	$(TEST) -m "not slow" --ignore tests/e2e --ignore tests/docs --ignore tests/faults

test: setup ## all that CI runs; TRUNKLINE_REQUIRE_ALL=1 turns a skip into a failure
	$(TEST)

conformance: setup ## all operations, with catalogs in SQLite and PostgreSQL, and contents in S3
	TRUNKLINE_TEST_EVERYWHERE=1 $(TEST) tests/engine tests/store tests/db

coverage: setup ## branch coverage of the rooms that keep data and run jobs
	$(BIN)/coverage run -m pytest -q -n 2 tests/store tests/files tests/versions tests/jobs tests/engine tests/faults
	$(BIN)/coverage combine -q; $(BIN)/coverage report --include='*/store/*,*/files/*,*/versions/*,*/jobs/*'

# What differs from engine to engine: limits and rights, ends of containers, pulls and builds.
PODMAN := tests/runtimes/containers/test_slot.py::test_a_container_has_no_capabilities_no_network_and_no_way_to_get_more \
  tests/runtimes/test_images.py::test_a_recorded_image_that_was_removed_comes_back_by_its_digest \
  tests/runtimes/test_images.py::test_a_build_tells_its_steps \
  tests/e2e/test_containers.py::test_a_stage_sees_its_inputs_code_variables_and_place

test-podman: setup ## some tests of containers with Podman, as TRUNKLINE_TEST_DOCKER of .ci/podman says
	$(PYTEST) -n 2 $(PODMAN)

demo: setup ## the tutorial, end to end, in a temporary directory
	$(BIN)/python examples/iris/demo.py

docs: setup ## refresh the generated pages of docs/reference
	$(BIN)/python docs/generate.py

bench: setup ## ratios against peers on this machine
	$(BIN)/python bench/cli_latency.py
	$(BIN)/python bench/pipelines.py --datums 1000
	$(BIN)/python bench/functions.py
	$(BIN)/python bench/versioning.py

test-kubernetes: setup ## the tutorial on the cluster of KUBECONFIG: make test-kubernetes IMAGE=trunkline
	$(BIN)/python deploy/check_cluster.py --image $(or $(IMAGE),trunkline) $(if $(STAGE_IMAGE),--stage-image $(STAGE_IMAGE))

test-image: ## the image of the server as a container: make test-image IMAGE=trunkline PROGRAM=docker
	$(PYTHON) deploy/check_image.py --image $(or $(IMAGE),trunkline) --program $(or $(PROGRAM),docker)

test-compose: ## two servers of the compose files, one of which is killed: make test-compose COMPOSE="docker compose"
	$(PYTHON) deploy/check_compose.py --program $(or $(PROGRAM),docker) --compose "$(or $(COMPOSE),docker compose)"

services: .services/ready ## the servers and programs of others that tests use, in an environment of their own

.services/ready: requirements/services.lock requirements/programs.lock
	$(PYTHON) -m venv .services
	.services/bin/python -m pip install -q --no-cache-dir --disable-pip-version-check --require-hashes -r requirements/services.lock
	.ci/programs .services/bin
	touch $@

lock: setup ## renew the files of requirements/ (needs uv)
	uv pip compile -q --universal --generate-hashes --no-header --no-emit-index-url --no-emit-find-links \
	  --python-version 3.11 --extra dev --upgrade pyproject.toml -o requirements/dev.lock
	uv pip compile -q --universal --generate-hashes --no-header --no-emit-index-url --no-emit-find-links \
	  --python-version 3.11 --upgrade requirements/services.in -o requirements/services.lock
	uv pip compile -q --universal --generate-hashes --no-header --no-emit-index-url --no-emit-find-links \
	  --python-version 3.11 --no-deps --upgrade requirements/programs.in -o requirements/programs.lock
