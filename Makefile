# `make demo` and `make test` each set up .venv first, whatever state it is in. Arguments: make test ARGS="-k elastic"
.PHONY: demo distill-demo test test-robust test-soak lint setup

demo: setup
	.venv/bin/poa-bench demo $(ARGS)

# a supernet that learns from the intact network of another one, beside the sizes that are cut from that
distill-demo: setup
	.venv/bin/poa-bench demo --distill $(ARGS)

# one process a core, at most 8 (each needs 2 GB), with one thread each: waiting threads would take the cores from others
test: setup
	OMP_NUM_THREADS=1 .venv/bin/python -m pytest -n auto --maxprocesses 8 $(ARGS)

# generated cases of broken files and values, 100 for each kind; `make test` has a sample of them
test-robust: setup
	POA_BENCH_EXAMPLES=100 OMP_NUM_THREADS=1 .venv/bin/python -m pytest -n auto --maxprocesses 8 tests/test_robust.py $(ARGS)

# faults while real processes work: signals, stopped processes, a small /dev/shm
test-soak: setup
	OMP_NUM_THREADS=1 .venv/bin/python -m pytest -n 0 -m soak $(ARGS)

lint: setup
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .

setup:
	@PYTHON="$(PYTHON)" MMCV_OPS="$(MMCV_OPS)" sh tools/setup_environment.sh
