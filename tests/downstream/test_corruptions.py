"""Corruptions: hand-made values, scipy's statistics, published formulas, and what the published program gave."""

import numpy as np
import pytest
from PIL import Image
from scipy import stats
from scipy.ndimage import zoom

from poa_bench.downstream.corruption_settings import ALEXNET_ERRORS, CORRUPTIONS, settings_for
from poa_bench.downstream.corruptions import _enlarging, _moved, corrupt, disk, frost_texture, generator_for, plasma


def photo(side: int) -> np.ndarray:
    """A smooth coloured picture with edges."""
    rows, columns = np.mgrid[:side, :side] / side
    disc = (rows - 0.4) ** 2 + (columns - 0.6) ** 2 < 0.06
    channels = [0.3 + 0.4 * rows, 0.6 - 0.3 * columns + 0.3 * disc, 0.35 + 0.25 * np.sin(9 * rows * columns)]
    return np.rint(255 * np.clip(np.stack(channels, 2), 0, 1)).astype(np.uint8)


def once(image: np.ndarray, corruption: str, severity: int, name: str = "a", seed: int = 0) -> np.ndarray:
    return corrupt(image, corruption, severity, generator_for(seed, name, corruption, severity))


def psnr(image: np.ndarray, corrupted: np.ndarray) -> float:
    return -10 * np.log10(np.square(image / 255.0 - corrupted / 255.0).mean())


@pytest.mark.parametrize("side", [28, 32, 64, 96, 224])
@pytest.mark.parametrize("corruption", CORRUPTIONS)
def test_pictures_of_any_size(corruption, side):
    image = photo(side)
    kept = image.copy()
    for severity in (1, 5):
        found = once(image, corruption, severity)
        assert found.shape == image.shape and found.dtype == np.uint8
        assert np.array_equal(found, once(image, corruption, severity)), "the same picture is corrupted alike"
        assert not np.array_equal(image, found)
    assert np.array_equal(image, kept)


DRAWN = (*CORRUPTIONS[:3], "glass_blur", "motion_blur", "snow", "frost", "fog", "elastic_transform")


@pytest.mark.parametrize("corruption", DRAWN)
def test_draws_follow_picture_and_seed(corruption):
    image = photo(32)
    first = once(image, corruption, 3)
    assert not np.array_equal(first, once(image, corruption, 3, name="b"))
    assert not np.array_equal(first, once(image, corruption, 3, seed=1))


@pytest.mark.parametrize("side", [32, 64, 224])
@pytest.mark.parametrize("corruption", [*CORRUPTIONS[:4], "zoom_blur", "brightness", "contrast", "jpeg_compression"])
def test_the_more_severe_the_further_from_the_picture(corruption, side):
    """The others are not monotone in the published settings either."""
    image = photo(side)
    found = [np.mean([psnr(image, once(image, corruption, s, str(k))) for k in range(3)]) for s in range(1, 6)]
    assert all(before > after for before, after in zip(found, found[1:], strict=False)), found


@pytest.mark.parametrize("corruption", CORRUPTIONS)
def test_severity_five_is_further_than_one(corruption):
    image = photo(224)
    ends = [np.mean([psnr(image, once(image, corruption, s, str(k))) for k in range(8)]) for s in (1, 5)]
    if corruption != "elastic_transform":  # the published ones move the picture less and less, and bend it more
        assert ends[0] > ends[1]


def test_gaussian_noise_is_normal():
    grey = np.full((224, 224, 3), 128, np.uint8)
    noise = (once(grey, "gaussian_noise", 1).astype(float) - 128) / 255
    assert stats.kstest(noise[:, :60].ravel() / 0.08, "norm").statistic < 0.02
    assert noise.std() == pytest.approx(0.08, rel=0.01) and abs(noise.mean()) < 1e-3


def test_shot_noise_is_poissons():
    grey = np.full((224, 224, 3), 102, np.uint8)  # 0.4: 24 photons of 60
    counts = np.rint(once(grey, "shot_noise", 1) / 255 * 60)
    assert counts.mean() == pytest.approx(24, rel=0.01) and counts.var() == pytest.approx(24, rel=0.02)
    below = stats.poisson.cdf(np.arange(60), 24)
    assert np.abs(np.searchsorted(np.sort(counts.ravel()), np.arange(60), "right") / counts.size - below).max() < 0.01


@pytest.mark.parametrize(("severity", "share"), [(1, 0.03), (5, 0.27)])
def test_impulse_noise_is_salt_and_pepper(severity, share):
    found = once(np.full((224, 224, 3), 90, np.uint8), "impulse_noise", severity)
    assert set(np.unique(found)) == {0, 90, 255}
    salt, pepper = (found == 255).sum(), (found == 0).sum()
    assert stats.binomtest(int(salt + pepper), found.size, share).pvalue > 1e-4
    assert stats.binomtest(int(salt), int(salt + pepper), 0.5).pvalue > 1e-4


def test_brightness_by_hand():
    """V of (200, 100, 50) is 200; with 0.2 more it is 251, the ratios stay. Black becomes grey, white stays."""
    image = np.zeros((224, 224, 3), np.uint8)
    image[0], image[1] = (200, 100, 50), 255
    found = once(image, "brightness", 2)
    assert (
        found[0, 0].tolist() == [251, 126, 63]
        and found[1, 0].tolist() == [255] * 3
        and found[2, 0].tolist() == [51] * 3
    )


def test_contrast_by_hand():
    """Half of the picture is 0, half is 200: the mean is 100, distances from it shrink to a fifth."""
    image = np.zeros((224, 224, 3), np.uint8)
    image[:112] = 200
    assert np.unique(once(image, "contrast", 3)).tolist() == [80, 120]
    assert np.unique(once(image[:32, :32] // 1, "contrast", 1)).tolist() == [200]


def test_pixelate_by_hand():
    """Severity 5 keeps a quarter of the side: each block of 4 x 4 pixels becomes its mean."""
    image = np.random.default_rng(0).integers(0, 256, (224, 224, 3)).astype(np.uint8)
    blocks = image.reshape(56, 4, 56, 4, 3).mean((1, 3))
    expected = np.repeat(np.repeat(blocks, 4, 0), 4, 1)
    assert np.abs(once(image, "pixelate", 5) - expected).max() <= 1  # Pillow rounds after each axis


def test_jpeg_is_pillows_of_the_published_quality(tmp_path):
    image = photo(224)
    Image.fromarray(image).save(tmp_path / "a.jpg", quality=7)
    assert np.array_equal(once(image, "jpeg_compression", 5), np.asarray(Image.open(tmp_path / "a.jpg")))


@pytest.mark.parametrize(("radius", "deviation"), [(3, 0.1), (6, 0.5), (10, 0.5)])
def test_defocus_is_a_disk(radius, deviation):
    kernel = disk(radius, deviation)
    reach = len(kernel) // 2
    rows, columns = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    inside = rows**2 + columns**2 <= radius**2
    assert kernel.sum() == pytest.approx(1, abs=1e-5) and np.allclose(kernel, kernel.T)
    assert kernel[~inside].sum() < (0.02 if deviation < 0.2 else 0.35)
    spread = (kernel * rows**2).sum()
    assert spread == pytest.approx((inside * rows**2).sum() / inside.sum() + deviation**2, rel=0.05, abs=0.06)


def test_motion_blur_of_a_point_is_half_a_gaussian_in_its_direction():
    point = np.zeros((61, 61), np.float32)
    point[30, 30] = 1
    found = _moved(point, 10, 3, 0)
    row = found[30, 10:31][::-1]
    expected = np.exp(-(np.arange(21) ** 2) / 18)
    assert np.allclose(row, expected / expected.sum(), atol=1e-6) and found.sum() == pytest.approx(1, abs=1e-5)
    steep = _moved(point, 10, 3, -45)
    rows, columns = np.nonzero(steep > 1e-6)
    assert np.array_equal(rows - 30, 30 - columns) and len(rows) > 5


@pytest.mark.parametrize("factor", [1.0, 1.05, 1.31, 2.5])
def test_enlarging_is_scipys_linear_zoom(factor):
    line = np.random.default_rng(0).random(64)
    kept = int(np.ceil(64 / factor))
    first = (64 - kept) // 2
    enlarged = zoom(line[first : first + kept], factor, order=1)
    trim = (len(enlarged) - 64) // 2
    assert np.allclose(_enlarging(64, factor) @ line, enlarged[trim : trim + 64], atol=1e-6)


def test_clouds_have_their_range_and_get_rougher():
    def roughness(decay):
        clouds = [plasma(224, decay, np.random.default_rng(seed)) for seed in range(8)]
        assert all(cloud.shape == (256, 256) and cloud.min() == 0 and cloud.max() == 1 for cloud in clouds)
        return np.mean([np.abs(np.diff(cloud, axis=0)).mean() / cloud.std() for cloud in clouds])

    assert roughness(3) < roughness(2) < roughness(1.4)


def test_fog_keeps_white_and_adds_nothing_else_to_black():
    """White and cloud 1 give 255 * 255 / 255; a black picture shows nothing, its brightest value being 0."""
    assert once(np.full((64, 64, 3), 255, np.uint8), "fog", 5).max() == 255
    assert once(np.zeros((64, 64, 3), np.uint8), "fog", 5).max() == 0


def test_frost_is_as_the_published_photographs():
    """Mean and deviation of the first five of them, of which the published program takes one."""
    found = [frost_texture((224, 224), np.random.default_rng(seed)) * 255 for seed in range(40)]
    assert np.mean(found, (0, 1, 2)) == pytest.approx([146, 167, 179], abs=12)
    assert np.mean([texture.std((0, 1)) for texture in found]) == pytest.approx(27, abs=3)


def test_snow_whitens_and_is_turned_once():
    image = np.zeros((224, 224, 3), np.uint8)
    found = once(image, "snow", 1).astype(int)
    assert found.min() == round(255 * 0.2 * 0.5), "black is whitened to (1 - 0.8) * 0.5"
    assert np.abs(found - found[::-1, ::-1]).max() == 0, "flakes and the flakes turned"


def test_glass_takes_colours_from_nearby_only():
    image = np.zeros((64, 64, 3), np.uint8)
    image[:, 32:] = 255
    found = once(image, "glass_blur", 5)  # reach 2, twice, blurred by 0.9; copies of copies go further
    assert found[:, :20].max() == 0 and found[:, 50:].min() == 255 and 0 < found[:, 30:34].mean() < 255


def test_elastic_transform_without_strength_is_affine():
    """CIFAR-10-C's severity 1 bends nothing: straight lines stay straight."""
    rows, columns = np.mgrid[:32, :32]
    plane = np.repeat((3 * rows + 2 * columns + 40)[..., None], 3, 2).astype(np.uint8)
    found = once(plane, "elastic_transform", 1).astype(float)[8:24, 8:24, 0]
    y, x = np.mgrid[:16, :16]
    design = np.stack([np.ones(256), y.ravel(), x.ravel()], 1)
    rest = found.ravel() - design @ np.linalg.lstsq(design, found.ravel(), rcond=None)[0]
    assert np.abs(rest).max() < 1.5 and not np.array_equal(once(plane, "elastic_transform", 1), plane)


def test_settings_follow_the_size_of_the_picture():
    assert settings_for("defocus_blur", 1, 224) == ((3, 0.1), 1.0)
    assert settings_for("defocus_blur", 1, 448) == ((3, 0.1), 2.0)
    assert settings_for("jpeg_compression", 5, 96)[0] == 25 and settings_for("jpeg_compression", 5, 28)[0] == 40
    assert len(CORRUPTIONS) == len(ALEXNET_ERRORS) == 15
    assert np.mean(list(ALEXNET_ERRORS.values())) == pytest.approx(78.9, abs=0.05), "AlexNet's mean in the paper"
