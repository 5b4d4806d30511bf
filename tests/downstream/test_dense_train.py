"""`run_trained`: a run on the embedded scenes from its weights to its result, also after an interruption."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner

from poa_bench.config_files import find_config
from poa_bench.errors import InputError
from poa_bench.runs.galleries import MISSING
from poa_bench.runs.results import read_results, write_result
from poa_bench.runs.run import Run
from poa_bench.sweep.plan import expand, make_sweep
from poa_bench.tasks.trained import _in_several_processes, dense_config, run_trained
from tests.downstream.networks import tiny_supernet, write_checkpoint
from tests.warned import warnings_in

pytest.importorskip("mmdet")
pytest.importorskip("mmseg")

SHORT = {
    "train_cfg.max_iters": 4,
    "train_dataloader.batch_size": 2,
    "train_dataloader.dataset.indices": 8,
    "val_dataloader.dataset.indices": 4,
    "default_hooks.checkpoint.interval": 2,
    "log_level": "WARNING",
}
TASKS = {
    "detection": ("mask-rcnn_sfp_digits.py", "mask-rcnn-sfp-digits/4"),
    "segmentation": ("linear-seg_digits.py", "linear-segmentation-digits/3"),
}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Path:
    return write_checkpoint(tiny_supernet("vit"), tmp_path_factory.mktemp("checkpoint") / "supernet.pth")


def runs(task: str, checkpoint: Path, initialisations=("pretrained",), seeds=(0,), **options) -> list[Run]:
    config, protocol = TASKS[task]
    settings = {"config": config, "cfg_options": SHORT | options}
    entry = {"task": task, "dataset": "digits-scenes", "protocols": [protocol], "specs": ["smallest"]}
    entry |= {"settings": settings, "initialisations": list(initialisations), "seeds": list(seeds)}
    sweep = {"name": "test", "checkpoints": [str(checkpoint)], "results": "unused", "tasks": [entry]}
    return expand(make_sweep(sweep))


def test_weights_that_were_replaced_since_the_plan_are_not_measured(checkpoint, tmp_path):
    """The result would have the score of one network beside the hash of another."""
    path = tmp_path / "supernet.pth"
    shutil.copy(checkpoint, path)
    (run,) = runs("segmentation", path)
    write_checkpoint(tiny_supernet("vit", seed=1), path)
    with pytest.raises(InputError, match="has changed since the run was planned"):
        run_trained(run, tmp_path / "work", "cpu")
    assert not list((tmp_path / "work").rglob("*.pth"))


def test_detection_leaves_a_complete_result(checkpoint, tmp_path, monkeypatch):
    (run,) = runs("detection", checkpoint)
    monkeypatch.setattr("yapf.yapflib.yapf_api.FormatCode", lambda *_, **__: pytest.fail("a text was laid out by yapf"))
    result = run_trained(run, tmp_path / "work", "cpu")
    assert list(result.metrics) == ["bbox_mAP", "segm_mAP", "bbox_mAP_50", "segm_mAP_50"]
    assert all(0 <= value <= 100 for value in result.metrics.values())
    network = tiny_supernet("vit").extract(tiny_supernet("vit").space.smallest)
    assert result.tensors_loaded == result.tensors_total == len(network.state_dict())
    assert result.parameters == sum(parameter.numel() for parameter in network.parameters())
    assert (result.spec, result.split, result.facts["iterations"], result.facts["batch"]) == ("vit-w16-d3", "val", 4, 2)
    assert all("of an older version" in line for line in warnings_in(tmp_path / "work"))  # the made checkpoint
    assert result.facts["test_images"] == SHORT["val_dataloader.dataset.indices"]
    assert set(result.outcomes) <= set(result.metrics)  # none where nothing was detected
    ((gallery,), said) = result.galleries, result.facts
    assert len(gallery.rows) == SHORT["val_dataloader.dataset.indices"] and MISSING not in said
    assert all(row.truth.caption.startswith("digit") and row.truth.legend for row in gallery.rows)
    write_result(result, tmp_path / "results")
    table = read_results(tmp_path / "results")
    assert table[table.primary].metric.tolist() == ["bbox_mAP"]


def test_same_seed_same_number_and_the_weights_matter(checkpoint, tmp_path):
    """`random` has the supernet's architecture, not the config's, and loads nothing."""
    found = {}
    for run in runs("segmentation", checkpoint, ("pretrained", "random"), seeds=(0, 1)):
        found[run.initialisation, run.seed] = run_trained(run, tmp_path / run.id, "cpu")
    again = run_trained(runs("segmentation", checkpoint)[0], tmp_path / "again", "cpu")
    assert all("of an older version" in line for line in warnings_in(tmp_path))
    assert again.metrics == found["pretrained", 0].metrics
    galleries = [result.galleries[0] for result in (again, *found.values())]
    assert galleries[0] == galleries[1] and all(len(gallery.rows) == 4 for gallery in galleries)
    truths = [[(row.name, row.truth) for row in gallery.rows] for gallery in galleries]
    assert all(truth == truths[0] for truth in truths), "the same pictures for every seed and start"
    assert again.outcomes.keys() == again.metrics.keys() and again.outcomes["mIoU"].pictures == 4
    assert again.outcomes["mIoU"].score == pytest.approx(again.metrics["mIoU"], abs=0.006)
    assert len({tuple(result.metrics.values()) for result in found.values()}) == 4
    assert {result.parameters for result in found.values()} == {again.parameters}
    assert {found["random", seed].tensors_loaded for seed in (0, 1)} == {0}


def test_several_processes_hand_outcomes_on_in_a_file(checkpoint, tmp_path, monkeypatch):
    """Rank 0 of one process; only which device it is on is not as it would be with several."""
    (run,) = runs("segmentation", checkpoint)
    environment = {"RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0"}
    real = subprocess.run

    def alone(command, **options):
        return real([sys.executable, *command[command.index("-m", 2) :]], env=os.environ | environment, **options)

    monkeypatch.setattr("poa_bench.tasks.trained.subprocess.run", alone)
    measured = _in_several_processes(run, tmp_path)
    assert measured["outcomes"]["mIoU"].score == pytest.approx(measured["metrics"]["mIoU"], abs=0.006)
    assert json.loads((tmp_path / "measured.json").read_text())["metrics"] == measured["metrics"]


class Interrupt(Hook):
    """Ends the training in iteration 3, once; notes the iterations that were begun."""

    begun: list[int] = []
    evaluations = 0

    def after_val_epoch(self, runner, metrics=None):
        Interrupt.evaluations += 1

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        self.begun.append(runner.iter)
        if self.begun == [0, 1, 2, 3]:
            raise KeyboardInterrupt


def test_an_interrupted_run_goes_on_where_its_folder_was_moved_to(checkpoint, tmp_path):
    HOOKS.register_module(module=Interrupt, force=True)
    (run,) = runs("segmentation", checkpoint, custom_hooks=[{"type": "Interrupt"}])
    moved = tmp_path / "moved"
    with pytest.raises(KeyboardInterrupt):
        run_trained(run, tmp_path / "first", "cpu")
    shutil.copytree(tmp_path / "first", moved)
    (tmp_path / "first" / "iter_2.pth").unlink()  # this process still has the log there open
    result = run_trained(run, moved, "cpu")
    assert Interrupt.begun == [0, 1, 2, 3, 2, 3]  # from the checkpoint of iteration 2
    assert Interrupt.evaluations == 1
    assert result.tensors_loaded == result.tensors_total
    assert run_trained(run, moved, "cpu").metrics == result.metrics  # finished: evaluates once more, trains nothing
    assert (len(Interrupt.begun), Interrupt.evaluations) == (6, 2)


def test_moving_averages_are_what_is_measured(checkpoint, tmp_path):
    """At the end of the training and, where nothing was left to train, from the checkpoint."""
    (run,) = runs("segmentation", checkpoint, custom_hooks=[{"type": "EMAHook", "momentum": 0.5}])
    found = [run_trained(run, tmp_path, "cpu").metrics for _ in range(2)]
    config = dense_config(run, tmp_path)
    config.update(custom_hooks=[], resume=False)
    last = torch.load(tmp_path / "iter_4.pth", weights_only=False)
    averages, trained = last["state_dict"], last["ema_state_dict"]  # mmengine exchanges them in its checkpoints
    expected = []
    for weights in (averages, {name.removeprefix("module."): value for name, value in trained.items()}):
        weights = {name: value for name, value in weights.items() if name != "steps"}
        runner = Runner.from_cfg(config)
        runner.model.load_state_dict(weights)
        expected.append(runner.val()["mIoU"])
    assert expected[0] != expected[1]
    assert [metrics["mIoU"] for metrics in found] == pytest.approx(expected[:1] * 2)


def test_config_takes_size_weights_and_seed_of_the_run(checkpoint, tmp_path):
    (run,) = runs("segmentation", checkpoint, seeds=(3,))
    config = dense_config(run, tmp_path)
    backbone = config.model.backbone
    assert (backbone.spec, backbone.init_cfg.checkpoint) == ("vit-w16-d3", str(checkpoint))
    assert backbone.families.vit == {"head_dim": 16, "img_size": 32, "patch_size": 8, "init_values": 0.5}
    assert (config.randomness.seed, config.work_dir) == (3, str(tmp_path))


def test_a_config_of_another_protocol_is_refused(checkpoint, tmp_path):
    (run,) = runs("segmentation", checkpoint)
    with pytest.raises(InputError, match=f"measures segmentation {run.protocol} .* but the run is .*/0"):
        run_trained(run.model_copy(update={"protocol": "linear-segmentation-digits/0"}), tmp_path, "cpu")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("package", "config"),
    [
        ("mmdetection", "mask-rcnn_sfp_digits.py"),
        ("mmdetection", "mask-rcnn_fpn_digits.py"),
        ("mmsegmentation", "upernet_digits.py"),
        ("poa_bench", "linear-seg_digits.py"),
    ],
)
def test_mim_trains_a_size_by_two_options(package, config, checkpoint, tmp_path):
    families = "model.backbone.families.vit"
    options = [
        "model.backbone.spec=vit-w16-d3",
        f"model.backbone.init_cfg.checkpoint={checkpoint}",
        f"{families}.patch_size=8",
        f"{families}.init_values=0.5",
        *(f"{key}={value}" for key, value in SHORT.items() if key != "log_level"),
        "train_cfg.val_interval=4",
    ]
    command = [
        "mim",
        "train",
        package,
        str(find_config(config)),
        "--work-dir",
        str(tmp_path),
        "--cfg-options",
        *options,
    ]
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    said = done.stdout + done.stderr
    assert done.returncode == 0, said[-4000:]
    total = len(tiny_supernet("vit").extract(tiny_supernet("vit").space.smallest).state_dict())
    assert f"loaded {total}/{total} tensors (100 %) of vit-w16-d3" in said
    assert "mAP" in said or "mIoU" in said
