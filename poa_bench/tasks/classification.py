"""Fine-tuning for classification: mmpretrain's classifier on a sub-network, all of it trained (see `trained.py`)."""

from poa_bench.tasks.base import Task

TASK = Task(
    "classification",
    place=30,
    sentences={
        "finetune-official": "The whole sub-network fine-tuned for classification with the settings that the official "
        "code has for its size: epochs, batch, learning rate and layer decay differ from size to size; nothing is "
        "selected.",
        "finetune": "The whole sub-network fine-tuned for classification, the same head, schedule and data for every "
        "size.",
    },
)
