"""Features of all sizes from one pass, equal to those of each extracted network on its own."""

import numpy as np
import pytest
import torch

from poa_bench.datasets.classification import ImageDataset
from poa_bench.datasets.sources import ArraySource
from poa_bench.downstream import labelled_images as images_module
from poa_bench.downstream.features import class_features, extract_features, groups_of_sizes, pixel_features
from poa_bench.downstream.images import EvaluationData
from poa_bench.downstream.labelled_images import LabelledImages
from poa_bench.errors import InputError
from tests.downstream.networks import SPACES, tiny_supernet
from tests.downstream.processes import in_two_processes


class Counting(ArraySource):
    """Counts how often a picture is read."""

    reads = 0

    def read(self, position: int) -> torch.Tensor:
        """Return picture ``position``."""
        type(self).reads += 1
        return super().read(position)


def made_images(count: int = 23, size: int = 64, **settings) -> LabelledImages:
    """Noise pictures of four classes."""
    Counting.reads = 0
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 256, (count, size, size, 3), dtype=np.uint8)
    names = np.array([f"made/{i}".encode() for i in range(count)])
    source = Counting(pictures, np.arange(count) % 4, ("a", "b", "c", "d"), names)
    data = EvaluationData("made", {}, {}, **{"image_size": size, "batch_size": 8, **settings})
    return LabelledImages(data.resolved(None), "test", ImageDataset(source))


@pytest.mark.parametrize("family", list(SPACES))
def test_every_size_as_its_extracted_network(family):
    net = tiny_supernet(family)
    images = made_images(mean=[100.0, 110.0, 120.0], std=[50.0, 60.0, 70.0])
    specs = {str(spec): spec for spec in net.space}
    found = extract_features(class_features(net, specs), images)
    assert list(found) == list(specs) and Counting.reads == len(images)
    pixels = torch.from_numpy(images.dataset.source.images).permute(0, 3, 1, 2).float()
    mean, std = torch.tensor([100.0, 110.0, 120.0]), torch.tensor([50.0, 60.0, 70.0])
    pixels = (pixels - mean.view(3, 1, 1)) / std.view(3, 1, 1)
    for name, spec in specs.items():
        with torch.no_grad():
            expected = net.extract(spec)(pixels)
        assert found[name].features.shape == (23, net.width(spec))
        assert torch.allclose(found[name].features, expected, atol=1e-5)
        assert found[name].labels.tolist() == [i % 4 for i in range(23)]
        assert found[name].seconds > 0


@pytest.mark.parametrize("workers", [0, 2])
def test_images_are_decoded_once_where_they_fit_and_streamed_where_not(monkeypatch, workers):
    net = tiny_supernet("vit")
    extractors = class_features(net, {spec: spec for spec in net.space})
    kept, streamed = made_images(), made_images(workers=workers)
    first, second = extract_features(extractors, kept), extract_features(extractors, kept)
    assert Counting.reads == len(kept)
    monkeypatch.setattr(images_module, "IN_MEMORY_BYTES", 1000)
    assert not streamed.in_memory
    third = extract_features(extractors, streamed)
    fourth = extract_features(extractors, streamed)
    for spec in net.space:
        for other in (second, third, fourth):
            assert torch.equal(first[spec].features, other[spec].features)
            assert torch.equal(first[spec].labels, other[spec].labels)


def test_a_pass_that_was_cut_short_is_not_kept():
    images = made_images()
    next(images.batches())
    assert sum(len(labels) for _, labels in images.batches()) == len(images)


def test_sizes_share_a_pass_only_where_images_are_not_kept(monkeypatch):
    data = EvaluationData("made", {}, {}, image_size=64)
    data.__dict__["splits"] = {"train": made_images(40), "test": made_images(10)}
    widths = {"small": 100, "middle": 200, "large": 300}
    assert groups_of_sizes(data, widths, 10**9) == [["small"], ["middle"], ["large"]]
    monkeypatch.setattr(images_module, "IN_MEMORY_BYTES", 1000)
    assert groups_of_sizes(data, widths, 10**9) == [["small", "middle", "large"]]
    assert groups_of_sizes(data, widths, 4 * 50 * 300) == [["small", "middle"], ["large"]]
    assert groups_of_sizes(data, widths, 1) == [["small"], ["middle"], ["large"]]


def test_amp_changes_the_numbers_a_little():
    net = tiny_supernet("vit")
    extractors = class_features(net, {"intact": net.space.intact})
    plain = extract_features(extractors, made_images())["intact"].features
    half = extract_features(extractors, made_images(), amp="bf16")["intact"].features
    assert half.dtype == torch.float32
    assert 0 < (plain - half).abs().max() < 0.2
    with pytest.raises(InputError, match="unknown amp 'int8'"):
        extract_features(extractors, made_images(), amp="int8")


def test_raw_pixels_are_the_image():
    images = torch.randn(2, 3, 16, 16)
    assert torch.equal(pixel_features(images), images.flatten(1))
    blocks = torch.randn(2, 3, 32, 32)
    assert torch.allclose(pixel_features(blocks.repeat_interleave(7, 2).repeat_interleave(7, 3)), blocks.flatten(1))


def test_resize_and_crop():
    images = made_images(count=3, size=80, image_size=64, resize=72)
    (batch, _), *_ = images.batches()
    assert batch.shape == (3, 3, 64, 64) and batch.dtype == torch.uint8
    with pytest.raises(InputError, match=r"made/0 is \(3, 80, 80\) torch.uint8, not \(3, 64, 64\)"):
        next(made_images(count=3, size=80, image_size=64).batches())


def test_images_smaller_than_a_patch_are_refused():
    net = tiny_supernet("vit")
    with pytest.raises(InputError, match="smaller than a patch of 8 x 8"):
        extract_features(class_features(net, {"intact": net.space.intact}), made_images(size=4))


def test_two_processes_share_the_work_and_both_have_all_features(tmp_path):
    def extract() -> list:
        images = made_images()
        found = extract_features({None: pixel_features}, images)[None]
        return [found.features, found.labels, Counting.reads]

    (features, labels, first_reads), (other_features, other_labels, second_reads) = in_two_processes(extract, tmp_path)
    expected = extract_features({None: pixel_features}, made_images())[None]
    assert torch.equal(features, expected.features) and torch.equal(labels, expected.labels)
    assert torch.equal(other_features, features) and torch.equal(other_labels, labels)
    assert (first_reads, second_reads) == (12, 11)
