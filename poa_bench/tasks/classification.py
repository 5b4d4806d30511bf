"""Fine-tuning for classification: mmpretrain's classifier on a sub-network, all of it trained (see `trained.py`)."""

from poa_bench.tasks.base import Task

TASK = Task(
    "classification",
    place=30,
    sentences={
        "finetune-official": "The whole sub-network fine-tuned for classification with the settings that the official "
        "code has for its size: epochs, batch, learning rate and layer decay differ from size to size; nothing is "
        "selected.",
        "transfer-official": "The whole sub-network fine-tuned on another data set with the paper's settings: AdamW "
        "without layer decay for 1,000 epochs (iNaturalist 360), the learning rate that of the data set; nothing is "
        "selected.",
        "semi-supervised-official": "The whole sub-network fine-tuned on a part of ImageNet's labels for 1,000 epochs "
        "with the paper's settings, the first layer of a projection head between it and a new classifier; nothing is "
        "selected.",
        "finetune": "The whole sub-network fine-tuned for classification, the same head, schedule and data for every "
        "size.",
    },
)
