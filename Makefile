# `make demo` and `make test` each set up .venv first, whatever state it is in. Arguments: make test ARGS="-k elastic"
.PHONY: demo distill-demo test lint setup

demo: setup
	.venv/bin/poa-bench demo $(ARGS)

# a supernet that learns from the intact network of another one, beside the sizes that are cut from that
distill-demo: setup
	.venv/bin/poa-bench demo --distill $(ARGS)

# one process a core, at most 8 (each needs 2 GB), with one thread each: waiting threads would take the cores from others
test: setup
	OMP_NUM_THREADS=1 .venv/bin/python -m pytest -n auto --maxprocesses 8 $(ARGS)

lint: setup
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .

setup:
	@PYTHON="$(PYTHON)" MMCV_OPS="$(MMCV_OPS)" sh tools/setup_environment.sh
