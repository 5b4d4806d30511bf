"""Fixtures shared by the tests of the families."""

from collections.abc import Callable

import pytest
import torch

from poa_bench.elastic import Supernet


@pytest.fixture(scope="session")
def randomised() -> Callable[[Supernet], Supernet]:
    """No zero and no unit parameter left, so that nothing can hide."""

    def randomise(supernet: Supernet) -> Supernet:
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():
            for parameter in supernet.parameters():
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.2)
        return supernet.eval()

    return randomise
