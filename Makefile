# `make demo` and `make test` each set up .venv first, whatever state it is in. Arguments: make test ARGS="-k elastic"
.PHONY: demo test lint setup

demo: setup
	.venv/bin/poa-bench demo $(ARGS)

test: setup
	.venv/bin/python -m pytest $(ARGS)

lint: setup
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .

setup:
	@PYTHON="$(PYTHON)" sh tools/setup_environment.sh
