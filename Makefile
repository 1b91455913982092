# Three commands do everything on a machine with Python 3.11+, git and make:
#   make demo    set up, then tune a proxy, check transfer and write the target's configuration on real text
#   make test    set up, then run the tests
#   make recipes set up, then hold the recipes that ship to their rules and to their committed evidence
# All targets are idempotent. Paths are relative, so the checkout may lie under a path with spaces.

PYTHON ?= python3
export PYTHON

.PHONY: help install install-dev demo test test-slow recipes lint lock clean

help:
	@sed -n '2,5p' Makefile | sed 's/^# *//'

install:
	@requirements/install.sh runtime

install-dev:
	@requirements/install.sh dev

demo: install
	.venv/bin/python -m hptransfer run recipes/quickstart.yaml

# worksteal: neighbours stay in one process, and with them what a file's tests share
PYTEST = .venv/bin/python -m pytest -n auto --dist worksteal

test: install-dev
	$(PYTEST)

test-slow: install-dev
	$(PYTEST) -m slow

# those that have a folder in recipes/runs, where evidence is committed (docs/recipes-in-ci.md)
WITH_EVIDENCE = $(patsubst recipes/runs/%/tuned.yaml,recipes/%.yaml,$(wildcard recipes/runs/*/tuned.yaml))

recipes: install-dev recipes/nanogpt-tokens/train.bin
	.venv/bin/python -m hptransfer validate recipes/*.yaml
	.venv/bin/python -m hptransfer validate $(WITH_EVIDENCE) --level static,shapes,evidence,coordinate --runs recipes/runs

# the one recipe whose data are made, from Python's own text
recipes/nanogpt-tokens/train.bin: | install-dev
	.venv/bin/python recipes/nanogpt_tokens.py

lint: install-dev
	.venv/bin/python -m ruff check .
	.venv/bin/python -m ruff format --check .
	.venv/bin/python -m mypy
	.venv/bin/lint-imports

# torch, torchvision, seaborn and pandas are left out on purpose: requirements/overrides.txt
lock: install-dev
	.venv/bin/python requirements/lock.py

clean:
	rm -rf .venv runs dist build .mypy_cache .ruff_cache .pytest_cache
