"""The 15 corruptions of ImageNet-C (Hendrycks and Dietterich, ICLR 2019), for pictures of any size, each with a seed.

Written anew from the published definitions, with these differences: randomness is a generator's; lengths in pixels
follow the size of the picture (`corruption_settings.py`); frost is a texture that is drawn, with the mean, deviation
and spectrum of the published photographs; results are rounded, not cut off, and are not stored as JPEG files. So the
numbers are close to those on the published pictures, and not the same.

Each function takes a picture (H, W, 3) float32 in 0..1, its settings, the factor of lengths, and a generator.
"""

import io
from collections.abc import Callable
from zlib import crc32

import cv2
import numpy as np
from numpy.random import Generator
from PIL import Image
from scipy.ndimage import gaussian_filter, map_coordinates

from poa_bench.downstream.corruption_settings import CORRUPTIONS, settings_for

_GREY = np.array([0.299, 0.587, 0.114], np.float32)
_FROST_GREY, _FROST_TINT, _FROST_DEVIATION = (0.47, 0.81), np.array([-0.07, 0.01, 0.06]), 0.11  # of 5 photographs
_FROST_SLOPE = 1.5  # power falls with the frequency to so much


def generator_for(seed: int, name: str, change: str, variant: int) -> Generator:
    """What one change of one picture draws from: of its name, not of its place in the split."""
    return np.random.default_rng((seed, crc32(name.encode()), crc32(change.encode()), variant))


def corrupt(image: np.ndarray, corruption: str, severity: int, generator: Generator) -> np.ndarray:
    """A corrupted copy of a picture.

    Args:
        image: (H, W, 3) uint8 RGB.
        corruption: one of `CORRUPTIONS`.
        severity: 1 to 5.
        generator: what is drawn from.

    >>> corrupt(np.full((32, 32, 3), 100, np.uint8), "brightness", 5, np.random.default_rng(0))[0, 0].tolist()
    [176, 176, 176]
    """
    settings, scale = settings_for(corruption, severity, min(image.shape[:2]))
    changed = _FUNCTIONS[corruption](image.astype(np.float32) / 255, settings, scale, generator)
    return np.rint(255 * np.clip(changed, 0, 1)).astype(np.uint8)


def _gaussian_noise(image, deviation, scale, generator):
    return image + generator.normal(scale=deviation, size=image.shape)


def _shot_noise(image, photons, scale, generator):
    """Each value is as many photons, of `photons` for white, as a Poisson variable says."""
    return generator.poisson(image * photons) / photons


def _impulse_noise(image, share, scale, generator):
    """Salt and pepper: this share of all values becomes 1 or 0, with equal chance."""
    hit, salt = generator.random(image.shape) < share, generator.random(image.shape) < 0.5
    return np.where(hit, salt, image)


def _defocus_blur(image, settings, scale, generator):
    return cv2.filter2D(image, -1, disk(settings[0] * scale, settings[1]), borderType=cv2.BORDER_REFLECT_101)


def disk(radius: float, deviation: float) -> np.ndarray:
    """A disk of pixels whose centres lie within a radius, smoothed by a Gaussian of 3 (5 from radius 8 on) pixels."""
    reach = max(int(np.ceil(radius)), 1) + 2
    across = np.arange(-reach, reach + 1)
    inside = (across[:, None] ** 2 + across**2 <= radius**2).astype(np.float32)
    taps = 3 if radius <= 8 else 5
    return cv2.GaussianBlur(inside / inside.sum(), (taps, taps), sigmaX=deviation)


def _glass_blur(image, settings, scale, generator):
    """Blur, let every pixel take the colour of one nearby, one after the other, and blur again.

    The definition says that two pixels are swapped. The program that made the published sets copies, since its right
    side is a view of what it writes; so do we.
    """
    deviation, reach, rounds = settings[0] * scale, max(1, round(settings[1] * scale)), settings[2]
    height, width = image.shape[:2]
    rows, columns = np.mgrid[height - reach : reach : -1, width - reach : reach : -1]
    places = list(range(height * width))
    for _ in range(rounds):
        moved = generator.integers(-reach, reach, (2, *rows.shape))
        sources = ((rows + moved[0]) * width + columns + moved[1]).ravel().tolist()
        for place, source in zip((rows * width + columns).ravel().tolist(), sources, strict=True):
            places[place] = places[source]  # a plain list: each copy sees the ones before it
    blurred = _blurred(image, deviation).reshape(-1, 3)[places].reshape(image.shape)
    return _blurred(blurred, deviation)


def _blurred(image: np.ndarray, deviation: float, mode: str = "nearest", truncate: float = 4.0) -> np.ndarray:
    return gaussian_filter(image, (deviation, deviation, 0)[: image.ndim], mode=mode, truncate=truncate)


def _motion_blur(image, settings, scale, generator):
    return _moved(image, settings[0] * scale, settings[1] * scale, generator.uniform(-45, 45))


def _moved(image: np.ndarray, radius: float, deviation: float, angle: float) -> np.ndarray:
    """Pixels are means of those behind them in one direction, with the weights of half a Gaussian."""
    reach = 2 * max(1, round(radius))
    steps = np.arange(reach + 1)
    weights = np.exp(-(steps**2) / (2 * deviation**2))
    kernel = np.zeros((2 * reach + 1, 2 * reach + 1), np.float32)
    rows = np.rint(steps * np.sin(np.deg2rad(angle))).astype(int)
    columns = np.rint(steps * np.cos(np.deg2rad(angle))).astype(int)
    np.add.at(kernel, (reach + rows, reach + columns), weights / weights.sum())
    return cv2.filter2D(image, -1, kernel, borderType=cv2.BORDER_REPLICATE)


def _zoom_blur(image, settings, scale, generator):
    """The mean of the picture and of its enlargements by 1, 1 + step, 1 + 2 step, ..."""
    count, step = settings
    return (image + sum(_zoomed(image, 1 + step * place) for place in range(count))) / (count + 1)


def _zoomed(image: np.ndarray, factor: float) -> np.ndarray:
    """The middle of a picture, enlarged to its size by linear interpolation between corners."""
    rows, columns = (_enlarging(side, factor) for side in image.shape[:2])
    return np.einsum("ih,jw,hwc->ijc", rows, columns, image, optimize=True)


def _enlarging(side: int, factor: float) -> np.ndarray:
    """The matrix (side, side) of `_zoomed` along one axis."""
    kept = int(np.ceil(side / factor))
    enlarged = round(kept * factor)
    places = np.linspace(0, kept - 1, enlarged)[(enlarged - side) // 2 :][:side]
    lower = np.minimum(places.astype(int), max(kept - 2, 0))
    matrix, first = np.zeros((side, side), np.float32), (side - kept) // 2
    matrix[np.arange(len(places)), first + lower] = 1 - (places - lower)
    matrix[np.arange(len(places)), first + np.minimum(lower + 1, kept - 1)] += places - lower
    return matrix


def _snow(image, settings, scale, generator):
    """Flakes are enlarged noise above a threshold, blurred by motion, on a whitened picture; twice, once turned."""
    mean, deviation, zoom, threshold, radius, motion, kept = settings
    flakes = _zoomed(generator.normal(mean, deviation, (*image.shape[:2], 1)).astype(np.float32), zoom)[..., 0]
    flakes = np.clip(np.where(flakes < threshold, 0, flakes), 0, 1).astype(np.float32)
    flakes = _moved(flakes, radius * scale, motion * scale, generator.uniform(-135, -45))[..., None]
    whitened = np.maximum(image, (image @ _GREY)[..., None] * 1.5 + 0.5)
    return kept * image + (1 - kept) * whitened + flakes + flakes[::-1, ::-1]


def _frost(image, settings, scale, generator):
    return settings[0] * image + settings[1] * frost_texture(image.shape[:2], generator)


def frost_texture(shape: tuple[int, int], generator: Generator) -> np.ndarray:
    """What stands for a photograph of frost, (H, W, 3) float32 in 0..1."""
    frequencies = np.hypot(np.fft.fftfreq(shape[0])[:, None], np.fft.rfftfreq(shape[1]))
    frequencies[0, 0] = np.inf
    noise = np.fft.rfft2(generator.normal(size=shape)) / frequencies ** (_FROST_SLOPE / 2)
    texture = np.fft.irfft2(noise, s=shape)
    texture = _FROST_DEVIATION * texture / texture.std() + generator.uniform(*_FROST_GREY)
    return np.clip(texture[..., None] + _FROST_TINT, 0, 1).astype(np.float32)


def _fog(image, settings, scale, generator):
    """A cloud is added; the brightest value stays what it was."""
    strength, decay = settings
    height, width = image.shape[:2]
    cloud = plasma(max(height, width), decay, generator)[:height, :width, None]
    return (image + strength * cloud) * image.max() / (image.max() + strength)


def plasma(side: int, decay: float, generator: Generator) -> np.ndarray:
    """A cloud in 0..1 by the diamond-square algorithm, its side the next power of two; details fade by decay^2."""
    size = 1 << (side - 1).bit_length()
    field, step, reach = np.zeros((size, size)), size, 100.0
    while step >= 2:
        half = step // 2

        def noisy(total: np.ndarray, reach: float = reach) -> np.ndarray:
            return total / 4 + reach * generator.uniform(-reach, reach, total.shape)

        corners = field[::step, ::step]
        down, right = np.roll(corners, -1, 0), np.roll(corners, -1, 1)
        middles = noisy(corners + down + right + np.roll(down, -1, 1))
        field[half::step, half::step] = middles
        field[::step, half::step] = noisy(middles + np.roll(middles, 1, 0) + corners + right)
        field[half::step, ::step] = noisy(middles + np.roll(middles, 1, 1) + corners + down)
        step, reach = half, reach / decay
    field -= field.min()
    return field / field.max()


def _brightness(image, added, scale, generator):
    """The value of HSV rises: colours keep their ratios, black becomes grey."""
    value = image.max(2, keepdims=True)
    raised = np.minimum(value + added, 1)
    return np.where(value > 0, image * raised / np.maximum(value, 1e-12), raised)


def _contrast(image, share, scale, generator):
    """Distances from the mean of each channel shrink to this share."""
    means = image.mean((0, 1), keepdims=True)
    return (image - means) * share + means


def _elastic_transform(image, settings, scale, generator):
    """An affine map that moves three points at random, then smooth random shifts of every pixel."""
    height, width = image.shape[:2]
    strength, smoothness, affine = (part * min(height, width) for part in settings)
    centre, reach = np.float32([height, width]) // 2, min(height, width) // 3
    points = np.float32([centre + reach, [centre[0] + reach, centre[1] - reach], centre - reach])
    moved = points + generator.uniform(-affine, affine, points.shape).astype(np.float32)
    image = cv2.warpAffine(
        image, cv2.getAffineTransform(points, moved), (width, height), borderMode=cv2.BORDER_REFLECT_101
    )
    noise = generator.uniform(-1, 1, (2, height, width))
    shifts = [strength * _blurred(each, smoothness, "reflect", truncate=3) for each in noise]
    places = [each + shift for each, shift in zip(np.mgrid[:height, :width], shifts, strict=True)]
    channels = [map_coordinates(image[..., channel], places, order=1, mode="reflect") for channel in range(3)]
    return np.stack(channels, 2)


def _pixelate(image, share, scale, generator):
    picture = Image.fromarray(np.rint(255 * image).astype(np.uint8))
    small = picture.resize([max(1, int(share * side)) for side in picture.size], Image.Resampling.BOX)
    return np.asarray(small.resize(picture.size, Image.Resampling.BOX), np.float32) / 255


def _jpeg_compression(image, quality, scale, generator):
    stored = io.BytesIO()
    Image.fromarray(np.rint(255 * image).astype(np.uint8)).save(stored, "JPEG", quality=quality)
    return np.asarray(Image.open(stored), np.float32) / 255


_FUNCTIONS: dict[str, Callable[..., np.ndarray]] = {name: globals()[f"_{name}"] for name in CORRUPTIONS}
