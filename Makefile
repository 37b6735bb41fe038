# Two commands on a fresh machine: `make demo` and `make test`. Each sets itself up.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
TEST_JOBS ?= $(shell n=$$(nproc); echo $$((n < 4 ? n + 1 : 4)))
AUDIT := .venv-audit

.PHONY: demo test unit faults lint bench sbom audit clean
.DEFAULT_GOAL := test

$(STAMP): pyproject.toml constraints.txt no-deps.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --requirement no-deps.txt
	@touch $@

demo: $(STAMP)
	$(BIN)/hoaban up --data data/demo

# Most tests wait more than they work, so files run side by side, the longest first (tests/conftest.py); each starts
# servers of its own.
test: $(STAMP)
	$(BIN)/python -m pytest --numprocesses $(TEST_JOBS) --dist loadfile --no-loadscope-reorder

unit: $(STAMP)
	$(BIN)/python -m pytest tests/unit

# Seeded faults and odd requests, many of them; `make test` has a few. HOABAN_FAULT_SEED=N begins at another seed.
PROCESS_FAULTS ?= 20
FAULT_REPORT := $(VENV)/faults.jsonl
faults: $(STAMP)
	rm -f $(FAULT_REPORT)
	HOABAN_FAULT_RUNS=200 HOABAN_PUBLISHING_FAULT_RUNS=30 HOABAN_SOURCE_CHANGES=1000 HOABAN_FAULT_REPORT=$(FAULT_REPORT) \
		HOABAN_PROCESS_FAULT_RUNS=$(PROCESS_FAULTS) $(BIN)/python -m pytest -m faults; \
		code=$$?; $(BIN)/python -m tests.faults.summary $(FAULT_REPORT) && exit $$code
	HOABAN_ODD_REQUESTS=200 $(BIN)/python -m pytest tests/integration/test_odd_requests.py
	HOABAN_KILL_RUNS=20 $(BIN)/python -m pytest tests/integration/test_exactly_once.py tests/integration/test_killed_proof.py

lint: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

bench: $(STAMP)
	$(BIN)/python -m benchmarks

# What an installation consists of, for whoever has to know: CycloneDX.
sbom: $(STAMP) $(AUDIT)/.installed
	$(AUDIT)/bin/cyclonedx-py environment --output-reproducible --output-file sbom.cdx.json $(BIN)/python

# Known vulnerabilities of what is pinned. Asks a service on the internet; where that cannot be reached it says so.
audit: $(AUDIT)/.installed
	.ci/audit $(AUDIT)/bin/pip-audit

$(AUDIT)/.installed: audit-requirements.txt
	$(PYTHON) -m venv $(AUDIT)
	$(AUDIT)/bin/python -m pip install --quiet --disable-pip-version-check --requirement audit-requirements.txt
	@touch $@

clean:
	rm -rf $(VENV) $(AUDIT) sbom.cdx.json build *.egg-info .pytest_cache .mypy_cache .ruff_cache
