"""What a network from outside is called where a size of a supernet is called `vit-w384-d12`: `timm:NAME`."""

from __future__ import annotations

from dataclasses import dataclass

from poa_bench.elastic.space import SubnetSpec
from poa_bench.errors import InputError

PREFIX = "timm:"
FAMILY = "timm"
SERIES = "from outside: "  # begins the names of their lines in reports


@dataclass(frozen=True, order=True)
class OutsideSpec:
    """A network of timm's registry.

    Attributes:
        timm: its name there, with the tag of its weights if it was given one: `vit_small_patch14_dinov2.lvd142m`.
    """

    timm: str

    @property
    def family(self) -> str:
        """The same for all of them; see `SubnetSpec.family`."""
        return FAMILY

    def __str__(self) -> str:
        return f"{PREFIX}{self.timm}"


def is_outside(text: object) -> bool:
    """Whether this names a network from outside rather than a size or a checkpoint."""
    return str(text).startswith(PREFIX)


def family_of(text: str) -> str:
    """First part of a size's name; `timm` of a network from outside."""
    return FAMILY if is_outside(text) else text.split("-")[0]


def parse_spec(text: str | SubnetSpec | OutsideSpec) -> SubnetSpec | OutsideSpec:
    """A size of a supernet, or a network from outside.

    Raises:
        InputError: the text is neither.

    >>> parse_spec("timm:resnet50.a1_in1k")
    OutsideSpec(timm='resnet50.a1_in1k')
    """
    if isinstance(text, OutsideSpec):
        return text
    if not is_outside(text):
        return SubnetSpec.parse(text)
    name = str(text).removeprefix(PREFIX)
    if not name:
        raise InputError(f"{text!r} names no network: write {PREFIX}NAME, such as {PREFIX}vit_small_patch16_224.dino")
    return OutsideSpec(name)


@dataclass(frozen=True)
class OneSize:
    """What a `SearchSpace` is for a supernet: the sizes of a network from outside, of which there is one."""

    spec: OutsideSpec

    def parse(self, text: str | OutsideSpec) -> OutsideSpec:
        """The one spec.

        Raises:
            InputError: another one was asked for.
        """
        if str(text) != str(self.spec):
            raise InputError(f"{text} is not {self.spec}, which has one size: leave the size out")
        return self.spec
