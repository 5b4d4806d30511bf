"""Multi-crop views: distribution, order in the batch, and independence of workers and ranks."""

from random import Random

import numpy as np
import pytest
import torch
from mmengine.registry import FUNCTIONS, TRANSFORMS
from PIL import Image
from scipy.stats import ks_2samp
from torch.utils.data import DataLoader
from torchvision.transforms.v2 import RandomResizedCrop

from poa_bench.errors import InputError
from poa_bench.pretraining import samplers
from poa_bench.pretraining.crops import MultiCrop, collate_crops, draw_box, resize
from poa_bench.pretraining.samplers import ResumableSampler, SampleIndex

SMALL = dict(global_size=16, local_size=8, local_count=3)


class Pictures(torch.utils.data.Dataset):
    """Twelve random pictures of different sizes, cut by ``transform``; read anew in whichever process asks."""

    def __init__(self, **arguments):
        self.transform = MultiCrop(**{**SMALL, **arguments})

    def __len__(self) -> int:
        return 12

    def __getitem__(self, index: SampleIndex) -> dict:
        generator = torch.Generator().manual_seed(int(index))
        inputs = torch.randint(0, 256, (3, 20 + int(index), 30), dtype=torch.uint8, generator=generator)
        return self.transform({"inputs": inputs, "sample_idx": index, "name": f"p{index}", "label": int(index) % 3})


def batches(
    count: int, batch_size: int = 4, workers: int = 0, skipped: int = 0, mask_groups: int | None = None, **arguments
) -> list[dict]:
    data = Pictures(**arguments)
    sampler = ResumableSampler(data, seed=5)
    sampler.skip(skipped * batch_size)
    loader = DataLoader(
        data,
        batch_size,
        sampler=sampler,
        num_workers=workers,
        collate_fn=lambda batch: collate_crops(batch, (4, 4), mask_groups=mask_groups),
    )
    iterator = iter(loader)
    return [next(iterator) for _ in range(count)]


def assert_equal(first: dict, second: dict) -> None:
    for key, values in first["data_samples"].items():
        assert np.array_equal(values, second["data_samples"][key]), key
    assert first["inputs"].keys() == second["inputs"].keys()
    for key, value in first["inputs"].items():
        assert torch.equal(value, second["inputs"][key]), key


@pytest.mark.parametrize("scale", [(0.32, 1.0), (0.05, 0.32)])
def test_boxes_follow_torchvisions_distribution(scale):
    random, image = Random(0), torch.zeros(3, 60, 90)
    torch.manual_seed(0)
    ours = np.array([draw_box(60, 90, scale, random) for _ in range(3000)])
    transform = RandomResizedCrop(8, scale=scale)
    drawn = [transform.make_params([image]) for _ in range(3000)]
    theirs = np.array([[d[key] for key in ("top", "left", "height", "width")] for d in drawn])
    for column in range(4):
        assert ks_2samp(ours[:, column], theirs[:, column]).pvalue > 1e-4


def test_a_narrow_image_gives_its_greatest_allowed_crop():
    assert draw_box(100, 10, (0.9, 1.0), Random(0)) == (43, 0, 13, 10)


@pytest.mark.parametrize("size", [(40, 50), (9, 12), (16, 16)])
def test_resize_keeps_smooth_pictures(size):
    """A linear ramp stays a linear ramp, whether it grows or shrinks."""
    ramp = np.linspace(20, 220, size[1], dtype=np.float32)
    picture = np.rint(np.broadcast_to(ramp[:, None], (*size, 3))).astype(np.uint8)
    resized = resize(picture, 16)
    assert resized.shape == (16, 16, 3)
    centers = (np.arange(16) + 0.5) * size[1] / 16 - 0.5
    expected = np.interp(centers, np.arange(size[1]), ramp)
    assert np.abs(resized[:, 2:-2, 0] - expected[2:-2]).max() < 3


@pytest.mark.parametrize("height, width", [(70, 80), (97, 60), (60, 97), (40, 300), (150, 160), (64, 64)])
def test_resize_is_pils(height, width):
    """Enlarged, made smaller, or one of them along each side: then the side that shrinks is filtered all the same."""
    rng = np.random.default_rng(0)
    rough = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    coarse = Image.fromarray(rng.integers(0, 256, (9, 9, 3), dtype=np.uint8))
    smooth = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC))
    for picture, most, mean in ((smooth, 2, 0.3), (rough, 24, 0.6)):
        expected = np.asarray(Image.fromarray(picture).resize((96, 96), Image.Resampling.BICUBIC))
        difference = np.abs(resize(picture, 96).astype(int) - expected)
        assert difference.max() <= most and difference.mean() < mean


def test_batch_is_ordered_view_by_view():
    data, (batch,) = Pictures(), batches(1)
    indices = batch["data_samples"]["index"].tolist()
    items = [data[SampleIndex(index, seed=5)] for index in indices]
    inputs = batch["inputs"]
    assert inputs["global_crops"].shape == (8, 3, 16, 16) and inputs["local_crops"].shape == (12, 3, 8, 8)
    assert inputs["masks"].shape == (8, 16) and inputs["masks"].dtype == torch.bool
    for picture, item in enumerate(items):
        for view in range(2):
            assert torch.equal(inputs["global_crops"][view * 4 + picture], item["global_crops"][view])
        for view in range(3):
            assert torch.equal(inputs["local_crops"][view * 4 + picture], item["local_crops"][view])
    assert batch["data_samples"]["name"].tolist() == [f"p{index}" for index in indices]
    assert batch["data_samples"]["label"].tolist() == [index % 3 for index in indices]


@pytest.mark.parametrize("workers", [1, 3])
def test_number_of_workers_does_not_matter(workers):
    for one, other in zip(batches(4, photometric={}), batches(4, workers=workers, photometric={}), strict=True):
        assert_equal(one, other)


def test_resumed_batches_equal_the_uninterrupted_ones():
    for one, other in zip(batches(6)[4:], batches(2, skipped=4), strict=True):
        assert_equal(one, other)


@pytest.mark.parametrize(("alone", "together"), [(1, 1), (2, 2), (2, None)])
def test_ranks_have_the_crops_and_masks_of_one_process(alone, together, monkeypatch):
    """With the same number of groups, which by default is that of the ranks."""
    whole = batches(2, mask_groups=alone)
    monkeypatch.setattr(samplers, "get_dist_info", lambda: (1, 2))
    for one, other in zip(whole, batches(2, batch_size=2, mask_groups=together), strict=True):
        for key, value in other["inputs"].items():
            views = len(value) // 2
            assert torch.equal(value, one["inputs"][key].unflatten(0, (views, 4))[:, 1::2].flatten(0, 1)), key


def test_epoch_and_seed_change_the_crops():
    data = Pictures()
    first = data[SampleIndex(3, epoch=0)]["global_crops"]
    assert torch.equal(first, data[SampleIndex(3, epoch=0, position=99)]["global_crops"])
    assert not torch.equal(first, data[SampleIndex(3, epoch=1)]["global_crops"])
    assert not torch.equal(first, data[SampleIndex(3, seed=1)]["global_crops"])


def test_the_device_gets_the_parameters_that_the_worker_applies():
    (plain,), (left,) = batches(1, photometric={}), batches(1, photometric={}, on_device=True)
    from poa_bench.pretraining.photometric import change_batch

    for kind, rows in (("global", 8), ("local", 12)):
        parameters = left["inputs"][f"photometric_{kind}"]
        assert parameters.shape == (rows, 11)
        changed = change_batch(left["inputs"][f"{kind}_crops"], parameters) * 255
        # noise pictures are the worst case for rounding, hue bytes and the edge of solarisation
        assert (changed - plain["inputs"][f"{kind}_crops"]).abs().median() < 1.5


def test_the_samplers_seed_changes_the_masks():
    data = Pictures()
    items = [[data[SampleIndex(i, seed=seed, position=i)] for i in range(4)] for seed in (0, 0, 1)]
    masks = [collate_crops(batch, (8, 8))["inputs"]["masks"] for batch in items]
    assert torch.equal(masks[0], masks[1]) and not torch.equal(masks[0], masks[2])


def test_each_process_masks_half_of_its_crops():
    data = Pictures()
    for position in range(0, 40, 4):  # of two processes with two pictures each
        for rank in range(2):
            places = (position + rank, position + rank + 2)
            items = [data[SampleIndex(0, seed=5, position=place, world_size=2)] for place in places]
            assert collate_crops(items, (14, 14))["inputs"]["masks"].any(dim=1).sum() == 2  # of four crops


def test_no_local_crops():
    (batch,) = batches(1, local_count=0)
    assert batch["inputs"]["local_crops"].shape == (0, 3, 8, 8)


def test_configs_find_them_by_name():
    assert isinstance(TRANSFORMS.build(dict(type="poa_bench.MultiCrop")), MultiCrop)
    assert FUNCTIONS.get("poa_bench.collate_crops") is collate_crops


def test_bad_input_is_named():
    with pytest.raises(InputError, match="type='poa_bench.ResumableSampler'"):
        Pictures()[3]
    with pytest.raises(InputError, match="Photometric takes no"):
        MultiCrop(photometric=dict(blurr=1))
