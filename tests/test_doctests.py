"""Examples in docstrings are true."""

import doctest
from importlib import import_module

import pytest

WITH_EXAMPLES = {
    "poa_bench.elastic.space": 5,
    "poa_bench.tasks": 2,
    "poa_bench.downstream.clustering": 1,
    "poa_bench.downstream.retrieval": 2,
    "poa_bench.downstream.spectrum": 1,
    "poa_bench.downstream.calibration": 2,
    "poa_bench.report.analysis": 1,
}


@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_examples(name):
    found = doctest.testmod(import_module(name))
    assert found.failed == 0 and found.attempted >= WITH_EXAMPLES[name]
