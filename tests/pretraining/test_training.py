"""Whole runs in this process: what they log, why they stop, and what is left on the disk."""

import itertools
import json
import operator
import re
import runpy
import shutil
import sys
from argparse import Namespace
from unittest.mock import Mock

import pytest
import torch
from mmengine.hooks import Hook
from tensorboard.backend.event_processing import event_accumulator

from poa_bench import launch
from poa_bench.downstream.architecture import read_architecture
from poa_bench.elastic import load_supernet
from poa_bench.elastic.checkpoint import read_preprocessing
from poa_bench.elastic.preprocessing import Preprocessing
from poa_bench.errors import InputError
from poa_bench.pretraining.objectives.poa import loss_table
from poa_bench.pretraining.safety import AtomicBackend, NonFiniteError
from poa_bench.pretraining.schedules import training_model
from tests.conftest import REPOSITORY
from tests.pretraining.runs import arguments, logged, run, train_here, weights
from tests.warned import warnings_in


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    """Ten iterations without interruption."""
    work_dir = tmp_path_factory.mktemp("straight")
    train_here(work_dir, "visualizer.vis_backends.1.type=TensorboardVisBackend")
    return work_dir


def test_checkpoint_can_be_cut_without_its_config(straight):
    net = load_supernet(straight / "iter_10.pth")
    assert net.space.widths == (32, 48)
    assert weights(straight / "iter_10.pth").keys() >= {"student.head.last_layer0.weight_g", "teacher.head.mlp1.0.bias"}
    assert not list(straight.glob(".*.tmp"))


def test_checkpoint_says_what_was_done_with_pictures(straight):
    """It is what the model was fed with, and what a control of the same config takes."""
    found = read_preprocessing(straight / "iter_5.pth")
    assert found == load_supernet(straight / "iter_10.pth", "student").preprocessing
    assert found == Preprocessing((127.5,) * 3, (63.75,) * 3, 32, "bicubic", crop_share=1.0)
    assert read_architecture("poa_vit-digits.py")["preprocessing"] == found.to_dict()


def test_run_with_other_inputs_is_not_resumed(straight, tmp_path):
    with pytest.raises(InputError, match=r"now mean \[0.5, 0.5, 0.5\] instead of \[127.5, 127.5, 127.5\]"):
        train_here(tmp_path, *resuming(straight / "iter_5.pth"), "model.data_preprocessor.mean=[0.5,0.5,0.5]")


WATCHED = (
    *("loss", "koleo", "intact_global", "intact_local", "intact_patch", "elastic_global", "elastic_local"),
    *("elastic_patch", "elastic_same_global", "elastic_same_local", "grad_norm"),
    *("lr", "weight_decay", "teacher_momentum", "teacher_temperature", "patch_weight"),
    *("elastic_width", "elastic_depth", "images_per_second", "time", "data_time", "memory", "hours_left"),
)


def test_text_json_and_tensorboard_show_the_same(straight):
    values = logged(straight, *WATCHED)[10]
    assert None not in values
    shown = event_accumulator.EventAccumulator(str(next(straight.glob("*/vis_data")))).Reload()
    for name, value in zip(WATCHED, values, strict=True):
        assert shown.Scalars(name)[-1].step == 10
        assert shown.Scalars(name)[-1].value == pytest.approx(value, rel=1e-4, abs=1e-6)
    *_, last = (line for line in next(straight.glob("*/*.log")).read_text().splitlines() if "Iter(train)" in line)
    for name in ("eta", *WATCHED):
        assert f" {name}: " in last, name


def test_logged_terms_make_up_the_logged_loss(tmp_path):
    """Both are means over the same iterations."""
    model = training_model(train_here(tmp_path, "train_cfg.max_iters=4", "default_hooks.patch_weight.begin=0"))
    weights = {term.name: term.weight for term in loss_table(model.loss_weights, local_views=2)}
    weights["koleo"] = model.loss_weights.koleo
    loss, *terms = logged(tmp_path, "loss", *weights)[4]
    assert sum(map(operator.mul, terms, weights.values())) == pytest.approx(loss, rel=1e-5)


class PoisonedWeights(Hook):
    """Puts a NaN into the weights before one iteration."""

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if runner.iter == 7:
            with torch.no_grad():
                training_model(runner).student.head.mlp0[0].weight[0, 0] = torch.nan


def test_a_nan_is_explained_and_stops_the_run(tmp_path):
    with pytest.raises(NonFiniteError) as error:
        train_here(tmp_path, "default_hooks.checkpoint.interval=1", hooks=[(PoisonedWeights(), "VERY_HIGH")])
    message = str(error.value)
    assert "intact_global" in message and "iteration 7" in message and "digits/train/" in message
    assert str(tmp_path / "iter_7.pth") in message
    assert (tmp_path / "last_checkpoint").read_text() == str(tmp_path / "iter_7.pth")
    assert all(tensor.isfinite().all() for tensor in weights(tmp_path / "iter_7.pth").values())
    assert not (tmp_path / "iter_8.pth").exists()
    assert len(list(tmp_path.glob("iter_*.pth"))) == 2  # max_keep_ckpts
    assert (tmp_path / "not_finite_rank0_iter7.json").is_file()


def test_accumulated_steps_move_the_teacher_once_and_knn_and_collapse_are_logged(tmp_path):
    teacher = []

    class Watch(Hook):
        """Notes a number of the teacher after every iteration."""

        def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
            teacher.append(training_model(runner).teacher.head.mlp0[0].weight.sum().item())

    runner = train_here(
        tmp_path,
        "train_cfg.max_iters=4",
        "optim_wrapper.accumulative_counts=2",
        "default_hooks.knn.type=poa_bench.KnnHook",
        "default_hooks.knn.data=digits",
        "default_hooks.collapse.type=poa_bench.CollapseHook",
        "default_hooks.collapse.interval=2",
        "default_hooks.collapse.begin=0",
        "default_hooks.collapse.least_spread=2",
        hooks=[(Watch(), "LOWEST")],
    )
    assert [one != other for one, other in itertools.pairwise(teacher)] == [True, False, True]
    scalars = runner.message_hub.log_scalars
    ((iteration, (accuracy,)),) = logged(tmp_path, "knn/vit-w32-d2").items()
    assert iteration == 4 and 0 < accuracy <= 100
    assert 0 < scalars["train/feature_rank"].current() <= 48
    log = next(tmp_path.glob("*/*.log")).read_text()
    assert "batch 16 = 8 images x 1 processes x 2 accumulated steps" in log
    assert "collapse? the features of different images are almost equal" in log


def resuming(checkpoint) -> tuple[str, ...]:
    return ("resume=True", f"load_from={checkpoint}")


def test_resumed_run_takes_the_learning_rate_of_its_config(straight, tmp_path):
    train_here(tmp_path, *resuming(straight / "iter_5.pth"), "optim_wrapper.optimizer.lr=2e-3")
    before, after = logged(straight, "lr", "base_lr", "weight_decay"), logged(tmp_path, "lr", "base_lr", "weight_decay")
    assert sorted(after) == [6, 7, 8, 9, 10]
    for step, (rate, first, decay) in after.items():  # the config's own is 4e-3
        assert (rate, first, decay) == pytest.approx((before[step][0] / 2, before[step][1] / 2, before[step][2]))
    assert "is replaced by" in next(tmp_path.glob("*/*.log")).read_text()


def test_a_run_from_before_goes_on_under_the_names_of_today(straight, tmp_path):
    """As if it had never been interrupted: means over the iterations before included."""
    older = torch.load(straight / "iter_5.pth", weights_only=False)
    scalars = older["message_hub"]["log_scalars"]
    for name in [name for name in scalars if re.match("train/(intact|elastic)_(global|local|same|patch)", name)]:
        scalars[name.replace("intact_", "intact/").replace("elastic_", "elastic/")] = scalars.pop(name)
    torch.save(older, tmp_path / "older.pth")
    train_here(tmp_path / "run", *resuming(tmp_path / "older.pth"))
    terms = ("loss", "intact_global", "elastic_same_local", "intact_patch")
    before, after = logged(straight, *terms), logged(tmp_path / "run", *terms)
    assert after == {step: before[step] for step in (6, 7, 8, 9, 10)}
    assert "/" not in "".join(json.loads(next((tmp_path / "run").rglob("scalars.json")).open().readline()))


def test_the_log_warns_of_nothing(straight):
    assert warnings_in(straight) == []


def test_run_with_another_batch_is_not_resumed(straight, tmp_path):
    with pytest.raises(InputError, match=r"had 8 images in each iteration, this one has 4 = 4 x 1 processes"):
        train_here(tmp_path, *resuming(straight / "iter_5.pth"), "train_dataloader.batch_size=4")
    runner = train_here(tmp_path, f"load_from={straight / 'iter_5.pth'}", "train_dataloader.batch_size=4")
    assert runner.iter == 10  # from its weights


@pytest.mark.parametrize("named", [True, False])
def test_used_work_directory_is_refused_unless_resumed(straight, tmp_path, named):
    shutil.copy(straight / "iter_10.pth", tmp_path)
    if named:
        shutil.copy(straight / "last_checkpoint", tmp_path)
    with pytest.raises(InputError, match=r"holds a run \(iter_10.pth\): add --resume"):
        launch.train(Namespace(**vars(arguments(tmp_path)), amp=None, auto_scale_lr=False, resume=None))


@pytest.mark.parametrize("option, resumed", [((), False), (("resume=True",), True)])
def test_resuming_may_be_written_in_the_config(option, resumed, monkeypatch, tmp_path):
    seen = []
    monkeypatch.setattr(launch, "build_runner", lambda config, given: seen.append(config) or Mock())
    launch.train(Namespace(**vars(arguments(tmp_path, *option)), amp=None, auto_scale_lr=False, resume=None))
    assert seen[0].resume is resumed


def test_file_that_is_being_written_is_never_seen_under_its_name(tmp_path):
    file = tmp_path / "iter_1.pth"
    AtomicBackend().put(b"old", file)
    with pytest.raises(TypeError):
        AtomicBackend().put("no bytes", file)
    assert file.read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["iter_1.pth"]


def test_help_answers_without_torch():
    code = "import runpy, sys; sys.argv = ['train.py', '-h']\n"
    code += "try: runpy.run_path('tools/train.py', run_name='__main__')\nfinally: assert 'torch' not in sys.modules"
    done = run([sys.executable, "-c", code])
    assert done.returncode == 0, done.stderr
    assert "--local-rank" in done.stdout and "--resume" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["poa_vit-digit"], "did you mean poa_vit-digits.py"),
        (["poa_vit-digits.py", "--resume", "nowhere.pth"], "there is no checkpoint nowhere.pth"),
        (["poa_vit-digits.py", "--auto-scale-lr"], "poa_bench.LearningRateScaleHook"),
        (
            ["poa_vit-digits.py", "--work-dir", "{}", "--cfg-options", "train_cfg.max_iters=100"],
            "param_scheduler.1 (CosineAnnealingLR) begins at iteration 134, but the run has 100",
        ),
        (
            ["poa_vit-digits.py", "--work-dir", "{}", "--cfg-options", "param_scheduler.0.end=0.01"],
            "param_scheduler.0 (LinearLR) lasts less than an iteration (0 to 0.67)",
        ),
        (["poa_vit-digits.py", "--cfg-options", "model.compile_blocks"], "model.compile_blocks: it is not KEY=VALUE"),
        (["poa_vit-digits.py", "--cfg-options", "train_dataloader.batch_size=-3"], "batch_size is -3: it must be"),
        (["sweep_coco.py"], "not a training config, as it has no model"),
        (["poa_vit-digits.py", "--work-dir", "{}", "--launcher", "pytorch"], "found no RANK: start the command with t"),
        (["poa_vit-digits.py", "--work-dir", "{}", "--launcher", "slurm"], "found no SLURM_PROCID: start the command"),
        (["poa_vit-digits.py", "--cfg-options", "train_cgf.max_epochs=1"], "did you mean train_cfg?"),
        (["poa_vit-digits.py", "--work-dir", "/proc/nowhere/x"], "/proc/nowhere"),
        (["poa_vit-digits.py", "--cfg-options", "param_scheduler.7.end=1"], "param_scheduler.7.end=1 does not fit"),
        (
            ["poa_vit-digits.py", "--work-dir", "{}", "--cfg-options", "default_hooks.subnet.mode=x"],
            "default_hooks.subnet.mode='x': SubnetHook takes Literal['step', 'rank'] there",
        ),
    ],
)
def test_bad_arguments_are_one_sentence(arguments, message, monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(sys, "argv", ["train.py", *(argument.format(tmp_path) for argument in arguments)])
    with pytest.raises(SystemExit) as status:
        runpy.run_path(str(REPOSITORY / "tools" / "train.py"), run_name="__main__")
    assert status.value.code == 2
    assert message in capsys.readouterr().err
