"""A step over prototypes as a table: which student pass predicts which target, with which weight."""

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from poa_bench.pretraining.losses import Comparison, Prediction, prototype_cross_entropy
from poa_bench.pretraining.rows import Rows
from poa_bench.pretraining.targets import Target


@dataclass(frozen=True)
class Term:
    """One row of the table: ``student``'s ``rows`` predict the target made of ``teacher``'s ``target_rows``.

    Attributes:
        name: in logs.
        student, teacher: names of passes.
        rows, target_rows: kinds of rows of these passes: ``global``, ``local``, ``patch``.
        pairing: which views predict which, see `pairing_matrix`.
        weight: factor in the total.
    """

    name: str
    student: str
    rows: str
    teacher: str
    target_rows: str
    pairing: str
    weight: float


Table = dict[tuple[str, str], list[Term]]
"""The terms by (teacher, target rows)."""


def by_target(terms: Iterable[Term]) -> Table:
    """Terms with the same target together: its probabilities are made once."""
    table = defaultdict(list)
    for term in terms:
        table[term.teacher, term.target_rows].append(term)
    return dict(table)


class TermComparer:
    """Evaluates a table.

    Args:
        temperature: of the students.
        chunk_elements: how many logits may exist at a time.
    """

    def __init__(self, temperature: float, chunk_elements: int):
        self.temperature, self.chunk_elements = temperature, chunk_elements
        self._pairings: dict[tuple, Tensor] = {}  # a copy to a GPU in every step would make the CPU wait for it

    def __call__(
        self,
        table: Table,
        rows: dict[str, list[Rows]],
        prototypes: list[Tensor],
        make_target: Callable[[str, str, int, Tensor], Target],
        patch_weights: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Weighted totals (H,) and unweighted values (H, T) of all T terms, head by head.

        Args:
            table: see `by_target`.
            rows: of each pass, for each of H heads.
            prototypes: (K, d) of each head of the student.
            make_target: of (teacher, target rows, head, features (V, B, d) without gradient).
            patch_weights: (M,) of the masked patches.
        """
        totals, values = [], []
        for head, own in enumerate(prototypes):
            comparisons = []
            for (teacher, target_rows), terms in table.items():
                target = make_target(teacher, target_rows, head, rows[teacher][head][target_rows].detach())
                predictions = [self._predict(term, rows[term.student][head], target, patch_weights) for term in terms]
                comparisons.append(Comparison(target, tuple(predictions)))
            total, value = prototype_cross_entropy(own, self.temperature, comparisons, self.chunk_elements)
            totals.append(total)
            values.append(value)
        return torch.stack(totals), torch.stack(values)

    def _predict(self, term: Term, rows: Rows, target: Target, patch_weights: Tensor) -> Prediction:
        features = rows[term.rows]
        key = (term.pairing, len(features), len(target.features), features.device)
        if key not in self._pairings:
            self._pairings[key] = pairing_matrix(*key)
        return Prediction(features, self._pairings[key], term.weight, patch_weights if term.rows == "patch" else None)


def pairing_matrix(kind: str, student_views: int, target_views: int, device: torch.device | str = "cpu") -> Tensor:
    """(S, V) of 0 and 1: which target views each student view predicts.

    ``other_view``: every view but its own; ``all_views``: all; ``same_view``: its own.
    """
    if kind == "all_views":
        return torch.ones(student_views, target_views, device=device)
    own = torch.eye(student_views, target_views, device=device)
    return own if kind == "same_view" else 1 - own
