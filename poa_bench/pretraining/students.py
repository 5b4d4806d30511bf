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


def students_of(rule: str) -> tuple[str, ...]:
    """The students of a rule; raises InputError for one that is unknown."""
    if rule not in RULES:
        raise InputError(f"model.students is {rule!r}: use one of {', '.join(RULES)}")
    return RULES[rule]


def drawn_count(students: Sequence[str]) -> int:
    """How many sizes are drawn for a step."""
    return sum(name.startswith("elastic") for name in students)


def loss_shares(students: Sequence[str], lambda_intact: float) -> dict[str, float]:
    """The intact student has `lambda_intact` (POA, eq. 10), the others share the rest; one alone has all."""
    others = len(students) - ("intact" in students)
    if not others or "intact" not in students:
        return dict.fromkeys(students, 1 / len(students))
    return {name: lambda_intact if name == "intact" else (1 - lambda_intact) / others for name in students}


def sizes_of(students: Sequence[str], space: SearchSpace, drawn: Sequence[SubnetSpec]) -> dict[str, SubnetSpec | None]:
    """The size of each student in a step; None is the intact one's."""
    rest = iter(drawn)
    known = {"intact": None, "smallest": space.smallest}
    return {name: known[name] if name in known else next(rest) for name in students}


def expected_sizes(student: str, space: SearchSpace) -> Mapping[SubnetSpec, float] | None:
    """How often a student has which size, for `Pass`; None is as sizes are drawn."""
    fixed = {"intact": space.intact, "smallest": space.smallest}
    return {fixed[student]: 1.0} if student in fixed else None


def expected_widths(students: Iterable[str], supernet: Supernet, elastic_width: float) -> dict[str, float]:
    """Mean width of each student's features as a share of the intact network's; drawn ones have `elastic_width`."""
    known = {"intact": 1.0, "smallest": supernet.width(supernet.space.smallest) / supernet.width()}
    return {name: known.get(name, elastic_width) for name in students}
