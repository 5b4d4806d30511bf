"""Detection and instance segmentation: mmdet's detectors, trained on a sub-network as backbone (see `trained.py`)."""

from poa_bench.tasks.base import Task

_TRAINED = "trained on top of the sub-network, the same head, schedule and data for every size"

TASK = Task(
    "detection",
    place=40,
    sentences={
        "mask-rcnn": f"Mask R-CNN {_TRAINED}; average precision over IoU 0.50 to 0.95.",
        "cascade-mask-rcnn": f"Cascade Mask R-CNN {_TRAINED}; average precision over IoU 0.50 to 0.95.",
        "faster-rcnn": f"Faster R-CNN {_TRAINED}; average precision over IoU 0.50 to 0.95.",
    },
)
