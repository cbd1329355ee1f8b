# make demo    the whole life cycle on this machine; options: DATA=DIR CLASSES=bicycle,motorcycle ARGS="--seed 1"
# make test    lint, types, import contract and all tests
# make parity  AWS's and MXNet's own packages on our requests, source, models and files, each in its own environment;
#              make parity-sdk, -training, -serving (needs Java 17) or -recordio alone
# make reliability   what takes longer than `make test` may (15 minutes): every kind of image with its peak of memory and
#              time, tests marked `reliability`, such as 50,000 scenarios of events, and every reader fuzzed for 12 s
# make docs    the documentation as a site, build/docs/index.html; a broken link or an undocumented public name fails
# make notebook      the course's notebook in JupyterLab, which prints its address; options: ARGS="--no-browser"
# make fuzz    readers of foreign files, fed with damaged input; options: SECONDS=600 for each target, TARGET=images, SEED=7
#
# Each sets up .venv first (Python 3.11 or newer), and only when something changed.
# The demo needs no PyTorch, the tests do; TORCH_INDEX=URL takes its CPU build from there
# (https://pytorch.org/get-started/locally). EXTRAS=train brings it to the demo, for thumbnails.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
LOCAL := $(VENV)/.local-installed
TRAIN := $(VENV)/.train-installed
DEV := $(VENV)/.dev-installed
DOCS := $(VENV)/.docs-installed
NOTEBOOK := $(VENV)/.notebook-installed
PIP := $(BIN)/python -m pip --disable-pip-version-check -q
PARITIES := recordio sdk training serving
SOURCES := scones_ml handlers examples benchmarks tests $(wildcard docs/*.py)

.PHONY: demo docs notebook test lint types contract unit reliability fuzz parity $(PARITIES:%=parity-%) format clean
.PRECIOUS: $(VENV)/parity-%/.installed

demo: $(LOCAL) $(if $(filter train,$(EXTRAS)),$(TRAIN))
	@$(BIN)/scones demo $(if $(DATA),--data "$(DATA)") $(if $(CLASSES),--classes "$(CLASSES)") $(ARGS)

test: lint types contract unit

lint: $(DEV)
	@$(BIN)/ruff check -q $(SOURCES)
	@$(BIN)/ruff format -q --check $(SOURCES)

types: $(DEV)
	@$(BIN)/mypy --no-error-summary

contract: $(DEV)
	@$(BIN)/lint-imports > $(VENV)/lint-imports.log || { cat $(VENV)/lint-imports.log; exit 1; }

unit: $(DEV)
	@$(BIN)/pytest -n auto --maxprocesses 4 --dist loadfile $(ARGS)

docs: $(DOCS)
	@$(BIN)/python -m sphinx -q -W --keep-going -d build/docs-doctrees docs build/docs
	@echo "build/docs/index.html"

notebook: $(NOTEBOOK)
	@$(BIN)/jupyter lab --ServerApp.root_dir="$(CURDIR)" examples/scones_unlimited.ipynb $(ARGS)

reliability: $(DEV)
	@$(BIN)/python benchmarks/image_bounds.py
	@$(BIN)/pytest -m reliability -n auto --maxprocesses 4 $(ARGS)
	@$(BIN)/python tests/fuzz/run.py all --seconds 12

fuzz: $(DEV)
	@$(BIN)/python tests/fuzz/run.py $(or $(TARGET),all) --seconds $(or $(SECONDS),20) $(if $(SEED),--seed $(SEED))

parity: $(PARITIES:%=parity-%)

$(PARITIES:%=parity-%): parity-%: $(VENV)/parity-%/.installed
	@echo "$@"
	@$(VENV)/parity-$*/bin/python -m pytest -p no:cacheprovider -vv tests/parity/test_$*.py

format: $(DEV)
	@$(BIN)/ruff check -q --fix $(SOURCES)
	@$(BIN)/ruff format -q $(SOURCES)

clean:
	rm -rf $(VENV) .scones examples/.scones build dist

$(VENV)/.created:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed: make PYTHON=/path/to/python3.11"; exit 1; }
	@echo "Setting up $(VENV) (once) ..."
	@$(PYTHON) -m venv $(VENV)
	@touch $@

$(LOCAL): $(VENV)/.created pyproject.toml constraints.txt
	@$(PIP) install -c constraints.txt -e '.[local]'
	@touch $@

$(TRAIN): $(LOCAL)
	@echo "Adding PyTorch (once; a few minutes) ..."
	@$(if $(TORCH_INDEX),$(PIP) install --index-url "$(TORCH_INDEX)" -c constraints.txt torch,true)
	@$(PIP) install -c constraints.txt -e '.[train]'
	@touch $@

$(DEV): $(TRAIN)
	@$(PIP) install -c constraints.txt -e '.[dev]'
	@touch $@

$(DOCS): $(LOCAL)
	@echo "Adding Sphinx (once) ..."
	@$(PIP) install -c constraints.txt -e '.[docs]'
	@touch $@

$(NOTEBOOK): $(LOCAL)
	@echo "Adding JupyterLab (once) ..."
	@$(PIP) install -c constraints.txt -e '.[notebook]'
	@touch $@

$(VENV)/parity-%/.installed: tests/parity/%.txt pyproject.toml constraints.txt
	@echo "Setting up $(@D) (once) ..."
	@$(PYTHON) -m venv $(@D)
	@$(if $(TORCH_INDEX),$(@D)/bin/python -m pip -q install --index-url "$(TORCH_INDEX)" -c constraints.txt torch,true)
	@$(@D)/bin/python -m pip --disable-pip-version-check -q install -r $<
	@touch $@
