.PHONY: run test test-long install format lint types check wheel

PYTHON ?= python3.11
BIN = .venv/bin

run: install
	$(BIN)/gdwatch run

test: install
	$(BIN)/pytest

test-long: install  # hours; what was counted stands in faults.json, and the next one goes on there
	$(BIN)/pytest tests/faults --long

install: .venv/installed

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[heif,postgresql,train,teachers,dev]'
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
	$(BIN)/pytest tests/test_readme.py

wheel: install
	$(BIN)/pip wheel --quiet --no-deps --wheel-dir dist .
