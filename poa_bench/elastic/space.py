"""Sizes: `SubnetSpec` names one sub-network, `SearchSpace` lists the candidates of a supernet."""

import itertools
import random
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from poa_bench.errors import InputError

ALIASES = {
    "vit-s": "vit-w384-d12",
    "vit-b": "vit-w768-d12",
    "vit-l": "vit-w1024-d24",
    "swin-t": "swin-w96-d6",
    "swin-s": "swin-w96-d18",
    "swin-b": "swin-w128-d18",
    "resnet-50": "resnet-w64-d4-6",
    "resnet-101": "resnet-w64-d4-23",
    "resnet-152": "resnet-w64-d8-36",
}
_PATTERN = re.compile(r"(?P<family>[a-z]+)-w(?P<width>[1-9]\d*)-d(?P<depths>[1-9]\d*(-[1-9]\d*)*)")


@dataclass(frozen=True, order=True)
class SubnetSpec:
    """The size of one sub-network.

    Attributes:
        family: `vit`, `swin` or `resnet`.
        width: ViT embedding width, Swin width of stage 1, ResNet mid channels of stage 1.
        depths: blocks of each elastic stage: ViT (all,), Swin (stage 3,), ResNet (stage 2, stage 3).
    """

    family: str
    width: int
    depths: tuple[int, ...]

    @classmethod
    def parse(cls, text: "str | SubnetSpec") -> "SubnetSpec":
        """Read `vit-w384-d12`, `swin-w96-d6`, `resnet-w64-d4-6` or an alias such as `vit-s`.

        Raises:
            InputError: the text is none of these.
        """
        if isinstance(text, cls):
            return text
        match = _PATTERN.fullmatch(ALIASES.get(text, text))
        if match is None:
            raise InputError(
                f"unknown sub-network {text!r}: write it as FAMILY-wWIDTH-dDEPTH (vit-w384-d12, swin-w96-d6, "
                f"resnet-w64-d4-6) or as one of {', '.join(ALIASES)}"
            )
        depths = tuple(int(depth) for depth in match["depths"].split("-"))
        return cls(match["family"], int(match["width"]), depths)

    @property
    def alias(self) -> str | None:
        """The usual name of this size (`vit-s`), if it has one."""
        return next((alias for alias, text in ALIASES.items() if text == str(self)), None)

    def __str__(self) -> str:
        return f"{self.family}-w{self.width}-d{'-'.join(map(str, self.depths))}"


def kept_blocks(full_depth: int, depth: int) -> tuple[int, ...]:
    """Which blocks of the full depth a sub-network keeps: floor((L - 1) * j / (l - 1)) (paper, eq. 4)."""
    if depth == 1:
        return (0,)
    return tuple((full_depth - 1) * j // (depth - 1) for j in range(depth))


@dataclass(frozen=True)
class SearchSpace:
    """The candidate sizes of a supernet and how often each is drawn.

    Attributes:
        family: `vit`, `swin` or `resnet`.
        widths: allowed widths, ascending; the last is the supernet's own.
        depths: for each elastic stage the allowed depths, ascending.
        head_dim: width of one attention head (None for ResNet).
        s_w: how much more often the smallest width is drawn than the largest (paper, eq. 14).
        s_d: the same for depth; several elastic stages share it through their mean position.

    Iterating gives every `SubnetSpec`, by width, then depths.
    """

    family: str
    widths: tuple[int, ...]
    depths: tuple[tuple[int, ...], ...]
    head_dim: int | None = None
    s_w: float = 3.0
    s_d: float = 3.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "widths", _ascending("widths", self.widths))
        stages = tuple(self.depths)
        if stages and not isinstance(stages[0], Iterable):
            stages = (stages,)  # one elastic stage may be given flat
        object.__setattr__(self, "depths", tuple(_ascending("depths", stage) for stage in stages))
        if not self.depths:
            raise InputError("depths is empty: give at least one depth for each elastic stage")
        if self.head_dim is not None and any(width % self.head_dim for width in self.widths):
            raise InputError(f"widths {list(self.widths)} must all be multiples of head_dim {self.head_dim}")
        if min(self.s_w, self.s_d) <= 0:
            raise InputError(f"s_w {self.s_w} and s_d {self.s_d} must be positive")

    @classmethod
    def vit(
        cls, widths: Iterable[int], depths: Iterable[int], head_dim: int = 64, s_w: float = 3.0, s_d: float = 3.0
    ) -> "SearchSpace":
        """ViT: the paper's space is widths 384..1024 by 64, depths 12..24, head_dim 64 (143 sizes)."""
        return cls("vit", tuple(widths), (tuple(depths),), head_dim, s_w, s_d)

    @classmethod
    def from_dict(cls, values: "dict[str, Any] | SearchSpace") -> "SearchSpace":
        """The inverse of `to_dict`; takes config dicts (and a finished space, unchanged)."""
        if isinstance(values, cls):
            return values
        allowed = {"family", "widths", "depths", "head_dim", "s_w", "s_d"}
        if unknown := set(values) - allowed:
            raise InputError(f"unknown search-space keys {sorted(unknown)}: allowed are {sorted(allowed)}")
        if missing := {"family", "widths", "depths"} - set(values):
            raise InputError(f"the search space lacks {sorted(missing)}")
        return cls(**values)

    def to_dict(self) -> dict[str, Any]:
        """Plain lists and numbers, for configs and checkpoint metadata."""
        return {
            "family": self.family,
            "widths": list(self.widths),
            "depths": [list(stage) for stage in self.depths],
            "head_dim": self.head_dim,
            "s_w": self.s_w,
            "s_d": self.s_d,
        }

    def __iter__(self) -> Iterator[SubnetSpec]:
        for width, *depths in itertools.product(self.widths, *self.depths):
            yield SubnetSpec(self.family, width, tuple(depths))

    def __len__(self) -> int:
        size = len(self.widths)
        for stage in self.depths:
            size *= len(stage)
        return size

    def __contains__(self, spec: object) -> bool:
        return (
            isinstance(spec, SubnetSpec)
            and spec.family == self.family
            and spec.width in self.widths
            and len(spec.depths) == len(self.depths)
            and all(depth in stage for depth, stage in zip(spec.depths, self.depths, strict=True))
        )

    def check(self, spec: SubnetSpec) -> SubnetSpec:
        """Return the spec if it is a candidate of this space.

        Raises:
            InputError: it is not; the message lists what is allowed.
        """
        if spec not in self:
            depths = " and ".join(str(list(stage)) for stage in self.depths)
            raise InputError(
                f"{spec} is not in this supernet's space: family {self.family}, widths {list(self.widths)}, "
                f"depths {depths}"
            )
        return spec

    def parse(self, text: str | SubnetSpec) -> SubnetSpec:
        """`SubnetSpec.parse`, then `check`."""
        return self.check(SubnetSpec.parse(text))

    @property
    def intact(self) -> SubnetSpec:
        """The largest size: the supernet itself."""
        return SubnetSpec(self.family, self.widths[-1], tuple(stage[-1] for stage in self.depths))

    @property
    def smallest(self) -> SubnetSpec:
        """The smallest size."""
        return SubnetSpec(self.family, self.widths[0], tuple(stage[0] for stage in self.depths))

    def weight(self, spec: SubnetSpec) -> float:
        """Unnormalised probability to draw a size (paper, eq. 14; 1 for the largest, s_w * s_d for the smallest)."""
        width = _position(self.widths, spec.width)
        positions = [_position(stage, depth) for stage, depth in zip(self.depths, spec.depths, strict=True)]
        depth = sum(positions) / len(positions)
        return ((self.s_w - 1) * (1 - width) + 1) * ((self.s_d - 1) * (1 - depth) + 1)

    def probabilities(self) -> dict[SubnetSpec, float]:
        """The probability of every size; they sum to 1."""
        weights = {spec: self.weight(spec) for spec in self}
        total = sum(weights.values())
        return {spec: weight / total for spec, weight in weights.items()}

    def draw(self, seed: int, iteration: int, rank: int = 0, mode: Literal["step", "rank"] = "step") -> SubnetSpec:
        """The elastic student of one step: a function of the arguments alone, so that resuming repeats it.

        Args:
            seed: the run's seed.
            iteration: the training step, from 0.
            rank: this process; used only with mode `rank`.
            mode: `step`: all ranks train the same size; `rank`: each its own, as the official code does.
        """
        if mode not in ("step", "rank"):
            raise InputError(f"unknown draw mode {mode!r}: use 'step' (one size for all ranks) or 'rank'")
        key = f"{seed}/{iteration}" if mode == "step" else f"{seed}/{iteration}/{rank}"
        specs = list(self)
        # a string seed is hashed with SHA-512: the same draw on every machine and Python version
        return random.Random(key).choices(specs, [self.weight(spec) for spec in specs])[0]


def _ascending(name: str, values: Sequence[int]) -> tuple[int, ...]:
    values = tuple(values)
    if not values or list(values) != sorted(set(values)) or values[0] < 1:
        raise InputError(f"{name} {list(values)} must be ascending positive whole numbers without repetition")
    return values


def _position(allowed: Sequence[int], value: int) -> float:
    """0 for the smallest allowed value, 1 for the largest (also where there is only one)."""
    return allowed.index(value) / (len(allowed) - 1) if len(allowed) > 1 else 1.0
