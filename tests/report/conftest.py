"""A folder of results that the tests of the report read."""

import pytest

from poa_bench.runs.results import write_result
from tests.report.made import demo_results


@pytest.fixture(scope="session")
def demo_folder(tmp_path_factory):
    """A folder of result files as `demo_results`."""
    folder = tmp_path_factory.mktemp("demo") / "results"
    for result in demo_results():
        write_result(result, folder)
    return folder
