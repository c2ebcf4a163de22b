# `make run` and `make test` are all that a fresh machine with Python 3.11, git and make needs.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
PROFILE ?= sample
VENV := .venv
PY := $(VENV)/bin/python
READY := $(VENV)/ready

.PHONY: run test lab clean lock

run: $(READY)
	$(PY) run_all.py --profile $(PROFILE)

test: $(READY)
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m pytest tests/test_smoke.py
	$(PY) -m pytest --ignore tests/test_smoke.py

lab: $(READY)
	$(PY) -m jupyterlab --notebook-dir notebooks

# Removes the environment and caches in the checkout; results stay (`run_all.py --clean` removes those).
clean:
	rm -rf $(VENV) .pytest_cache .ruff_cache *.egg-info

$(READY): requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed, $(PYTHON) is older; set PYTHON=/path/to/python3.11"; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(PY) -m pip install --quiet --requirement requirements.txt
	$(PY) -m pip install --quiet --no-deps --no-build-isolation --editable .
	touch $(READY)

# Resolves pyproject.toml anew for all platforms (maintainers; needs `uv`).
lock:
	(head -n 1 requirements.txt; uv pip compile pyproject.toml --extra dev --extra dask --universal \
	  --python-version 3.11 --no-header --no-annotate --quiet) > requirements.txt.new
	mv requirements.txt.new requirements.txt
