# make setup  create .venv and install the packages and this project into it (minutes, once)
# make demo   set up if needed, then: train 50 steps, edit the sample faces, evaluate the shipped editor
# make test   set up if needed, then: linter, type checker, all tests
# make study  set up if needed, then: the comparison of all methods (hours; continues where it was stopped)
# make lint   set up if needed, then: linter and type checker
# make clean  delete output/ and cache/
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
