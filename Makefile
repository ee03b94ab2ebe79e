# OpenLedger node. `make` alone lists what there is.
#
# Everything lands in .venv and .tools inside this folder. Packages come from the lock files in requirements/, with hashes.
#   PYTHON=python3.12      another interpreter (3.11 or 3.12)
#   TORCH_INDEX=<index>    package index of another torch build (for example the CPU build: 4 GB less to load)
#   LITE=1                 without torch: chain, RPC and page only
#   PORT=8545              port of the devnet
#   WORKERS=3              processes of `make test`; PYTEST_ARGS=... is handed to pytest (-n0: all in one process)

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.ONESHELL:
MAKEFLAGS += --no-print-directory

PORT ?= 8545
WORKERS ?= 3
LITE ?=
TORCH_INDEX ?=
COMETBFT_VERSIONS ?= 0.40.0 0.38.26

VENV := .venv
BIN := $(VENV)/bin
STAMPS := $(VENV)/.stamps
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input -q
LOCKED := $(PIP) install --no-deps --require-hashes -r

CARGO := $(shell command -v cargo 2>/dev/null)
NATIVE := $(if $(CARGO),$(STAMPS)/native)

.PHONY: help install install-oracle install-hf install-dev native devnet demo test check size docs cometbft eels soak lock clean

help: ## List the targets
	@echo "make <target>, where target is one of:"
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  %-15s %s\n", $$1, $$2}' Makefile
	@echo "Settings: LITE=1, TORCH_INDEX=<index>, PYTHON=<interpreter>, PORT=<port>, WORKERS=<n>. First: make devnet"

install: $(STAMPS)/node $(NATIVE) ## Install the node into .venv from the lock file
install-oracle: $(STAMPS)/oracle $(NATIVE) ## ... and the oracle (torch)
install-hf: $(STAMPS)/hf $(NATIVE) ## ... and what Hugging Face bases need (transformers, peft)
install-dev: $(STAMPS)/dev ## ... and the tests and linters

$(STAMPS)/venv:
	@python="$${PYTHON:-}"
	if [ -z "$$python" ]; then
	  for name in python3.12 python3.11 python3 python; do
	    if "$$name" -c 'import sys, venv, ensurepip; raise SystemExit(sys.version_info[:2] not in ((3, 11), (3, 12)))' \
	      >/dev/null 2>&1; then python="$$name"; break; fi
	  done
	fi
	if [ -z "$$python" ]; then
	  echo "OpenLedger needs Python 3.11 or 3.12 (with venv), and neither runs here." >&2
	  echo "hint: install one (Debian, Ubuntu: apt install python3.12 python3.12-venv), or name it: make PYTHON=/path/to/python3.12" >&2
	  exit 1
	fi
	if ! "$$python" -c 'import sys; raise SystemExit(sys.version_info[:2] not in ((3, 11), (3, 12)))' 2>/dev/null; then
	  echo "PYTHON=$$python is not a Python 3.11 or 3.12 that runs." >&2
	  echo "hint: leave PYTHON out to let make look for one." >&2
	  exit 1
	fi
	echo "==> $(VENV) with $$("$$python" --version)"
	"$$python" -m venv --clear $(VENV)
	mkdir -p $(STAMPS) && touch $@

$(STAMPS)/node: requirements/node.lock pyproject.toml | $(STAMPS)/venv
	@echo "==> the node: $$(grep -c '^[a-z]' requirements/node.lock) packages (about a minute)"
	$(LOCKED) requirements/node.lock
	$(PIP) install --no-deps --no-build-isolation -e .
	mkdir -p $(STAMPS) && touch $@

$(STAMPS)/oracle: requirements/oracle.lock requirements/torch.lock $(STAMPS)/node
	@if [ -n "$(TORCH_INDEX)" ]; then
	  echo "==> the oracle: torch from TORCH_INDEX (its hashes differ from the lock file's, so only its version is pinned)"
	  $(PIP) install --no-deps --index-url "$(TORCH_INDEX)" "$$(grep -oE '^torch==[0-9.]+' requirements/torch.lock)"
	else
	  echo "==> the oracle: torch with CUDA, up to 4.7 GB, minutes (TORCH_INDEX=<index> for a CPU build, LITE=1 to go without)"
	  $(LOCKED) requirements/torch.lock
	fi
	$(LOCKED) requirements/oracle.lock
	mkdir -p $(STAMPS) && touch $@

$(STAMPS)/hf: requirements/hf.lock $(STAMPS)/oracle
	@echo "==> Hugging Face bases: $$(grep -c '^[a-z]' requirements/hf.lock) packages (15 MB)"
	$(LOCKED) requirements/hf.lock
	mkdir -p $(STAMPS) && touch $@

$(STAMPS)/dev: requirements/dev.lock $(STAMPS)/node
	@echo "==> tests and linters: $$(grep -c '^[a-z]' requirements/dev.lock) packages"
	$(LOCKED) requirements/dev.lock
	mkdir -p $(STAMPS) && touch $@

native: $(STAMPS)/node ## Build the native engine (Rust); without it py-evm runs, slower
	@if [ -z "$(CARGO)" ]; then
	  echo "The native engine needs Rust 1.91 or later, and there is no cargo on PATH." >&2
	  echo "hint: install Rust, then make native; everything works without it, slower." >&2
	  exit 1
	fi
	rm -f $(STAMPS)/native
	$(MAKE) $(STAMPS)/native

# Rust is optional: where the build fails, one line says so and py-evm runs.
$(STAMPS)/native: $(wildcard native/src/*.rs) native/Cargo.toml native/Cargo.lock | $(STAMPS)/node
	@echo "==> the native engine (Rust; about two minutes the first time)"
	mkdir -p $(STAMPS)
	if ! VIRTUAL_ENV="$(CURDIR)/$(VENV)" $(BIN)/maturin develop --release --locked -m native/Cargo.toml >$(STAMPS)/native.log 2>&1; then
	  tail -n 5 $(STAMPS)/native.log >&2
	  echo "WARNING: the native engine was not built (it needs Rust 1.91 or later); py-evm runs instead, slower." >&2
	fi
	touch $@

devnet: $(if $(LITE),install,install-oracle) ## Install and start a development chain (LITE=1: without torch)
	@exec $(BIN)/openledger devnet --port $(PORT) $(if $(LITE),--lite)

demo: install-oracle ## The whole loop, from data to OPEN (starts a devnet when none answers)
	@exec $(BIN)/openledger demo --start --port $(PORT)

# Many tests wait for networks while others compute, so there is one worker more than small machines have cores.
test: install-hf install-dev ## The whole test suite, side by side in WORKERS processes
	@exec env -u PYTHONDONTWRITEBYTECODE $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder $(PYTEST_ARGS)

check: install-oracle install-dev ## Format, lint, types, layers
	@echo "==> ruff"
	$(BIN)/ruff check -q .
	$(BIN)/ruff format --check -q .
	echo "==> mypy"; $(BIN)/mypy
	echo "==> layers"; $(BIN)/lint-imports --no-logo 2>/dev/null || $(BIN)/lint-imports

size: ## Lines per room against the budget of the architecture
	@for p in $(BIN)/python python3; do if "$$p" -c '' 2>/dev/null; then exec "$$p" bench/size.py; fi; done

docs: install ## Write the generated reference pages (errors, command line)
	@$(BIN)/python -m openledger.node.reference docs/reference

cometbft: ## Build the pinned CometBFT versions into .tools
	@if ! command -v go >/dev/null 2>&1; then
	  echo "Building CometBFT needs Go 1.23 or later, and there is no go on PATH." >&2
	  echo "hint: install Go, then make cometbft; a devnet works without it." >&2
	  exit 1
	fi
	for version in $(COMETBFT_VERSIONS); do
	  folder="$(CURDIR)/.tools/cometbft-$$version"
	  if [ -x "$$folder/cometbft" ]; then echo "==> CometBFT $$version is there"; continue; fi
	  echo "==> CometBFT $$version (about a minute)"
	  GOBIN="$$folder" GOFLAGS=-modcacherw go install "github.com/cometbft/cometbft/cmd/cometbft@v$$version"
	done

eels: .tools/eels/bin/ethereum-spec-evm ## Install Ethereum's executable specification, the third judge of `make soak`

.tools/eels/bin/ethereum-spec-evm: requirements/eels.lock | $(STAMPS)/venv
	@echo "==> EELS, in an environment of its own"
	$(BIN)/python -m venv --clear .tools/eels
	.tools/eels/bin/python -m pip --disable-pip-version-check --no-input -q install --no-deps --require-hashes -r requirements/eels.lock
	touch $@

soak: install-hf install-dev eels ## The long form of the measurements
	@$(BIN)/python -m pytest -m soak --timeout 0 $(PYTEST_ARGS)

lock: install-dev ## Write the lock files anew from pyproject.toml
	@$(BIN)/python requirements/lock.py

clean: ## Remove .venv and caches (not .tools, not data)
	@rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
