# Every target sets up what it needs: a virtual environment in .venv from the pinned requirements.

PYTHON ?= python3
CORES ?= all
STUDY ?= mini-la
BIN := .venv/bin
SNAKEMAKE := $(BIN)/snakemake --cores $(CORES)

.PHONY: help setup test-setup demo mini test test-fast lint format dry-run bench freeze clean

help:
	@echo "make demo      the whole workflow on synthetic scans, minutes on two cores"
	@echo "make test      all tests"
	@echo "make mini      real scans, shrunk; STUDY=$(STUDY); under two hours on two cores"
	@echo "make dry-run   list every job of the papers' protocol without doing one"
	@echo "make bench     speed of metrics and training steps, as ratios, and memory of preparing"
	@echo "make lint | format | setup | test-fast | freeze | clean"

# --- environment -------------------------------------------------------------------------------------------------------

.venv/python.stamp:
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(v not in ((3, 11), (3, 12)) and "Python 3.11 or 3.12 is needed, found %d.%d; say make PYTHON=python3.12" % v)'
	$(PYTHON) -m venv .venv
	@touch $@

.venv/run.stamp: .venv/python.stamp requirements.txt constraints.txt
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements.txt -c constraints.txt
	@touch $@

.venv/test.stamp: .venv/run.stamp requirements-test.txt
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements-test.txt -c constraints.txt
	@touch $@

setup: .venv/run.stamp

test-setup: .venv/test.stamp

freeze: .venv/test.stamp
	$(BIN)/pip freeze | sed 's/+cpu//' | grep -v '^torch==' > constraints.txt

# --- running -----------------------------------------------------------------------------------------------------------

demo: setup
	$(SNAKEMAKE) --configfile config/demo.yaml --quiet rules host
	@echo; cat results/demo/tables/demo-la.md results/demo/tables/demo-acdc.md results/demo/tables/demo-isic.md
	@echo "Table:   results/demo/tables/all.tex (and .md, .csv per study)"
	@echo "Figures: results/demo/figures/"
	@echo "Report:  results/demo/report.html"

mini: setup
	$(SNAKEMAKE) --configfile config/mini.yaml --config 'studies=["$(STUDY)"]' --quiet rules host
	@echo; cat results/mini/tables/$(STUDY).md
	@echo "Report:  results/mini/report.html"

dry-run: setup
	$(SNAKEMAKE) -n --quiet rules host -- results/tables/all.tex

# --- checking ----------------------------------------------------------------------------------------------------------

test: .venv/test.stamp
	$(BIN)/pytest

test-fast: .venv/test.stamp
	$(BIN)/pytest tests/unit

lint: .venv/test.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/snakefmt --check Snakefile workflow/rules
	$(BIN)/snakemake --lint

format: .venv/test.stamp
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/snakefmt Snakefile workflow/rules

bench: .venv/test.stamp
	$(BIN)/python benchmarks/bench_metrics.py
	$(BIN)/python benchmarks/bench_step.py
	$(BIN)/python benchmarks/bench_step.py --backbone unet --repeats 3
	$(BIN)/python benchmarks/bench_step.py --backbone densenet121 --repeats 3
	$(BIN)/python benchmarks/bench_views.py
	$(BIN)/python benchmarks/bench_prepare_memory.py
	$(BIN)/python benchmarks/bench_prepare.py

clean:
	rm -rf .venv .snakemake results/demo
