"""Training crops: every picture once per pass, each item a function of its number, crops as torchvision draws them."""

import numpy as np
import pytest
import torch
from torchvision.transforms import v2

from poa_bench.datasets.classification import ImageDataset
from poa_bench.datasets.sources import ArraySource
from poa_bench.downstream.images import EvaluationData
from poa_bench.downstream.labelled_images import LabelledImages
from poa_bench.downstream.training_crops import TrainingCrops


def pictures(count: int = 10, workers: int = 0, batch_size: int = 4) -> LabelledImages:
    """Plain pictures: picture i has the value 20 i left and 20 i + 10 right, and label i."""
    values = np.zeros((count, 24, 48, 3), np.uint8)
    values[:, :, :24] = 20 * np.arange(count)[:, None, None, None]
    values[:, :, 24:] = values[:, :, :1] + 10
    names = np.array([str(i).encode() for i in range(count)])
    source = ArraySource(values, np.arange(count), tuple(map(str, range(count))), names)
    data = EvaluationData("made", train={}, test={}, workers=workers, batch_size=batch_size).resolved(None, 16)
    return LabelledImages(data, "train", ImageDataset(source))


def test_every_picture_once_then_again_in_another_order():
    positions = [1, 2, 3, 5, 7, 8]
    crops = TrainingCrops(pictures(), positions, 18, seed=0)
    labels = [crops[number][1] for number in range(len(crops))]
    passes = [labels[first : first + 6] for first in (0, 6, 12)]
    assert all(sorted(one) == positions for one in passes) and passes[0] != passes[1] != passes[2]
    for image, label in (crops[number] for number in range(18)):
        assert image.shape == (3, 16, 16) and image.dtype == torch.uint8
        assert 20 * label - 2 <= image.min() and image.max() <= 20 * label + 12  # bicubic overshoots


@pytest.mark.parametrize("workers", [0, 2])
def test_items_depend_on_seed_and_number_alone(workers):
    one, other = (TrainingCrops(pictures(workers=w), range(10), 24, seed=3) for w in (0, workers))
    torch.manual_seed(workers)  # of no account
    batches = list(other.batches(8))
    state = torch.random.get_rng_state()
    assert [[len(labels) for _, labels in parts] for parts in batches] == [[4, 4]] * 3
    images = torch.cat([image for parts in batches for image, _ in parts])
    assert all(torch.equal(images[number], one[number][0]) for number in (23, 0, 11))
    assert torch.equal(state, torch.random.get_rng_state())
    changed = TrainingCrops(pictures(), range(10), 24, seed=4)
    assert sum(torch.equal(one[number][0], changed[number][0]) for number in range(24)) < 8
    assert [len(labels) for parts in one.batches(6) for _, labels in parts] == [4, 2] * 4


def test_crops_and_flips_are_torchvisions():
    """The same numbers drawn give the same picture; about half are mirrored."""
    images = pictures(1)
    crops = TrainingCrops(images, [0], 200, seed=0)
    image = images.read(0)[0]
    reference = v2.RandomResizedCrop(16, interpolation=v2.InterpolationMode.BICUBIC, antialias=True)
    mirrored, symmetric = 0, 0
    for number in range(200):
        torch.manual_seed(int(np.random.SeedSequence((0, 1, number)).generate_state(1)[0]))
        expected = reference(image)
        found = crops[number][0]
        symmetric += torch.equal(expected, expected.flip(-1))
        if not torch.equal(found, expected):
            assert torch.equal(found, expected.flip(-1))
            mirrored += 1
    assert 0.4 < mirrored / (200 - symmetric) < 0.6
