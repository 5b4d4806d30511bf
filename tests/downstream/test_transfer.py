"""Fine-tuning on other data sets and on few labels: the paper's settings, and a run on a miniature of Flowers-102."""

import json

import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.optim import build_optim_wrapper
from mmengine.registry import HOOKS, MODELS, init_default_scope
from sklearn.metrics import accuracy_score, balanced_accuracy_score

from poa_bench.config_files import find_config
from poa_bench.datasets.for_classifiers import ClassifierImages
from poa_bench.datasets.official import FlowersImages, INaturalistImages
from poa_bench.downstream.images import EvaluationData
from poa_bench.errors import InputError
from tests.datasets.test_official import flowers, picture
from tests.downstream.networks import SMALL
from tests.downstream.test_dense_configs import load
from tests.downstream.test_dense_configs import run as run_config

pytest.importorskip("mmpretrain")

# eval/transfer_learning.py and the paper's semi-supervised setting: rate for ViT-S at a batch, epochs, classes
SETTINGS = {
    "transfer_cifar10": (8e-6, 512, 1000, 10),
    "transfer_cifar100": (9e-6, 512, 1000, 100),
    "transfer_inat18": (4e-4, 512, 360, 8142),
    "transfer_inat19": (7e-5, 512, 360, 1010),
    "transfer_flowers": (6e-4, 512, 1000, 102),
    "transfer_cars": (4e-4, 512, 1000, 196),
    "semi-supervised_1percent": (5e-6 * 1024 / 512, 1024, 1000, 1000),
    "semi-supervised_10percent": (5e-6 * 1024 / 512, 1024, 1000, 1000),
}


@pytest.mark.parametrize("name", SETTINGS)
def test_settings_are_the_papers(name):
    rate, batch, epochs, classes = SETTINGS[name]
    config = Config.fromfile(find_config(f"{name}.py"))
    assert config.train_dataloader.batch_size * 8 == batch == config.auto_scale_lr.base_batch_size
    assert config.train_cfg.max_epochs == epochs and config.model.head.num_classes == classes
    assert config.data_preprocessor.num_classes == classes
    assert config.param_scheduler[0].warmup * epochs == pytest.approx(5)
    assert [hook.type for hook in config.custom_hooks] == ["poa_bench.WholeCheckpointHook"]
    assert config.measurement.dataset == config.evaluation.name
    few = name.startswith("semi-supervised")  # from the first layer of the projection head on
    assert config.model.head.type == ("poa_bench.FirstLayerClsHead" if few else "LinearClsHead")
    init_default_scope("mmpretrain")
    with torch.device("meta"):
        model = MODELS.build(config.model)
    groups = build_optim_wrapper(model, config.optim_wrapper).param_groups
    assert [group["lr"] for group in groups] == pytest.approx([rate] * len(groups)), "no layer decay"
    assert {group["weight_decay"] for group in groups} == {0.05, 0.0}


@HOOKS.register_module(force=True)
class Predictions(Hook):
    """What the last evaluation said and what was true."""

    def before_val_epoch(self, runner):
        self.said, self.true = [], []

    def after_val_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.said += [int(sample.pred_label) for sample in outputs]
        self.true += [int(sample.gt_label) for sample in outputs]


def test_a_small_run_reports_scikit_learns_accuracies(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    flowers(tmp_path / "data")
    for number in range(1, 6):  # large enough to be cropped
        picture(tmp_path / f"data/flowers-102/jpg/image_{number:05d}.jpg", 50 * number)
    config = load("transfer_flowers.py", tmp_path / "work", SMALL["vit"], **{"model.head.num_classes": 2})
    config.data_preprocessor.num_classes = 2
    config.train_cfg.update(max_epochs=2, val_interval=2)
    config.param_scheduler[0].warmup = 0.1
    config.default_hooks.checkpoint.interval = -1
    config.custom_hooks.append({"type": "mmengine.Predictions"})
    small = {"RandomResizedCrop": {"scale": 32}, "ResizeEdge": {"scale": 36}, "CenterCrop": {"crop_size": 32}}
    for loader in (config.train_dataloader, config.val_dataloader):
        loader.batch_size = 2
        for step in loader.dataset.pipeline:
            step.update(small.get(step["type"], {}))
    config.val_evaluator[0].topk = (1,)  # of two classes
    config.measurement.metrics.pop("top5")
    runner, scalars = run_config(config)
    watch = next(hook for hook in runner.hooks if isinstance(hook, Predictions))
    assert len(runner.train_dataloader.dataset) == 3 and sorted(watch.true) == [0, 1]
    assert scalars["val/accuracy/top1"] == pytest.approx(100 * accuracy_score(watch.true, watch.said))
    assert scalars["val/single-label/recall"] == pytest.approx(100 * balanced_accuracy_score(watch.true, watch.said))


def test_the_mean_of_recalls_is_scikit_learns():
    """Of imbalanced classes, for which it is not the accuracy."""
    from mmpretrain.evaluation import SingleLabelMetric

    said, true = [0, 0, 1, 1, 2, 0, 0, 2], [0, 0, 0, 1, 2, 2, 0, 2]
    scores = SingleLabelMetric.calculate(torch.tensor(said), torch.tensor(true), average="macro", num_classes=3)
    assert float(scores[1]) == pytest.approx(100 * balanced_accuracy_score(true, said), abs=1e-4)
    assert accuracy_score(true, said) != pytest.approx(balanced_accuracy_score(true, said), abs=0.01)


def test_pictures_come_as_mmpretrain_reads_them(tmp_path):
    flowers(tmp_path / "data")
    root = str(tmp_path / "data/flowers-102")
    parts = [dict(type="poa_bench.FlowersImages", path=root, split=split) for split in ("train", "val")]
    found = ClassifierImages(parts, [])
    assert [(found[place]["img"][0, 0, 0], found[place]["gt_label"]) for place in range(3)] == [(1, 1), (4, 0), (5, 0)]
    assert len(found) == 3 and found.metainfo["classes"] == FlowersImages(root).metainfo["classes"]
    other = dict(type="poa_bench.DigitsClassification", split="val")
    with pytest.raises(InputError, match="are not the same"):
        ClassifierImages([parts[0], other], [])


def test_colours_are_in_mmcvs_order():
    found = ClassifierImages([dict(type="poa_bench.DigitsClassification", split="val")], [])
    plain = found.pictures.datasets[0][7]["inputs"].permute(1, 2, 0).numpy()
    assert (found[7]["img"] == plain[..., ::-1]).all() and (plain[..., 0] != plain[..., 2]).any()


def test_inaturalist_and_lists_of_few_labels(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = [("train_val2018/a/x.jpg", 3, 9), ("train_val2018/b/y.jpg", 1, 8)]
    for name, _, number in rows:
        picture(tmp_path / "data/inat2018" / name, number)
    said = {
        "images": [{"file_name": name, "id": number} for name, _, number in rows],
        "annotations": [{"image_id": number, "category_id": label} for _, label, number in reversed(rows)],
        "categories": [{"id": number} for number in range(4)],
    }
    (tmp_path / "train.json").write_text(json.dumps(said))
    found = INaturalistImages("data/inat2018", "train.json")
    assert found.labels.tolist() == [3, 1] and [int(found[place]["inputs"][0, 0, 0]) for place in (0, 1)] == [9, 8]
    assert len(found.metainfo["classes"]) == 4
    for folder, value in (("n01", 11), ("n02", 12)):
        picture(tmp_path / f"data/imagenet/train/{folder}/{folder}_7.JPEG", value)
        picture(tmp_path / f"data/imagenet/val/{folder}/v.JPEG", value)
    (tmp_path / "data/imagenet/1percent.txt").write_text("n02_7.JPEG\nn01_7.JPEG\n")
    train = EvaluationData.load("imagenet-1percent").splits["train"]
    assert [(int(train.read(place)[0][0, 0, 0]), train.read(place)[1]) for place in (0, 1)] == [(12, 1), (11, 0)]
