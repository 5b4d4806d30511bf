"""A run that tests compare theirs with."""

import pytest

from tests.pretraining.steps import one_process


@pytest.fixture(scope="session")
def single(tmp_path_factory):
    """The work directory of three steps of one process."""
    return one_process(tmp_path_factory.mktemp("single") / "run")
