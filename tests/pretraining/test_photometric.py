"""The two ways to change colours against torchvision, operation by operation."""

from random import Random

import numpy as np
import pytest
import torch
from torchvision.transforms.v2 import functional as tv

from poa_bench.pretraining.photometric import (
    BLUR_SIGMA,
    BRIGHTNESS,
    CONTRAST,
    GREYSCALE,
    HUE,
    NEUTRAL,
    SATURATION,
    SOLARISE,
    Photometric,
    change_batch,
    change_bytes,
)

ORACLES = {
    "brightness": (BRIGHTNESS, 1.3, tv.adjust_brightness),
    "contrast": (CONTRAST, 0.7, tv.adjust_contrast),
    "saturation": (SATURATION, 1.4, tv.adjust_saturation),
    "hue": (HUE, -0.08, tv.adjust_hue),
    "greyscale": (GREYSCALE, 1, lambda x, _: tv.rgb_to_grayscale(x, 3)),
    "blur": (BLUR_SIGMA, 1.3, lambda x, sigma: tv.gaussian_blur(x, [9, 9], [sigma, sigma])),
    "solarise": (SOLARISE, 1, lambda x, _: tv.solarize(x, 128 if x.dtype == torch.uint8 else 128 / 255)),
}


def row(**columns: float) -> list[float]:
    values = [*NEUTRAL, 0, 1, 2, 3, 0, 0, 0]
    for name, value in columns.items():
        values[ORACLES[name][0]] = value
    return values


def pictures(count: int = 3) -> torch.Tensor:
    """Smooth random pictures, uint8, of 24x20 pixels."""
    small = torch.rand(count, 3, 6, 5, generator=torch.Generator().manual_seed(0))
    return (torch.nn.functional.interpolate(small, (24, 20), mode="bilinear") * 255).byte()


@pytest.mark.parametrize("name", ORACLES)
def test_each_operation_equals_torchvision(name):
    _, value, oracle = ORACLES[name]
    images = pictures()
    batch = change_batch(images, torch.tensor([row(**{name: value})] * len(images)))
    torch.testing.assert_close(batch, oracle(images / 255, value), atol=2e-6, rtol=0)

    crop = change_bytes(images[0].permute(1, 2, 0).contiguous().numpy(), row(**{name: value}))
    expected = (oracle(images[0] / 255, value) * 255).permute(1, 2, 0).numpy()
    # rounding to bytes; hues are bytes as well, in OpenCV and Pillow
    assert np.abs(crop - expected).max() <= (6 if name == "hue" else 1.1)


def test_every_image_gets_its_own_row_in_its_own_order():
    settings, random = Photometric(jitter=1, greyscale=0, blur=(0, 0, 0.5), solarise=(0, 0, 0.5)), Random(1)
    rows, images = [settings.draw(2, random) for _ in range(12)], pictures(12)
    together = change_batch(images, torch.tensor(rows))
    for image, one, values in zip(images, together, rows, strict=True):
        expected = image / 255
        for name in [("brightness", "contrast", "saturation", "hue")[c] for c in values[4:8]]:
            column, _, oracle = ORACLES[name]
            expected = oracle(expected, values[column])
        for name in ("blur", "solarise"):
            column, _, oracle = ORACLES[name]
            expected = oracle(expected, values[column]) if values[column] else expected
        # an image on the edge of solarisation may fall to either side
        assert (one - expected).abs().median() < 1e-5
        assert ((one - expected).abs() > 1e-4).float().mean() < 0.01


def test_worker_and_device_agree():
    random, settings = Random(0), Photometric(solarise=(0, 0, 0))
    rows, images = [settings.draw(i % 3, random) for i in range(30)], pictures(30)
    batch = change_batch(images, torch.tensor(rows)) * 255
    single = [change_bytes(x.permute(1, 2, 0).contiguous().numpy(), r) for x, r in zip(images, rows, strict=True)]
    difference = (batch.permute(0, 2, 3, 1).numpy() - np.stack(single)).ravel()
    assert np.abs(difference).mean() < 1 and np.abs(difference).max() < 16


def test_neutral_rows_change_nothing():
    images = pictures()
    torch.testing.assert_close(change_batch(images, torch.tensor([row()] * 3)), images / 255)
    assert (change_bytes(images[0].numpy(), row()) == images[0].numpy()).all()


def test_drawn_frequencies_and_ranges():
    random, settings = Random(0), Photometric()
    for view in range(3):
        rows = np.array([settings.draw(view, random) for _ in range(2000)])
        assert rows.shape[1] == 11
        assert np.isclose((rows[:, BRIGHTNESS] != 1).mean(), 0.8, atol=0.03)
        assert rows[:, BRIGHTNESS].min() > 0.6 and rows[:, BRIGHTNESS].max() < 1.4
        assert np.abs(rows[:, HUE]).max() < 0.1
        assert np.isclose(rows[:, GREYSCALE].mean(), 0.2, atol=0.03)
        assert np.isclose((rows[:, BLUR_SIGMA] > 0).mean(), (1.0, 0.1, 0.5)[view], atol=0.04)
        assert np.isclose(rows[:, SOLARISE].mean(), (0, 0.2, 0)[view], atol=0.03)
        assert (np.sort(rows[:, 4:8]) == np.arange(4)).all()
