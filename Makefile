# `make run` restyles a video, `make test` runs the tests; both set up what they need.

PYTHON ?= python3
VENV ?= .venv
STYLE ?= great-wave
OUT ?= output/$(if $(IN),$(notdir $(basename $(IN)))-$(STYLE)$(suffix $(IN)),demo-$(STYLE).mp4)

# Types and tests are checked against the installed package, so nothing here may put this folder,
# whose layout is not that of the package, on Python's path.
BIN := $(VENV)/bin
# The CPU build of torch, where nothing else is asked for: the tests need no GPU.
TORCH ?= torch==2.13.0

.PHONY: run test test-all lint types clean

run: $(VENV)/.runtime
	@mkdir -p output
ifdef IN
	$(BIN)/streamfx process "$(IN)" -o "$(OUT)" --style "$(STYLE)" --overwrite
else
	$(BIN)/streamfx demo -o output/demo.mp4 --overwrite
	$(BIN)/streamfx process output/demo.mp4 -o "$(OUT)" --style "$(STYLE)" --overwrite
endif
	@echo "watch it: $(OUT)"

test: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	cd $(VENV) && bin/mypy --strict --config-file $(CURDIR)/pyproject.toml -p streamfx
	$(BIN)/pytest -m "not slow and not gpu"

test-all: $(VENV)/.dev
	$(BIN)/pytest

clean:
	rm -rf $(VENV) build output

SOURCES := pyproject.toml $(shell find streamfx engines training -name '*.py' -o -name '*.toml' -o -name '*.stylepack')

$(VENV)/bin/pip:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --upgrade pip

$(VENV)/.runtime: $(VENV)/bin/pip $(SOURCES)
	rm -rf build
	$(BIN)/pip install --quiet --disable-pip-version-check .
	@touch $@

$(VENV)/.dev: $(VENV)/bin/pip $(SOURCES)
	rm -rf build
	$(BIN)/pip install --quiet --disable-pip-version-check "$(TORCH)"
	$(BIN)/pip install --quiet --disable-pip-version-check ".[training,dev]"
	@touch $@ $(VENV)/.runtime
