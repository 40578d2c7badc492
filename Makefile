# Two commands do everything on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3.11
VENV   := .venv
BIN    := $(VENV)/bin
# Prefect's usage reports stay off, and its own server is quiet, in whatever this file starts.
export PREFECT_SERVER_ANALYTICS_ENABLED := false
export DO_NOT_TRACK := 1

.DEFAULT_GOAL := help
.PHONY: help demo test check bench format lock clean

help: ## show this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

$(BIN)/python:
	@command -v $(PYTHON) >/dev/null || { echo "Python 3.11 is needed: $(PYTHON) was not found; set PYTHON=..." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

# Each stamp is the marker of one finished installation; it is remade only when the project's own lists change.
$(VENV)/.demo-ready: $(BIN)/python pyproject.toml constraints.txt packaging/system-packages.sh
	packaging/system-packages.sh demo
	@echo "Installing Python packages (once, a minute or two) ..."
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt hatchling editables
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt --no-build-isolation -e .
	@touch $@

$(VENV)/.dev-ready: $(VENV)/.demo-ready
	packaging/system-packages.sh test
	@echo "Installing development packages, torch among them (once, some minutes) ..."
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt --no-build-isolation -e '.[dev,gpu,serve]'
	@touch $@

demo: $(VENV)/.demo-ready ## make, grade and publish images of the example catalogue, on the CPU
	@$(BIN)/zimage demo

test: $(VENV)/.dev-ready ## run every test
	$(BIN)/pytest -n 2 --dist loadgroup

check: $(VENV)/.dev-ready ## format, lint, types, contracts between rooms
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/.dev-ready ## run every benchmark (accuracy on small sets); each prints what it compared
	@for file in benchmarks/*.py; do \
		case $$file in */quality_accuracy.py) quick=--quick ;; *) quick= ;; esac; \
		echo "== $$file $$quick"; $(BIN)/python $$file $$quick || exit 1; \
	done

format: $(VENV)/.dev-ready ## format and mend what can be mended
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lock: $(BIN)/python ## resolve constraints.txt again
	$(BIN)/python packaging/lock.py

clean: ## remove what was built and what runs left here (work/ and out/ too)
	rm -rf $(VENV) work out .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
