"""Every light task measures networks from outside, with and without class token; a segmentor trains on one."""

import pytest
import timm

from poa_bench.sweep.light import plan_light
from poa_bench.sweep.plan import expand, make_sweep
from poa_bench.tasks import light_tasks
from poa_bench.tasks.light import run_light
from tests.outside.networks import ARGUMENTS, CONVNEXT, REGISTERS, stock, write

DATA = """
evaluation = dict(
    name="few-digits", image_size=32, batch_size=64,
    train=dict(type="poa_bench.DigitsClassification", split="train", indices=list(range(0, 800, 8))),
    val=dict(type="poa_bench.DigitsClassification", split="val", indices=list(range(0, 400, 8))),
    test=dict(type="poa_bench.DigitsClassification", split="test", indices=list(range(0, 400, 8))),
)
"""
MAPS = """
evaluation = dict(
    name="few-scenes", image_size=32, resize=64, truth="label_maps",
    train=dict(type="poa_bench.DigitsSegmentation", split="train", indices=6),
    val=dict(type="poa_bench.DigitsSegmentation", split="dev", indices=3),
    test=dict(type="poa_bench.DigitsSegmentation", split="val", indices=3),
)
"""
ON_CLASSES = ["knn", "linear", "kmeans", "retrieval", "rank", "logistic", "calibration", "robustness", "profile"]
QUICK = ["linear-sgd-i3-b16-testsplit/1", "robustness-logreg-shuffle-draws1/1", "profile-b1-s0.01/1"]
QUICK_MAPS = ["patch-knn-k5-T0.07-s16cls-n400-slide2/1", "patch-linear-grid13-b0.5-s16-n400-whole/1"]


@pytest.fixture(params=[REGISTERS, CONVNEXT])
def network(request, tmp_path):
    """Name and what `plan_light` wants to know of it."""
    path = write(stock(request.param), tmp_path / "weights.safetensors")
    return request.param, {"weights": str(path), "arguments": ARGUMENTS[request.param]}


def test_every_light_task(network, tmp_path):
    name, outside = network
    (tmp_path / "few.py").write_text(DATA)
    (tmp_path / "maps.py").write_text(MAPS)
    runs = plan_light(f"timm:{name}", str(tmp_path / "few.py"), ON_CLASSES, protocols=QUICK, outside=outside)
    tasks = ["patch-knn", "patch-linear"]
    runs += plan_light(f"timm:{name}", str(tmp_path / "maps.py"), tasks, protocols=QUICK_MAPS, outside=outside)
    found = {run.id: (run, outcome) for run, outcome in run_light(runs)}
    failed = {str(run): outcome for run, outcome in found.values() if isinstance(outcome, Exception)}
    assert not failed and len(found) == len(runs)
    results = [result for _, result in found.values()]
    # the task depth needs maps of distances: tests/tasks/test_patch_tasks.py
    assert {result.task for result in results} == set(light_tasks()) - {"depth"}
    own = sum(p.numel() for p in timm.create_model(name, num_classes=0, **ARGUMENTS[name]).parameters())
    assert {result.parameters for result in results} == {own}


@pytest.mark.parametrize(
    ("task", "config", "name"),
    [
        ("segmentation", "linear-seg_digits.py", CONVNEXT),
        ("detection", "mask-rcnn_fpn_digits.py", CONVNEXT),
        ("detection", "mask-rcnn_sfp-frozen_digits.py", REGISTERS),
    ],
)
def test_heads_are_trained_on_a_network_from_outside(task, config, name, tmp_path):
    pytest.importorskip("mmseg" if task == "segmentation" else "mmdet")
    from poa_bench.tasks.trained import dense_config, run_trained

    options = {
        "train_cfg.max_iters": 2,
        "train_dataloader.batch_size": 2,
        "train_dataloader.dataset.indices": 4,
        "val_dataloader.dataset.indices": 2,
        "log_level": "WARNING",
    }
    path = write(stock(name), tmp_path / "weights.safetensors")
    entry = {"timm": name, "weights": str(path), "arguments": ARGUMENTS[name]}
    tasks = [{"task": task, "settings": {"config": config, "cfg_options": options}}]
    sweep = {"name": "s", "checkpoints": [], "networks": [entry], "results": "", "tasks": tasks}
    (run,) = expand(make_sweep(sweep))
    built, timms = dense_config(run, tmp_path / "work"), timm.get_pretrained_cfg(name)
    assert built.model.data_preprocessor.mean == pytest.approx([255 * value for value in timms.mean])
    result = run_trained(run, tmp_path / "work", "cpu")
    assert result.tensors_loaded == result.tensors_total == len(stock(name, classes=0).state_dict())
    assert result.parameters == sum(p.numel() for p in stock(name, classes=0).parameters())
    score = "mIoU" if task == "segmentation" else "bbox_mAP"
    assert result.spec == f"timm:{name}" and 0 <= result.metrics[score] <= 100
