"""The sampler: order, dealing out to ranks, resuming by skip and by epoch."""

import itertools
import pickle

import numpy as np
import pytest
import torch
from mmengine.runner import Runner
from torch.utils.data import DataLoader

from poa_bench.errors import InputError
from poa_bench.pretraining import samplers
from poa_bench.pretraining.samplers import ResumableSampler, SampleIndex


def take(sampler: ResumableSampler, count: int) -> list[tuple]:
    return [(int(i), i.epoch, i.stream, i.position) for i in itertools.islice(sampler, count)]


def of_rank(monkeypatch: pytest.MonkeyPatch, rank: int, world_size: int, **kwargs) -> ResumableSampler:
    monkeypatch.setattr(samplers, "get_dist_info", lambda: (rank, world_size))
    return ResumableSampler(range(10), seed=3, **kwargs)


def test_every_epoch_shows_each_picture_once_in_a_new_order():
    drawn = take(ResumableSampler(range(10), seed=3), 30)
    epochs = [[index for index, epoch, *_ in drawn if epoch == e] for e in range(3)]
    assert all(sorted(epoch) == list(range(10)) for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2]
    assert drawn != take(ResumableSampler(range(10), seed=4), 30)


@pytest.mark.parametrize("skipped", [0, 1, 9, 10, 25])
def test_skip_continues_where_the_uninterrupted_run_is(skipped):
    sampler = ResumableSampler(range(10), seed=3)
    sampler.skip(skipped)
    assert take(sampler, 7) == take(ResumableSampler(range(10), seed=3), skipped + 7)[skipped:]


@pytest.mark.parametrize("world_size", [2, 3])
def test_ranks_together_see_the_batches_of_one_process(monkeypatch, world_size):
    alone = take(of_rank(monkeypatch, 0, 1), 4 * world_size)
    ranks = [take(of_rank(monkeypatch, rank, world_size), 4) for rank in range(world_size)]
    assert [row for rows in zip(*ranks, strict=True) for row in rows] == alone


@pytest.mark.parametrize(("drop_last", "length"), [(True, 3), (False, 4)])
def test_finite_epochs_are_equally_long_on_all_ranks(monkeypatch, drop_last, length):
    drawn = []
    for rank in range(3):
        sampler = of_rank(monkeypatch, rank, 3, infinite=False, drop_last=drop_last)
        sampler.set_epoch(5)
        drawn += list(sampler)
        assert len(list(sampler)) == len(sampler) == length
    assert {(index.epoch, index.stream) for index in drawn} == {(5, 5)}
    assert len(set(drawn)) == (9 if drop_last else 10)


def test_no_shuffle_counts_up():
    assert list(itertools.islice(ResumableSampler(range(3), shuffle=False), 5)) == [0, 1, 2, 0, 1]


def test_sample_index_survives_the_way_to_a_worker():
    index = pickle.loads(pickle.dumps(SampleIndex(7, seed=9, epoch=2, stream=1, position=27, world_size=4)))
    found = (index, index.seed, index.epoch, index.stream, index.position, index.world_size)
    assert found == (7, 9, 2, 1, 27, 4)


def test_more_ranks_than_pictures_is_refused(monkeypatch):
    with pytest.raises(InputError, match="10 pictures for 11 processes"):
        of_rank(monkeypatch, 0, 11)


def test_skipping_backwards_is_refused():
    with pytest.raises(InputError, match="skip -1"):
        ResumableSampler(range(10)).skip(-1)


class CountingReads(torch.utils.data.Dataset):
    """Notes which pictures are read."""

    def __init__(self):
        self.read: list[int] = []

    def __len__(self) -> int:
        return 10

    def __getitem__(self, index: SampleIndex) -> int:
        self.read.append(int(index))
        return int(index)


def test_mmengine_loop_resumes_without_a_read(tmp_path):
    """Iterations 5 to 7 of a resumed stock loop read the straight run's pictures of iterations 5 to 7 and no others."""
    reads = []
    for start in (0, 5):
        data = CountingReads()
        loader = DataLoader(data, batch_size=2, sampler=ResumableSampler(data, seed=1), collate_fn=list)
        model = Recorder()
        runner = Runner(
            model=model,
            work_dir=str(tmp_path / str(start)),
            train_dataloader=loader,
            train_cfg=dict(by_epoch=False, max_iters=8),
            optim_wrapper=dict(optimizer=dict(type="SGD", lr=0.1)),
            default_hooks=dict(checkpoint=None, logger=None, runtime_info=None),
            experiment_name=f"sampler-{start}",
            log_level="ERROR",
        )
        runner.train_loop._iter = start
        runner.train()
        reads.append(data.read)
    assert len(reads[0]) == 16
    assert reads[1] == reads[0][10:]


class Recorder(torch.nn.Module):
    """The smallest model that the runner trains."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(1))

    def train_step(self, data, optim_wrapper):
        optim_wrapper.update_params(self.weight.sum() * np.mean(data))
        return {"loss": self.weight.detach()}
