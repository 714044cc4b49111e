# Python 3.11 with venv, and make, are all that `make demo` needs; `make test-deps` brings what else the
# tests use.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed-from-lock
OUT ?= out
# Two processes, a file's tests in one of them: they share what they export. xdist waits for ever for
# the tests of a process that crashed, if it starts another in its place. The order is tests/conftest.py's.
PYTEST_FLAGS ?= -n 2 --dist loadfile --no-loadscope-reorder --max-worker-restart 0
LOCK_FLAGS ?=

export PATH := $(CURDIR)/$(BIN):$(PATH)
export VIRTUAL_ENV := $(CURDIR)/$(VENV)
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# Where it is set, as in many containers, each of hundreds of processes compiles torch's and timm's
# modules again: 10 of the 18 s of processor time of a training that takes one step.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help install system-deps test-deps tensorflow demo test test-fast fuzz lint type panel operations timm-models library-models kills privacy startup lock audit wheel web-package web-test android android-test ios-test docs release clean

help: ## list these targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | \
	  while IFS="$$(printf '\t')" read -r name text; do printf '  make %-12s %s\n' "$$name" "$$text"; done

install: $(STAMP) ## make .venv with all extras but tensorflow at the pinned versions, and this package editable

$(BIN)/python:
	@command -v $(PYTHON) >/dev/null || \
	  { echo "lolvit: $(PYTHON) is not installed; install Python 3.11, or run: make PYTHON=/path/to/python3.11 ..." >&2; exit 2; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || \
	  { echo "lolvit: $(PYTHON) is not Python 3.11, which requirements.lock is for" >&2; exit 2; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
	  { echo "lolvit: $(PYTHON) lacks venv; on Debian, run: apt install python3.11-venv" >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)

$(BIN)/uv: | $(BIN)/python
	@test -x $(BIN)/pip || $(BIN)/python -m ensurepip >/dev/null # an interrupted venv lacks pip
	@sed -n '/^uv==/,/# via/p' requirements.lock > $(VENV)/uv.txt
	$(BIN)/python -m pip install --quiet --require-hashes --requirement $(VENV)/uv.txt

$(STAMP): requirements.lock pyproject.toml | $(BIN)/uv
	uv pip install --require-hashes --requirements requirements.lock
	uv pip install --no-deps --no-build-isolation --editable .
	@touch $@

system-deps: ## install the Debian packages of lolvit/system/packages.txt: as root, or by sudo
	@sh lolvit/system/install.sh --all

# Debian's packages first: the virtual environment needs python3-venv. The downloads are beside each
# other; only one of them may be Maven's.
test-deps: system-deps ## all that the tests use and make install does not bring (1.1 GB the first time)
	@$(MAKE) --no-print-directory install
	@$(MAKE) --no-print-directory --jobs --output-sync=target $(DOWNLOADS)

DOWNLOADS = browser-deps arm64-deps android-deps $(WEB_DEPS)
.PHONY: browser-deps arm64-deps android-deps
browser-deps: install
	lolvit setup browser
arm64-deps: install
	lolvit setup arm64
android-deps: install
	python android_demo/driver fetch --apk

tensorflow: install ## TensorFlow's interpreter, for a second verification of .tflite files (1.3 GB on disk)
	uv pip install --require-hashes --requirements requirements-tensorflow.lock

demo: install ## export LOLViT-X, verify it, measure it; quantize a trained LOLViT-XX, evaluate it; boxes and masks of objects
	lolvit export lolvit_x --to onnx,tflite,coreml --precision fp32,fp16 --out $(OUT)
	lolvit bench lolvit_x --against mobilevit_xs --runtime ort,litert --threads 1 --profile default --out $(OUT)/bench
	lolvit report $(OUT)/bench/result.json --manifest $(OUT)/lolvit_x-256x256 --out $(OUT)/bench/report.html
	lolvit predict $(OUT)/lolvit_x-256x256 $(VENV)/lib/python3.11/site-packages/skimage/data/coffee.png
	lolvit export lolvit_xx --weights lolvit_xx.digits --to onnx --precision fp32,int8 --out $(OUT)
	lolvit evaluate $(OUT)/lolvit_xx-256x256
	lolvit export lolvit_xx --weights lolvit_xx.digits-detection --to onnx --precision fp32 --out $(OUT)
	python -c 'from lolvit_data.annotated import annotated_images; annotated_images("digit-objects", "test").image(8).save("$(OUT)/scene.png")'
	lolvit predict $(OUT)/lolvit_xx-160x192 $(OUT)/scene.png --out $(OUT)/boxes
	lolvit export lolvit_xx --weights lolvit_xx.digits-segmentation --to onnx --precision fp32 --out $(OUT)/segmentation
	lolvit predict $(OUT)/segmentation/lolvit_xx-160x192 $(OUT)/scene.png --out $(OUT)/masks
	@echo "Open $(CURDIR)/$(OUT)/bench/report.html, $(CURDIR)/$(OUT)/boxes/scene.png and $(CURDIR)/$(OUT)/masks/scene.png"

# Two processes with a thread for each core compute several times as long as with one.
test test-fast: export OMP_NUM_THREADS ?= 1

test: install lint type ## ruff, mypy --strict, and every test; says at its end what was skipped
	pytest $(PYTEST_FLAGS)

test-fast: install ## the tests that take less than about ten seconds each
	pytest -m "not slow" $(PYTEST_FLAGS)

MINUTES ?= 10
FUZZ_TARGETS ?=
fuzz: install ## give damaged files to every parser for MINUTES (default: 10) and print a table
	python -m tests.fuzz.run --minutes $(MINUTES) $(FUZZ_TARGETS)

lint: install ## ruff: rules and formatting
	ruff check .
	ruff format --check .

type: install ## mypy --strict
	mypy

panel: install ## verify good artifacts of trained networks, and faulty ones: nothing good refused, every fault caught
	python -m lolvit_export.verification.panel --out $(OUT)/panel

operations: install ## export an operation of torch a network to onnx, tflite and coreml, print what is not (minutes)
	python -m tests.export.operations

timm-models: install ## export the smallest model of each of timm's files to onnx, tflite and coreml, print what is not (hours)
	python -m tests.export.timm_models

library-models: install ## the same with networks of torchvision and transformers (half an hour)
	python -m tests.export.library_models

COUNT ?= 200
KILLS_FLAGS ?=
kills: install ## kill commands COUNT times at random moments, check that nothing is lost (an hour)
	python -m tests.kills --count $(COUNT) $(KILLS_FLAGS)

privacy: install ## run every command and runtime under strace; list sockets, and files written elsewhere (minutes)
	python -m tests.privacy

startup: install ## time --help of lolvit and of each command: at most 0.3 s
	python tests/architecture/startup_time.py

lock: $(BIN)/uv ## fit requirements.lock to pyproject.toml (LOCK_FLAGS=--upgrade: newest in range)
	$(call compile_lock,requirements.lock,--extra all --extra dev $(LOCK_FLAGS))
	$(call compile_lock,requirements-tensorflow.lock,--extra tensorflow --constraints requirements.lock)

# $(call compile_lock,FILE,OPTIONS): pin what pyproject.toml's extras need, with the sha256 of each
# file that may be installed.
define compile_lock
uv pip compile pyproject.toml --universal --python-version 3.11 --quiet --generate-hashes $(2) \
  --no-header --no-emit-index-url --no-emit-find-links --output-file $(1)
@{ echo "# The tested set: Python 3.11, on Linux. Made by: make lock"; \
  sed -e "s/ ; python_full_version < '3.12' and sys_platform != 'win32'\( .\)*$$/\1/" \
    -e "s/python_full_version < '3.12' and //g" $(1); } > $(1).new
@mv $(1).new $(1)
endef

WEB_DEPS := web/node_modules/.package-lock.json
$(WEB_DEPS): web/package-lock.json
	npm ci --prefix web --ignore-scripts
	@touch $@

web-package: $(WEB_DEPS) ## build the npm package for web apps into dist/; needs Node 18 and npm
	@mkdir -p dist
	npm pack ./web --pack-destination dist

web-test: $(WEB_DEPS) ## test the npm package's types, and its code in Node and in a headless Chromium
	npm test --prefix web

ANDROID_FLAGS ?=
MODELS ?= lolvit_x
android: install ## the Android app as a signed APK with MODELS in it; needs zipalign and apksigner too
	python android_demo/driver apk $(MODELS:%=--model %) $(ANDROID_FLAGS)

android-test: install ## test the Android library and app; needs Java 17 and Maven (480 MB the first time)
	python android_demo/driver test $(ANDROID_FLAGS)

IOS_FLAGS ?=
ios-test: install ## test the Swift library on Linux; lolvit setup swift downloads 550 MB at first
	lolvit setup swift
	python ios_demo/driver test $(IOS_FLAGS)

audit: install ## look up the pinned versions in PyPI's database of vulnerabilities (network)
	python tests/packaging/audit.py requirements.lock requirements-tensorflow.lock

docs: install ## build the documentation site into site/, without a network; broken links fail
	NO_MKDOCS_2_WARNING=1 mkdocs build --strict --quiet
	python docs/site/lolvit_site/check.py site
	@echo "Open $(CURDIR)/site/index.html"

# Both are the same, bit by bit, wherever they are built. cyclonedx-py warns that a list of requirements
# has no graph of dependencies.
wheel: install ## build the wheel, and its bill of materials in CycloneDX's form, into dist/
	python -m build --wheel --no-isolation
	@mkdir -p build
	@version=$$(hatchling version) && \
	  sed "s/^dynamic = .*/version = \"$$version\"/" pyproject.toml > build/pyproject.toml && \
	  PYTHONWARNINGS=ignore::UserWarning cyclonedx-py requirements requirements.lock --pyproject build/pyproject.toml \
	    --output-reproducible --output-file dist/lolvit-$$version.cdx.json

RELEASE_FLAGS ?=
release: wheel ## wheel, sdist, bill of materials, notes, SHA256SUMS; install base and extras afresh, run each
	python -m build --sdist --no-isolation
	python -m tests.packaging.release $(RELEASE_FLAGS)

clean: ## remove what building, testing and the demo made; .venv stays
	rm -rf dist build out site android_demo/target ios_demo/build web/types web/LICENSE .pytest_cache .mypy_cache .ruff_cache .hypothesis
