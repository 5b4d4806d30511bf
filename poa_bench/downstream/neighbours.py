"""The gallery of k-NN: test pictures beside the pictures of the bank that are nearest to them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from torch import Tensor

from poa_bench.datasets.labels import classes_of
from poa_bench.downstream.drawing import RIGHT, WRONG, drawn, fitted, framed, hexadecimal
from poa_bench.runs.galleries import Gallery, Row

if TYPE_CHECKING:
    from poa_bench.downstream.images import EvaluationData

SHOWN = 6  # neighbours of a picture
_LONGEST = 24  # letters of a class name
_FRAMES = {"of the same class": hexadecimal(RIGHT), "of another class": hexadecimal(WRONG)}


def neighbour_gallery(
    data: EvaluationData,
    shown: Sequence[int],
    nearest: Tensor,
    true: Tensor,
    labels: Tensor,
) -> Gallery:
    """The nearest pictures of the bank, nearest first.

    Args:
        data: whose train split is the bank.
        shown: positions of test pictures.
        nearest: places of their neighbours in train, (shown, k) int64.
        true: labels of the test pictures, (Q,) int64.
        labels: of train, (N,) int64.
    """
    splits = data.splits
    names = classes_of(splits["train"].dataset)
    rows = []
    for position, places in zip(shown, nearest[:, :SHOWN].tolist(), strict=True):
        own = int(true[position])
        said = [_name(int(labels[place]), names) for place in places]
        colours = [RIGHT if int(labels[place]) == own else WRONG for place in places]
        found = framed([splits["train"].seen(place) for place in places], colours)
        query = fitted(splits["test"].seen(position))
        rows.append(
            Row(
                name=f"test picture {position}",
                truth=drawn(query, _name(own, names)),
                found=drawn(found, ", ".join(said), _FRAMES),
            )
        )
    about = "The pictures of the train split that are most similar to a test picture, row by row; frames say the class."
    return Gallery(name="Nearest neighbours", truth="test picture", about=about, rows=tuple(rows))


def _name(label: int, names: Sequence[str] | None) -> str:
    said = str(names[label]) if names and label < len(names) else f"class {label}"
    return said if len(said) <= _LONGEST else f"{said[: _LONGEST - 1]}…"
