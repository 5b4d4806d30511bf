"""Checkpoints of a run that chooses its best one on a validation split, with a toy model and mmengine's Runner."""

import shutil

import torch
from mmengine.evaluator import BaseMetric, Evaluator
from mmengine.model import BaseModel
from mmengine.runner import Runner
from torch.utils.data import DataLoader

from poa_bench.pretraining.safety import SafeCheckpointHook


class Slope(BaseModel):
    """One weight, pulled towards 1."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def forward(self, inputs, mode):
        return {"loss": (self.weight - 1).square().sum()} if mode == "loss" else [self.weight.item()]


class Height(BaseMetric):
    """The weight: better after every epoch."""

    def process(self, data_batch, data_samples):
        self.results += data_samples

    def compute_metrics(self, results):
        return {"height": results[-1]}


def train(work_dir, epochs, **options):
    loader = DataLoader([{"inputs": torch.zeros(1)}] * 2)
    hook = SafeCheckpointHook(interval=1, max_keep_ckpts=1, save_best="height", rule="greater")
    runner = Runner(
        Slope(),
        str(work_dir),
        train_dataloader=loader,
        train_cfg={"by_epoch": True, "max_epochs": epochs},
        optim_wrapper={"optimizer": {"type": "SGD", "lr": 0.1}},
        val_dataloader=loader,
        val_cfg={},
        val_evaluator=Evaluator(Height()),
        default_hooks={"checkpoint": hook},
        experiment_name=f"{work_dir.name}-{epochs}",
        **options,
    )
    runner.train()
    return {path.name for path in work_dir.glob("*.pth")}


def test_a_copy_leaves_the_best_checkpoint_of_the_original_alone(tmp_path):
    original, copy = tmp_path / "original", tmp_path / "copy"
    assert train(original, 2) == {"epoch_2.pth", "best_height_epoch_2.pth"}
    shutil.copytree(original, copy)
    found = train(copy, 3, resume=True, load_from=str(copy / "epoch_2.pth"))
    assert found == {"epoch_3.pth", "best_height_epoch_3.pth"}, "its own best one is replaced"
    assert {path.name for path in original.glob("*.pth")} == {"epoch_2.pth", "best_height_epoch_2.pth"}
