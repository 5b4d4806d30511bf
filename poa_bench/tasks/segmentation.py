"""Semantic segmentation: mmseg's heads, trained on a sub-network as backbone (see `trained.py`)."""

from poa_bench.tasks.base import Task

_TRAINED = "the same head, schedule and data for every size; mean intersection over union"

TASK = Task(
    "segmentation",
    place=50,
    sentences={
        "upernet": f"UPerNet trained on top of the sub-network, {_TRAINED}.",
        "linear-seg": f"A linear head on the frozen sub-network, {_TRAINED}.",
    },
)
