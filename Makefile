# make up: everything on this machine.  make test: every check.  Both install what they need into .venv first.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/pip --disable-pip-version-check

.PHONY: help install install-test up test test-containers test-fleet lint dist bench soak fuzz clean

help: ## Show this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 22

install: .venv/.installed ## Make .venv with all that running needs
install-test: .venv/.installed-test ## Make .venv with all that running, testing and measuring need

.venv/bin/python:
	@command -v $(PYTHON) >/dev/null || { echo "Python 3.11 or newer is needed: install it, or name it with PYTHON=..."; exit 1; }
	$(PYTHON) -m venv .venv

# OpenVINO and ONNX Runtime answer about twice as fast as TensorFlow, which makes and checks their models.
.venv/.installed: pyproject.toml p2pclient/pyproject.toml constraints.txt | .venv/bin/python
	@echo "Installing into .venv (about a minute the first time) ..."
	$(PIP) install --quiet --progress-bar on -c constraints.txt -e ./p2pclient -e '.[train,onnx,openvino]'
	@# In a .venv of an earlier version p2p belonged to p2p-serving, whose update removes it after the client brought it.
	@test -x $(BIN)/p2p || $(PIP) install --quiet --no-deps --force-reinstall -e ./p2pclient
	@touch $@

.venv/.installed-test: .venv/.installed
	@echo "Installing what the tests need into .venv ..."
	$(PIP) install --quiet --progress-bar on -c constraints.txt -e ./p2pclient -e '.[test]'
	@touch $@

up: install ## Start Consul (or find one), the lookup service and two workers; Ctrl-C stops them
	@exec $(BIN)/p2p up

lint: install-test ## Style, types and import rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: install-test lint ## Every check and every test, real Consul included
	$(BIN)/python -m tests.support.consul_binary.fetch
	$(BIN)/python -m tests.support.rerun -n 3 --dist loadfile --no-loadscope-reorder --ignore tests/fleet

test-fleet: install-test ## Boot machines, make a fleet of them by deploy/install.sh, and break it (root, podman, runc, debootstrap)
	$(BIN)/python -m tests.support.consul_binary.fetch
	@test -d .venv/ansible || { $(PYTHON) -m venv .venv/ansible && .venv/ansible/bin/pip install --quiet ansible; } || rm -rf .venv/ansible
	$(BIN)/python -m tests.support.rerun --whole-modules -s -o faulthandler_timeout=0 tests/fleet

test-containers: install-test ## The images of deploy/docker, built and run (Debian, root, podman, debootstrap)
	$(BIN)/python -m tests.support.consul_binary.fetch
	P2P_TEST_CONTAINERS=1 $(BIN)/pytest tests/containers

dist: | .venv/bin/python ## Build the wheels and source archives of client and servers into dist/
	$(PIP) install --quiet -c constraints.txt build
	rm -rf dist
	$(BIN)/python -m build --outdir dist p2pclient
	$(BIN)/python -m build --outdir dist .

bench: install-test ## Measure what is claimed, for two hours or more (.venv/bin/python -m benchmarks lists what is run and needed)
	$(BIN)/python -m benchmarks --run

MINUTES ?= 30
soak: install-test ## MINUTES=30 of mixed load and faults; nothing may grow, no call may fail (curl)
	$(BIN)/python -m tests.support.consul_binary.fetch
	$(BIN)/python -m benchmarks.soak --minutes $(MINUTES)

fuzz: install-test ## Some minutes of broken requests to the lookup, DNS and worker ports
	$(BIN)/python -m benchmarks.fuzz.fast_path --seconds 60
	$(BIN)/python -m benchmarks.fuzz.dns --seconds 60
	$(BIN)/python -m benchmarks.fuzz.worker --seconds 60
	$(BIN)/python -m benchmarks.fuzz.openapi --examples 60

clean: ## Remove what install and dist made
	rm -rf .venv dist
