# Needs Python >= 3.11 with venv, a C++20 compiler (GCC >= 11 or Clang >= 14) and make. Everything else goes into virtual
# environments below this folder. A second run is quick and needs no network: an environment is filled again only when
# pyproject.toml changed, the package is rebuilt only when its sources changed.
#
#   make test PYTHON=python3.13                 another interpreter (after make clean)
#   make test ARGS="--no-cov -k adjoint -x"     arguments for pytest

PYTHON ?= python3
ARGS ?=
BACKENDS ?= native numba
, := ,
DEMO := .venv
TEST := .venv-test
NUMBA := .venv-numba
EXAMPLES := vqe ising maxcut reuploading kernel_svc torch_digits barren_plateau qml_benchmarks tunnelling \
	logical_errors encoded_training noisy_training

PACKAGE := $(shell find python csrc \( -name '*.py' -o -name '*.pyi' -o -name 'py.typed' -o -name '*.toml' -o -name '*.json' -o -name '*.cpp' \
	-o -name '*.hpp' -o -name '*.h' -o -name '*.inc' \) 2>/dev/null) CMakeLists.txt LICENSE README.md
CPP := $(wildcard csrc/*.cpp csrc/*.hpp csrc/*.h csrc/*.inc tests/native/*.cpp tests/native/*.hpp)

.DEFAULT_GOAL := help
.PHONY: help demo examples test test-numba test-device test-isa test-all lint types format bench clean
.DELETE_ON_ERROR:
unexport PYTHONPATH PYTHONHOME # what is tested is the installed package, never a source tree

# $(call install,ENVIRONMENT,EXTRAS,GROUPS,VARIABLES): fill the environment when pyproject.toml is newer than its last
# filling, else only build and install the package again.
define install
	@if [ ! -x $(1)/bin/python ]; then \
	  $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "ketgrad needs Python >= 3.11, this is " + sys.version)'; \
	  echo "== creating $(1)"; $(PYTHON) -m venv $(1); \
	fi
	@if [ ! -e $(1)/.filled ] || [ pyproject.toml -nt $(1)/.filled ]; then \
	  echo "== installing into $(1)"; \
	  $(1)/bin/python -m pip install --quiet --upgrade "pip>=25.1" && \
	  $(1)/bin/python -m pip install --quiet --group build && \
	  $(4) PATH="$(CURDIR)/$(1)/bin:$$PATH" $(1)/bin/python -m pip install --quiet --no-build-isolation \
	    --config-settings=build-dir=$(1)/build ".$(2)" $(patsubst %,--group %,$(3)) && \
	  touch $(1)/.filled; \
	else \
	  echo "== rebuilding the package in $(1)"; \
	  $(4) PATH="$(CURDIR)/$(1)/bin:$$PATH" $(1)/bin/python -m pip install --quiet --no-build-isolation --no-deps \
	    --no-index --force-reinstall --config-settings=build-dir=$(1)/build .; \
	fi
	@touch $@
endef

help: ## this list
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/  make \1@\2/p' Makefile | awk -F@ '{printf "%-20s%s\n", $$1, $$2}'

demo: $(DEMO)/.installed ## train the hybrid classifier on the digits, then time the step against PennyLane
	$(DEMO)/bin/ketgrad train
	$(DEMO)/bin/ketgrad compare

examples: $(TEST)/.installed ## the programs of examples/: figures beside their references, pictures in pictures/
	set -e; for name in $(EXAMPLES); do echo "== $$name"; $(TEST)/bin/python examples/$$name.py $(ARGS); done

test: $(TEST)/.installed ## the whole test suite on the installed package, with coverage
	$(TEST)/bin/python -m pytest -n auto --cov=ketgrad --cov-report=term $(ARGS)

test-numba: $(NUMBA)/.installed ## the same suite on an install without the native core
	KETGRAD_BACKEND=numba $(NUMBA)/bin/python -m pytest -n auto $(ARGS)

test-device: $(TEST)/.installed ## PennyLane's own suite for devices: exact and with shots, both backends
	set -e; for backend in $(BACKENDS); do for shots in None 20000; do \
	  echo "== $$backend, shots: $$shots"; \
	  KETGRAD_BACKEND=$$backend $(TEST)/bin/python -m pytest -q -n auto -c /dev/null -p no:cacheprovider --benchmark-disable --no-flaky-report \
	    $$($(TEST)/bin/python -c "from pennylane.devices.tests import get_device_tests as d; print(d())") \
	    --device=ketgrad.qubit --shots=$$shots; \
	done; done

test-isa: $(TEST)/.installed ## every instruction set against a scalar computation, emulated where this processor lacks it
	PATH="$(CURDIR)/$(TEST)/bin:$$PATH" tests/native/run.sh $(TEST)/bin/python

test-all: ## everything: all draws of the suite, the suite without the native core, PennyLane's suite
	$(MAKE) test
	$(MAKE) test-numba
	$(MAKE) test-device

lint: $(TEST)/.lint ## ruff, and the format of Python and C++
	$(TEST)/bin/ruff check .
	$(TEST)/bin/ruff format --check .
	$(if $(CPP),$(TEST)/bin/clang-format --dry-run --Werror $(CPP))

types: $(TEST)/.lint ## mypy --strict
	$(TEST)/bin/mypy

format: $(TEST)/.lint ## rewrite Python and C++ in the house style
	$(TEST)/bin/ruff check --fix .
	$(TEST)/bin/ruff format .
	$(if $(CPP),$(TEST)/bin/clang-format -i $(CPP))

bench: $(TEST)/.installed ## the benchmarks: answers first, then rates beside their limits and peers
	$(TEST)/bin/python bench/run.py $(ARGS)

clean: ## remove environments, builds and caches
	rm -rf $(DEMO) $(TEST) $(NUMBA) build dist wheelhouse .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage*
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(DEMO)/.installed: pyproject.toml $(PACKAGE)
	$(call install,$(DEMO),[sklearn$(,)plot$(,)pennylane],,)

$(TEST)/.installed: pyproject.toml $(PACKAGE)
	$(call install,$(TEST),,test frameworks,KETGRAD_REQUIRE_NATIVE=1)

$(NUMBA)/.installed: pyproject.toml $(PACKAGE)
	$(call install,$(NUMBA),,test,KETGRAD_NO_NATIVE=1)

$(TEST)/.lint: $(TEST)/.installed
	@if [ ! -e $@ ] || [ pyproject.toml -nt $@ ]; then $(TEST)/bin/python -m pip install --quiet --group lint; fi
	@touch $@
