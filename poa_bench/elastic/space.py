"""Sizes: `SubnetSpec` names one sub-network, `SearchSpace` lists the candidates of a supernet."""

import itertools
import random
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import MISSING, dataclass, fields
from functools import lru_cache
from typing import Any, Literal, get_args

from poa_bench.elastic.limits import MOST_DEPTH, MOST_SIZES, MOST_WIDTH, ascending, check_number
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
# the published search spaces, with the sampling weights that the published networks were trained with
_PAPER_SPACES: dict[str, dict[str, Any]] = {
    "vit": {"widths": range(384, 1025, 64), "depths": [range(12, 25)], "head_dim": 64},
    "swin": {"widths": [96, 112, 128], "depths": [range(6, 19)], "head_dim": 16, "s_w": 2.0, "s_d": 2.0},
    "resnet": {"widths": [64, 96, 128], "depths": [range(4, 9), range(6, 37)], "s_w": 1.0, "s_d": 2.0},
}
DepthRule = Literal["floor", "pairs", "first"]
_PATTERN = re.compile(r"(?P<family>[a-z]+)-w(?P<width>[1-9]\d*)-d(?P<depths>[1-9]\d*(-[1-9]\d*)*)", re.ASCII)


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

        >>> SubnetSpec.parse("resnet-50")
        SubnetSpec(family='resnet', width=64, depths=(4, 6))
        """
        if isinstance(text, cls):
            return text
        match = _PATTERN.fullmatch(ALIASES.get(text, text)) if isinstance(text, str) and len(text) < 100 else None
        if match is None:
            raise InputError(
                f"unknown sub-network {text!r}: write it as FAMILY-wWIDTH-dDEPTH (vit-w384-d12, swin-w96-d6, "
                f"resnet-w64-d4-6) or as one of {', '.join(ALIASES)}"
            )
        width, depths = int(match["width"]), tuple(int(depth) for depth in match["depths"].split("-"))
        if width > MOST_WIDTH or max(depths) > MOST_DEPTH:
            raise InputError(f"{text} is too large: widths go up to {MOST_WIDTH}, depths up to {MOST_DEPTH}")
        return cls(match["family"], width, depths)

    @property
    def alias(self) -> str | None:
        """The usual name of this size (`vit-s`), if it has one."""
        return next((alias for alias, text in ALIASES.items() if text == str(self)), None)

    def __str__(self) -> str:
        return f"{self.family}-w{self.width}-d{'-'.join(map(str, self.depths))}"


def kept_blocks(full_depth: int, depth: int, rule: DepthRule = "floor") -> tuple[int, ...]:
    """Which blocks of the full depth a sub-network keeps.

    Args:
        full_depth: L, blocks of the supernet's stage.
        depth: l <= L, blocks of the sub-network's.
        rule: `floor`: block floor((L - 1) * j / (l - 1)) becomes block j (paper, eq. 4); `pairs`: the same for pairs of
            neighbours (2p, 2p + 1), so that Swin's plain and shifted blocks stay what they were trained as; `first`:
            the first ones (AutoFormer).

    >>> kept_blocks(12, 4)
    (0, 3, 7, 11)
    >>> kept_blocks(12, 4, rule="pairs")
    (0, 1, 10, 11)
    """
    if rule == "first":
        return tuple(range(depth))
    if rule == "pairs":
        pairs = kept_blocks((full_depth + depth % 2) // 2, (depth + 1) // 2)
        return tuple(2 * pair + place for pair in pairs for place in (0, 1))[:depth]
    if depth == 1:
        return (0,)
    return tuple((full_depth - 1) * j // (depth - 1) for j in range(depth))


@dataclass(frozen=True)
class SearchSpace:
    """The candidate sizes of a supernet and how often each is drawn.

    Attributes:
        family: `vit`, `swin` or `resnet`.
        widths: allowed widths, ascending; the last is the supernet's own.
        depths: for each elastic stage the allowed depths, ascending; of a single stage they may be given flat.
        head_dim: width of one attention head (None for ResNet).
        s_w: how much more often the smallest width is drawn than the largest (paper, eq. 14).
        s_d: the same for depth; combinations of several stages are ranked by their total number of blocks.
        depth_rule: which blocks a smaller depth keeps, see `kept_blocks`.

    Iterating gives every `SubnetSpec`, by width, then depths.

    >>> space = SearchSpace("vit", widths=[96, 128], depths=[2, 4], head_dim=32)
    >>> [str(spec) for spec in space]
    ['vit-w96-d2', 'vit-w96-d4', 'vit-w128-d2', 'vit-w128-d4']
    >>> len(SearchSpace.paper("vit")), len(SearchSpace.paper("swin")), len(SearchSpace.paper("resnet"))
    (143, 39, 465)
    """

    family: str
    widths: tuple[int, ...]
    depths: tuple[tuple[int, ...], ...]
    head_dim: int | None = None
    s_w: float = 3.0
    s_d: float = 3.0
    depth_rule: DepthRule = "floor"

    def __post_init__(self) -> None:
        object.__setattr__(self, "widths", ascending("widths", self.widths, MOST_WIDTH))
        stages = tuple(self.depths) if isinstance(self.depths, Iterable) else (self.depths,)
        if stages and not isinstance(stages[0], Iterable):
            stages = (stages,)  # one elastic stage may be given flat
        object.__setattr__(self, "depths", tuple(ascending("depths", stage, MOST_DEPTH) for stage in stages))
        if not self.depths:
            raise InputError("depths is empty: give at least one depth for each elastic stage")
        if len(self) > MOST_SIZES:
            raise InputError(f"this space has {len(self):,} sizes, and {MOST_SIZES:,} are the most: give fewer depths")
        check_number("s_w", self.s_w)
        check_number("s_d", self.s_d)
        if not isinstance(self.family, str):
            raise InputError(f"family {self.family!r:.80} must be a name, such as 'vit'")
        if self.head_dim is not None and (
            type(self.head_dim) is not int or self.head_dim < 1 or any(width % self.head_dim for width in self.widths)
        ):
            raise InputError(f"widths {list(self.widths)} must all be multiples of head_dim {self.head_dim}")
        if min(self.s_w, self.s_d) <= 0:
            raise InputError(f"s_w {self.s_w} and s_d {self.s_d} must be positive")
        if self.depth_rule not in get_args(DepthRule):
            raise InputError(f"unknown depth_rule {self.depth_rule!r}: use 'floor' (the paper's), 'pairs' or 'first'")

    @classmethod
    def paper(cls, family: str) -> "SearchSpace":
        """The published space of a family: `vit` has 143 sizes, `swin` 39, `resnet` 465.

        Raises:
            InputError: the paper has no such family.
        """
        if family not in _PAPER_SPACES:
            raise InputError(f"the paper has no search space {family!r}: use one of {', '.join(_PAPER_SPACES)}")
        return cls(family, **_PAPER_SPACES[family])

    @classmethod
    def from_dict(cls, values: "dict[str, Any] | SearchSpace") -> "SearchSpace":
        """The inverse of `to_dict`; takes config dicts (and a finished space, unchanged)."""
        if isinstance(values, cls):
            return values
        if not isinstance(values, Mapping):
            raise InputError(f"a search space is a dict with family, widths and depths, not {values!r:.80}")
        allowed = {field.name for field in fields(cls)}
        required = {field.name for field in fields(cls) if field.default is MISSING}
        if unknown := set(values) - allowed:
            raise InputError(f"unknown search-space keys {sorted(unknown)}: allowed are {sorted(allowed)}")
        if missing := required - set(values):
            raise InputError(f"the search space lacks {sorted(missing)}")
        return cls(**values)

    def to_dict(self) -> dict[str, Any]:
        """Plain lists and numbers, for configs and checkpoint metadata."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {**values, "widths": list(self.widths), "depths": [list(stage) for stage in self.depths]}

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

    def kept(self, spec: SubnetSpec) -> tuple[tuple[int, ...], ...]:
        """For each elastic stage the supernet's blocks that a size keeps, in order."""
        stages = zip(self.intact.depths, spec.depths, strict=True)
        return tuple(kept_blocks(full, depth, self.depth_rule) for full, depth in stages)

    def weight(self, spec: SubnetSpec) -> float:
        """Unnormalised probability to draw a size (paper, eq. 14; 1 for the largest, s_w * s_d for the smallest)."""
        width = _positions((self.widths,))[(spec.width,)]
        depth = _positions(self.depths)[spec.depths]
        return ((self.s_w - 1) * (1 - width) + 1) * ((self.s_d - 1) * (1 - depth) + 1)

    def probabilities(self) -> dict[SubnetSpec, float]:
        """The probability of every size; they sum to 1."""
        weights = {spec: self.weight(spec) for spec in self}
        total = sum(weights.values())
        return {spec: weight / total for spec, weight in weights.items()}

    def draw(self, seed: int, iteration: int, rank: int = 0, mode: str = "step", place: int = 0) -> SubnetSpec:
        """The elastic student of one step: a function of the arguments alone, so that resuming repeats it.

        Args:
            seed: the run's seed.
            iteration: the training step, from 0.
            rank: this process; used only with mode `rank`.
            mode: `step`: all ranks train the same size; `rank`: each its own, as the official code does.
            place: which one of those drawn for the step, from 0.
        """
        check_draw_mode(mode)
        key = f"{seed}/{iteration}" if mode == "step" else f"{seed}/{iteration}/{rank}"
        specs = list(self)
        # a string seed is hashed with SHA-512: the same draw on every machine and Python version
        return random.Random(key).choices(specs, [self.weight(spec) for spec in specs], k=place + 1)[place]


def check_draw_mode(mode: str) -> None:
    """Raises InputError unless it is one of `SearchSpace.draw`."""
    if mode not in ("step", "rank"):
        raise InputError(f"unknown draw mode {mode!r}: use 'step' (one size for all ranks) or 'rank'")


@lru_cache
def _positions(stages: tuple[tuple[int, ...], ...]) -> dict[tuple[int, ...], float]:
    """The place of every combination of values in the order of their sums, from 0 for the smallest to 1.

    Eq. 14 has one axis for depth, so the depths of ResNet's two stages form one list, sorted by the total number of
    blocks as in the official code. Combinations with the same total share their mean place.
    """
    ordered = sorted(itertools.product(*stages), key=sum)
    last = max(len(ordered) - 1, 1)
    places, first = {}, 0 if len(ordered) > 1 else 1
    for _, ties in itertools.groupby(ordered, key=sum):
        ties = list(ties)
        places.update(dict.fromkeys(ties, (first + (len(ties) - 1) / 2) / last))
        first += len(ties)
    return places
