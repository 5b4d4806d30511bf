"""The order of the pictures as a function of (seed, epoch, rank, position): any position is reached without a read."""

from collections.abc import Iterator, Sized

import numpy as np
from mmengine.dist import get_dist_info, sync_random_seed
from torch.utils.data import Sampler

from poa_bench.errors import InputError
from poa_bench.registry import DATA_SAMPLERS


class SampleIndex(int):
    """The number of a picture that also says when it is drawn, so that its crops and masks can depend on that alone.

    It is an int to data sets, which hand it on as ``sample_idx``.

    Attributes:
        seed: the sampler's.
        epoch: how often the whole data set was drawn before, by all ranks together.
        stream: how often the sampler was restarted: 0 where it is infinite, else the epoch.
        position: place in the stream, counted over all ranks.
        world_size: number of ranks; those of one rank are the positions ``rank, rank + world_size, ...``.
    """

    seed: int
    epoch: int
    stream: int
    position: int
    world_size: int

    def __new__(
        cls, index: int, seed: int = 0, epoch: int = 0, stream: int = 0, position: int = 0, world_size: int = 1
    ):
        number = super().__new__(cls, index)
        number.seed, number.epoch, number.stream = seed, epoch, stream
        number.position, number.world_size = position, world_size
        return number

    def __getnewargs__(self) -> tuple[int, ...]:
        return int(self), self.seed, self.epoch, self.stream, self.position, self.world_size


@DATA_SAMPLERS.register_module()
class ResumableSampler(Sampler):
    """Shuffle the data set anew in each epoch and deal the pictures out to the ranks in turn.

    All ranks together see the same pictures in the same global batch whatever their number. ``IterBasedTrainLoop``
    resumes by :meth:`skip`, without a read; ``EpochBasedTrainLoop`` (``infinite=False``) by :meth:`set_epoch`.

    Args:
        dataset: the data set, of which only the length is used.
        shuffle: whether to shuffle; False gives 0, 1, 2, ... in each epoch.
        seed: seed of the order, and of the crops and masks; None draws one and shares it among the ranks.
        infinite: whether to go on for ever, epoch after epoch without a seam (a batch may hold pictures of two epochs,
            none is left out), or to stop after one epoch.
        drop_last: where not infinite and the ranks do not divide the pictures: leave the last ones out (True) or start
            again with the first ones (False), so that every rank gets the same number.

    Raises:
        InputError: fewer pictures than ranks.
    """

    def __init__(
        self,
        dataset: Sized,
        shuffle: bool = True,
        seed: int | None = None,
        infinite: bool = True,
        drop_last: bool = True,
    ):
        self.rank, self.world_size = get_dist_info()
        self.total = len(dataset)
        if self.total < self.world_size:
            raise InputError(
                f"the data set has {self.total} pictures for {self.world_size} processes; use at most one process each"
            )
        self.shuffle, self.infinite, self.drop_last = shuffle, infinite, drop_last
        self.seed = sync_random_seed() if seed is None else seed
        self._epoch = self._skipped = 0
        self._order: tuple[int, np.ndarray] | None = None

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch that the next iteration gives; without effect where infinite."""
        self._epoch = epoch

    def skip(self, num_samples: int) -> None:
        """Let the next iterations start after this rank's first ``num_samples`` pictures (called on resume)."""
        if num_samples < 0:
            raise InputError(f"cannot skip {num_samples} pictures; give 0 or more")
        self._skipped = num_samples

    def __len__(self) -> int:
        """Pictures of this rank in an epoch."""
        return self.total // self.world_size if self.drop_last else -(-self.total // self.world_size)

    def __iter__(self) -> Iterator[SampleIndex]:
        place = self._skipped
        while self.infinite or place < len(self):
            yield self._draw(place * self.world_size + self.rank)
            place += 1

    def _draw(self, position: int) -> SampleIndex:
        """Return the picture at ``position`` of the stream over all ranks."""
        stream = 0 if self.infinite else self._epoch
        epoch = position // self.total if self.infinite else self._epoch
        if self._order is None or self._order[0] != epoch:
            self._order = epoch, self._permutation(epoch)
        index = self._order[1][position % self.total]
        return SampleIndex(index, self.seed, epoch, stream, position, self.world_size)

    def _permutation(self, epoch: int) -> np.ndarray:
        if not self.shuffle:
            return np.arange(self.total)
        return np.random.default_rng([self.seed, epoch]).permutation(self.total)
