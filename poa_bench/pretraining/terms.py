"""The step as a table: which student pass predicts which target, with which weight."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from poa_bench.config_values import check_call
from poa_bench.errors import InputError

# student pass -> teacher passes it learns from; V1-V3 are the paper's variants (Table 5)
VARIANTS: dict[str, dict[str, tuple[str, ...]]] = {
    "poa": {"intact": ("teacher",), "elastic": ("teacher",)},
    "intact": {"intact": ("teacher",)},  # one network of one size: the baseline that POA is compared with
    "v1": {"elastic": ("elastic_teacher",)},
    "v2": {"elastic": ("teacher",)},
    "v3": {"intact": ("teacher",), "elastic": ("teacher", "elastic_teacher")},
}


@dataclass(frozen=True)
class LossWeights:
    """How much each part counts; 0 switches it off.

    Attributes:
        lambda_intact: share of the intact student, the elastic one has the rest (paper, eq. 10). A variant with one
            student ignores it.
        weighting: how global and local crops share the cross-view loss: ``official`` counts every pair of views alike
            (with 8 local crops 2/18 and 16/18), ``paper`` gives both sums weight 1 (eqs. 6-10). The same-view terms
            weigh 1 each in both, so ``paper`` is ES1:ES2 = 1:1 and ``official`` 1:2.
        elastic_cross_view: factor of teacher -> elastic student on class tokens (ES1).
        same_view: factor of intact -> elastic student (ES2).
        patch: factor of the masked-patch loss.
        koleo: factor of KoLeo.
    """

    lambda_intact: float = 0.8
    weighting: str = "official"
    elastic_cross_view: float = 1.0
    same_view: float = 1.0
    patch: float = 1.0
    koleo: float = 0.1

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> "LossWeights":
        """Raises InputError for names that are none of the attributes, and values that are of another kind."""
        check_call("model.loss_weights", cls, settings)
        return cls(**settings)

    def __post_init__(self) -> None:
        if self.weighting not in ("official", "paper"):
            raise InputError(f"loss weighting {self.weighting!r} is unknown: use 'official' or 'paper'")
        if not 0 <= self.lambda_intact <= 1:
            raise InputError(f"lambda_intact is {self.lambda_intact}: it must lie in [0, 1]")

    def crops(self, local_views: int) -> dict[str, float]:
        """Weight of the global and the local cross-view term."""
        if self.weighting == "paper":
            return {"global": 1.0, "local": 1.0}
        return {"global": 1 / (1 + local_views), "local": local_views / (1 + local_views)}


@dataclass(frozen=True)
class Term:
    """One row of the table: ``student``'s ``rows`` predict the target made of ``teacher``'s ``target_rows``."""

    student: str
    rows: str
    teacher: str
    target_rows: str
    pairing: str
    weight: float

    @property
    def name(self) -> str:
        """For logs: ``elastic_global``, ``elastic_same_local``, ``intact_patch``, ..."""
        kind = f"same_{self.rows}" if self.teacher == "intact" else self.rows
        origin = "_by_elastic_teacher" if self.teacher == "elastic_teacher" else ""
        return f"{self.student}_{kind}{origin}"


def loss_table(weights: LossWeights, variant: str = "poa", local_views: int = 8, patch: float = 1.0) -> list[Term]:
    """All terms of a step whose weight is not zero (paper, eqs. 6-10; patch term: iBOT).

    Args:
        weights: the shares.
        variant: a key of ``VARIANTS``.
        local_views: number of local crops per image.
        patch: schedule of the masked-patch loss, multiplies its weight.

    Raises:
        InputError: unknown variant.
    """
    if variant not in VARIANTS:
        raise InputError(f"unknown variant {variant!r}: use one of {', '.join(VARIANTS)}")
    students = VARIANTS[variant]
    shares = {"intact": weights.lambda_intact, "elastic": 1 - weights.lambda_intact} if len(students) > 1 else {}
    crops = weights.crops(local_views)
    table = []
    for student, teachers in students.items():
        share = shares.get(student, 1.0)
        cross = share * (weights.elastic_cross_view if student == "elastic" else 1.0) / len(teachers)
        for teacher in teachers:
            table += [
                Term(student, "global", teacher, "global", "other_view", cross * crops["global"]),
                Term(student, "local", teacher, "global", "all_views", cross * crops["local"]),
                Term(student, "patch", teacher, "patch", "same_view", share * weights.patch * patch / len(teachers)),
            ]
        if student == "elastic" and "intact" in students:
            same = share * weights.same_view
            table += [
                Term(student, "global", "intact", "global", "same_view", same),
                Term(student, "local", "intact", "local", "same_view", same),
            ]
    return [term for term in table if term.weight and (term.rows != "local" or local_views)]


@lru_cache  # a copy to a GPU in every step would make the CPU wait for it
def pairing_matrix(kind: str, student_views: int, target_views: int, device: torch.device | str = "cpu") -> Tensor:
    """(S, V) of 0 and 1: which target views each student view predicts. Do not change it: it is made once.

    ``other_view``: every view but its own; ``all_views``: all; ``same_view``: its own.
    """
    if kind == "all_views":
        return torch.ones(student_views, target_views, device=device)
    own = torch.eye(student_views, target_views, device=device)
    return own if kind == "same_view" else 1 - own
