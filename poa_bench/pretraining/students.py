"""Which networks a step trains, of which size and with which share of the loss: the rules by which supernets learn."""

from collections.abc import Iterable, Mapping, Sequence

from poa_bench.elastic import SearchSpace, SubnetSpec, Supernet
from poa_bench.errors import InputError

# of each rule the students: `intact`, `smallest`, and `elastic` ones of drawn sizes
RULES: dict[str, tuple[str, ...]] = {
    "pair": ("intact", "elastic"),  # POA's
    "intact": ("intact",),  # one network of one size
    "single-path": ("elastic",),  # SPOS, AutoFormer
    "sandwich": ("intact", "smallest", "elastic", "elastic_2"),  # US-Net, BigNAS
}


class Students:
    """The networks that a step trains.

    Args:
        names: see `RULES`.
        lambda_intact: share of the intact student (POA, eq. 10); the others have equal parts of the rest, and where
            there is no other, or no intact one, those that are there have all.

    Attributes:
        shares: of the loss, by name.
        drawn: how many sizes are drawn for a step.
    """

    def __init__(self, names: Iterable[str], lambda_intact: float):
        names = tuple(names)
        others = len(names) - ("intact" in names)
        self.shares = dict.fromkeys(names, 1 / len(names))
        if others and "intact" in names:
            self.shares = dict.fromkeys(names, (1 - lambda_intact) / others) | {"intact": lambda_intact}
        self.drawn = sum(name.startswith("elastic") for name in names)

    @classmethod
    def by_rule(cls, rule: str, lambda_intact: float) -> "Students":
        """Those of a rule; raises InputError if it is unknown."""
        if rule not in RULES:
            raise InputError(f"model.students is {rule!r}: use one of {', '.join(RULES)}")
        return cls(RULES[rule], lambda_intact)

    def sizes(self, space: SearchSpace, drawn: Sequence[SubnetSpec]) -> dict[str, SubnetSpec | None]:
        """The size of each in a step; None is the intact one's."""
        rest = iter(drawn)
        known = {"intact": None, "smallest": space.smallest}
        return {name: known[name] if name in known else next(rest) for name in self.shares}

    def expected_sizes(self, space: SearchSpace) -> dict[str, Mapping[SubnetSpec, float] | None]:
        """How often each has which size, for `Pass`; None is as sizes are drawn."""
        fixed = {"intact": {space.intact: 1.0}, "smallest": {space.smallest: 1.0}}
        return {name: fixed.get(name) for name in self.shares}

    def expected_widths(self, supernet: Supernet, elastic_width: float) -> dict[str, float]:
        """Mean width of each one's features as a share of the intact network's; drawn ones have `elastic_width`."""
        fixed = {"intact": 1.0, "smallest": supernet.width(supernet.space.smallest) / supernet.width()}
        return {name: fixed.get(name, elastic_width) for name in self.shares}
