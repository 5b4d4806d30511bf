"""How pictures become a network's inputs: fixed by its training, needed by every use of its weights."""

import logging
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any

from poa_bench.errors import InputError

IMAGENET_MEAN = (123.675, 116.28, 103.53)  # per channel of pixels in 0..255
IMAGENET_STD = (58.395, 57.12, 57.375)
INTERPOLATIONS = ("bicubic", "bilinear")
MOST_PIXELS = 1 << 16  # along a side: a file that says more would stop the machine
_DIGITS = 9  # of numbers that are divided by 255: 0.485 and not 0.48500000000000004
_DIGITS_OF_255 = 6  # of the same numbers on the way back: all that the others determine
_TOLERANCE = 1e-4  # between numbers that were written as 0.485 and as 123.675


@dataclass(frozen=True)
class Preprocessing:
    """What a training did with its pictures, in RGB.

    Attributes:
        mean, std: per channel of pixels in 0..255.
        image_size: side in pixels of the (global) crops that the network saw.
        interpolation: how they were resized, one of `INTERPOLATIONS`.
        crop_share: for pictures that are seen whole, after training: the share of the shorter side that the central
            crop keeps (timm's `crop_pct`).
    """

    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    image_size: int = 224
    interpolation: str = "bicubic"
    crop_share: float = 0.875

    def __post_init__(self) -> None:
        numbers = [*self.mean, *self.std, self.crop_share]
        if not all(isinstance(number, int | float) and math.isfinite(number) for number in numbers):
            raise InputError(f"mean {list(self.mean)}, deviation {list(self.std)}: they must be finite numbers")
        if not self.std or len(self.mean) != len(self.std) or min(self.std) <= 0:
            raise InputError(
                f"deviation {list(self.std)} must have a number above 0 for each of mean {list(self.mean)}"
            )
        if type(self.image_size) is not int or not 1 <= self.image_size <= MOST_PIXELS or self.crop_share <= 0:
            raise InputError(
                f"image_size {self.image_size!r:.80} must be a whole number of pixels up to {MOST_PIXELS}, crop_share "
                f"{self.crop_share} above 0"
            )

    @classmethod
    def from_dict(cls, values: dict[str, Any] | None) -> "Preprocessing | None":
        """The inverse of `to_dict`; None where nothing is known."""
        return None if values is None else cls(**{**values, "mean": tuple(values["mean"]), "std": tuple(values["std"])})

    def to_dict(self) -> dict[str, Any]:
        """In plain values, as a checkpoint holds it."""
        return {**asdict(self), "mean": list(self.mean), "std": list(self.std)}

    def resize(self, image_size: int | None = None) -> int:
        """Length in pixels of the shorter side before the central crop to `image_size`, as timm rounds it."""
        return math.floor((image_size or self.image_size) / self.crop_share)

    @classmethod
    def from_timm_config(cls, values: dict[str, Any]) -> "Preprocessing":
        """The inverse of `timm_config`."""
        scaled = {name: from_full_range(values[name]) for name in ("mean", "std")}
        return cls(
            **scaled,
            image_size=values["input_size"][-1],
            interpolation=values["interpolation"],
            crop_share=values["crop_pct"],
        )

    def timm_config(self) -> dict[str, Any]:
        """What `timm.data.resolve_data_config` reads from a network's `pretrained_cfg`; pixels in 0..1."""
        return {
            "input_size": (3, self.image_size, self.image_size),
            "interpolation": self.interpolation,
            "crop_pct": self.crop_share,
            "crop_mode": "center",
            "mean": tuple(round(value / 255, _DIGITS) for value in self.mean),
            "std": tuple(round(value / 255, _DIGITS) for value in self.std),
        }


def from_full_range(values: Sequence[float]) -> tuple[float, ...]:
    """Mean or deviation of pixels in 0..1, for pixels in 0..255."""
    return tuple(round(255 * value, _DIGITS_OF_255) for value in values)


def known_image_size(options: dict[str, Any], training: Preprocessing | None) -> int | None:
    """Side in pixels of the images that a network was built for, or else trained with; None where it is not known.

    Args:
        options: of the timm class.
        training: what is known of it.
    """
    return options.get("img_size") or (training and training.image_size)


def differing(said: dict[str, Any], training: dict[str, Any]) -> str:
    """What `said` says and training did otherwise, as `mean 0.5 instead of 0.4, ...`; empty where they agree.

    Args:
        said, training: values by name; a None, or a name that only one of them has, says nothing.
    """
    names = [name for name, value in said.items() if value is not None and training.get(name) is not None]
    return ", ".join(
        f"{name} {_shown(said[name])} instead of {_shown(training[name])}"
        for name in names
        if not _equal(said[name], training[name])
    )


@cache
def say_once(sentence: str) -> None:
    """A warning on standard error, once in a process."""
    logging.getLogger("poa_bench").warning(sentence)


def _equal(first: Any, second: Any) -> bool:
    if isinstance(first, Sequence) and not isinstance(first, str):
        return len(first) == len(second) and all(map(_equal, first, second))
    return first == second if isinstance(first, str) else math.isclose(first, second, rel_tol=_TOLERANCE)


def _shown(value: Any) -> str:
    return str([*value]) if isinstance(value, tuple) else str(value)
