"""The loop of pre-training on too little data."""

from types import SimpleNamespace

import pytest
from torch.utils.data import DataLoader

from poa_bench.errors import InputError
from poa_bench.pretraining.loop import PretrainLoop


def test_fewer_pictures_than_a_batch():
    """15 pictures, batch 64: no iteration in an epoch, by whose number lengths are divided."""
    runner = SimpleNamespace(param_schedulers=None)
    with pytest.raises(
        InputError, match="15 pictures make no batch of 64 for each process: set train_dataloader.batch"
    ):
        PretrainLoop(runner, DataLoader(range(15), 64, drop_last=True), max_epochs=2)
    assert PretrainLoop(runner, DataLoader(range(15), 15, drop_last=True), max_epochs=2).max_iters == 2
