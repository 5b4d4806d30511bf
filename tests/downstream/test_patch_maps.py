"""Patch features against timm's own, mmseg's places of windows, and an average over windows with scipy's Gaussian."""

import numpy as np
import pytest
import torch
from scipy.signal.windows import gaussian as scipy_gaussian
from torch.nn import functional as F

from poa_bench.downstream.features import Place
from poa_bench.downstream.patch_maps import (
    gaussian,
    patch_extractor,
    patch_features,
    patch_of_pixels,
    pixel_extractor,
    starts,
)
from tests.downstream.networks import FAMILIES, SMALL, tiny_supernet

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


def network(family: str):
    return tiny_supernet(family).extract(SMALL[family])


def pictures(*sizes: tuple[int, int]) -> list[torch.Tensor]:
    draw = torch.Generator().manual_seed(0)
    return [torch.randn(3, *size, generator=draw) for size in sizes]


@torch.no_grad()
def test_whole_pictures_of_a_vit_are_its_own_last_tokens():
    vit = network("vit")
    (found,) = patch_features(patch_extractor(vit, 16), pictures((40, 64)), Place(), None, 1, 4)
    tokens = vit.forward_features(pictures((40, 64))[0][None])
    torch.testing.assert_close(found, tokens[0, 1:].view(5, 8, -1), rtol=0, atol=1e-5)
    extractor = patch_extractor(vit, 16, context=True)
    (found,) = patch_features(extractor, pictures((40, 64)), Place(), None, 1, 4)
    assert found.shape[-1] == extractor.width == 32 and extractor.stride == extractor.multiple == 8
    torch.testing.assert_close(found[..., :16], F.normalize(tokens[0, 1:], dim=1).view(5, 8, -1), rtol=0, atol=1e-5)
    torch.testing.assert_close(found[4, 7, 16:], F.normalize(tokens[0, 0], dim=0), rtol=0, atol=1e-5)


@pytest.mark.parametrize(("stride", "reductions"), [(32, [32]), (16, [16, 32]), (8, [8, 16, 32]), (10, [16, 32])])
@pytest.mark.parametrize("family", ["swin", "resnet"])
@torch.no_grad()
def test_networks_with_stages_give_those_from_the_stride_on(family, stride, reductions):
    stock, (image,) = network(family), pictures((64, 96))
    extractor = patch_extractor(stock, stride, context=True)
    (found,) = patch_features(extractor, [image], Place(), None, 1, 4)
    stages = stock.forward_intermediates(image[None], norm=True, intermediates_only=True)[-len(reductions) :]
    grid = (64 // reductions[0], 96 // reductions[0])
    parts = [F.interpolate(stage, grid, mode="bilinear") for stage in stages]
    parts.append(stages[-1].mean((2, 3), keepdim=True).expand(-1, -1, *grid))
    expected = torch.cat([part / part.norm(dim=1, keepdim=True) for part in parts], 1)[0].permute(1, 2, 0)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
    assert extractor.width == found.shape[-1] and extractor.stride == reductions[0] and extractor.multiple == 32
    pooled = stock(image[None])[0]  # the class feature of the network itself
    torch.testing.assert_close(found[0, 0, -len(pooled) :], pooled / pooled.norm(), rtol=0, atol=1e-4)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("overlap", [1, 2, 4])
@torch.no_grad()
def test_windows_are_averaged_with_gaussian_weights(family, overlap):
    """Against each patch's own sum over all windows that show it; pictures of two sizes, one off the grid."""
    stock, images = network(family), pictures((64, 96), (50, 70), (64, 96))
    extractor = patch_extractor(stock, 8)
    side, stride = 64 if family != "vit" else 32, extractor.stride
    found = patch_features(extractor, images, Place(), side + 3, overlap, 3)
    for image, features in zip(images, found, strict=True):
        padded = F.pad(image, (0, -image.shape[2] % extractor.multiple, 0, -image.shape[1] % extractor.multiple))
        step = max(side // overlap // extractor.multiple, 1) * extractor.multiple
        sums, weights = torch.zeros_like(features), torch.zeros(features.shape[:2])
        kernel = scipy_gaussian(side // stride, side / stride / 8).clip(1e-3)
        for top in starts(padded.shape[1], side, step):
            for left in starts(padded.shape[2], side, step):
                map_ = extractor.run(padded[None, :, top : top + side, left : left + side])[0]
                for row in range(side // stride):
                    for column in range(side // stride):
                        weight = float(kernel[row] * kernel[column])
                        sums[top // stride + row, left // stride + column] += weight * map_[:, row, column]
                        weights[top // stride + row, left // stride + column] += weight
        assert (weights > 0).all()
        torch.testing.assert_close(features, sums / weights.unsqueeze(-1), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("length", "window", "step"), [(64, 32, 16), (72, 32, 16), (40, 32, 32), (32, 32, 8), (24, 32, 8)]
)
def test_windows_stand_where_those_of_mmseg_do(length, window, step):
    """`slide_inference`'s arithmetic of mmseg, and every pixel is covered."""
    grids = max(length - window + step - 1, 0) // step + 1
    ends = [min(place * step + window, length) for place in range(grids)]
    assert starts(length, window, step) == [max(end - window, 0) for end in ends]


def test_weights_of_a_window_are_those_of_scipy():
    np.testing.assert_allclose(gaussian(4), scipy_gaussian(4, 0.5), rtol=1e-6)
    assert gaussian(16).min() == pytest.approx(1e-3)  # a floor, so that a window at the border of a picture counts


def test_patches_of_pixels_and_raw_pixels():
    numbers = patch_of_pixels((5, 9), 4, (2, 3))
    assert numbers.tolist() == [[0] * 4 + [1] * 4 + [2]] * 4 + [[3] * 4 + [4] * 4 + [5]]
    (image,) = pictures((16, 24))
    extractor = pixel_extractor(context=True)
    (found,) = patch_features(extractor, [image], Place(), None, 1, 4)
    assert found.shape == (2, 3, extractor.width)
    colours = image[:, 8:16, 16:24].flatten()
    assert found[1, 2, :192].sort().values.allclose((colours / colours.norm()).sort().values, atol=1e-6)
    whole = F.adaptive_avg_pool2d(image, 8).flatten()
    assert found[0, 1, 192:].allclose(whole / whole.norm(), atol=1e-6)
