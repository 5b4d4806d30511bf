"""Randomly cropped and flipped training pictures of an evaluation, for heads that are trained step by step."""

from collections.abc import Iterator, Sequence
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2

from poa_bench.downstream.labelled_images import LabelledImages


class TrainingCrops(Dataset):
    """An endless stream of shuffled pictures, of which `count` are taken: each once, then again in another order.

    Item n, (image (3, S, S) uint8, label), is a function of (seed, n) alone: picture, crop (8 to 100 % of the area,
    aspect 3/4 to 4/3), flip (one in two).

    Args:
        images: the split that the pictures are from; its data say the size S and the interpolation.
        positions: the pictures to use.
        count: items.
        seed: of order, crops and flips.
    """

    def __init__(self, images: LabelledImages, positions: Sequence[int], count: int, seed: int) -> None:
        self.images, self.positions, self.count, self.seed = images, positions, count, seed
        mode = v2.InterpolationMode(images.data.interpolation)
        crop = v2.RandomResizedCrop([images.data.image_size] * 2, interpolation=mode)
        self.transform = v2.Compose([crop, v2.RandomHorizontalFlip()])

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, number: int) -> tuple[Tensor, int]:
        epoch, place = divmod(number, len(self.positions))
        order = order_of(self.seed, epoch, len(self.positions))
        image, label, _ = self.images.read(int(self.positions[order[place]]))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(_seed_of(self.seed, 1, number))
            return self.transform(image), label

    def batches(self, batch: int) -> Iterator[list[tuple[Tensor, Tensor]]]:
        """Batches of `batch` pictures, each in the parts that go through a network together: (images, labels)."""
        part = min(self.images.data.batch_size, batch)
        parts = [range(start, min(start + part, batch)) for start in range(0, batch, part)]
        numbers = [[first + place for place in places] for first in range(0, self.count, batch) for places in parts]
        loaded = iter(DataLoader(self, batch_sampler=numbers, num_workers=self.images.data.workers))
        for _ in range(self.count // batch):
            yield [next(loaded) for _ in parts]


@lru_cache(maxsize=2)  # workers are around the end of an epoch at different times
def order_of(seed: int, epoch: int, count: int) -> Tensor:
    """Places of the pictures in the order in which `TrainingCrops` takes them the n-th time, (count,) int64."""
    return torch.randperm(count, generator=torch.Generator().manual_seed(_seed_of(seed, 0, epoch)))


def _seed_of(*key: int) -> int:
    """A seed of its own for every key: torch looks at the lowest 32 bits alone."""
    return int(np.random.SeedSequence(key).generate_state(1)[0])
