# make demo   set up on first use, then: train 50 steps, edit the sample faces, evaluate the shipped editor
# make test   set up on first use, then: linter, type checker, all tests
# make study  set up on first use, then: the comparison of all methods (hours; goes on where it was stopped)
# Another interpreter: make demo PYTHON=python3.12
PYTHON ?= python3

ifeq ($(OS),Windows_NT)
VENV_PYTHON := .venv/Scripts/python.exe
else
VENV_PYTHON := .venv/bin/python
endif

.PHONY: demo test study lint setup help clean

demo: setup
	@$(VENV_PYTHON) scripts/demo.py

test: lint
	@$(VENV_PYTHON) -m pytest

study: setup
	@$(VENV_PYTHON) scripts/study_avatars.py

lint: setup
	@$(VENV_PYTHON) -m ruff check .
	@$(VENV_PYTHON) -m mypy

setup:
	@$(PYTHON) scripts/set_up.py

help:
	@sed -n 's/^# //p' Makefile

clean:
	rm -rf output cache
