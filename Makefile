# make up: everything on this machine.  make test: every check.  Both install what they need into .venv first.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: help install up test lint bench fuzz clean

help: ## Show this list
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST)

install: .venv/.installed ## Make .venv with all that running and testing need

.venv/.installed: pyproject.toml constraints.txt
	@command -v $(PYTHON) >/dev/null || { echo "Python 3.11 or newer is needed: install it, or name it with PYTHON=..."; exit 1; }
	@echo "Installing into .venv (about a minute the first time) ..."
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --progress-bar on -c constraints.txt -e '.[dev]'
	@touch $@

up: install ## Start Consul (or find one), the lookup service and two workers; Ctrl-C stops them
	@exec $(BIN)/p2p up

lint: install ## Style, types and import rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: install lint ## Every check and every test, real Consul included
	$(BIN)/python -m tests.support.consul_binary.fetch
	$(BIN)/pytest -n 2 --dist loadfile

bench: install ## Measure what is claimed, for an hour or more (needs nginx, wrk, dnsperf, node; some parts need root)
	$(BIN)/python -m benchmarks.lookup
	$(BIN)/python -m benchmarks.lookup.propagation
	$(BIN)/python -m benchmarks.lookup.scale
	$(BIN)/python -m benchmarks.network.bandwidth
	$(BIN)/python -m benchmarks.worker
	$(BIN)/python -m benchmarks.worker.engines
	$(BIN)/python -m benchmarks.worker.decode
	$(BIN)/python -m benchmarks.worker.multipart
	$(BIN)/python -m benchmarks.worker.swaps
	$(BIN)/python -m benchmarks.simulations.batching
	$(BIN)/python -m benchmarks.client
	$(BIN)/python -m benchmarks.client.faults
	$(BIN)/python -m benchmarks.simulations.balancing

fuzz: install ## Some minutes of broken requests to the lookup, DNS and worker ports
	$(BIN)/python -m benchmarks.fuzz.fast_path --seconds 60
	$(BIN)/python -m benchmarks.fuzz.dns --seconds 60
	$(BIN)/python -m benchmarks.fuzz.worker --seconds 60
	$(BIN)/python -m benchmarks.fuzz.openapi --examples 60

clean: ## Remove what install made
	rm -rf .venv
