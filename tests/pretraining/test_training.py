"""Whole runs: resuming, several processes, stopping, and what is left on the disk.

A new process costs seconds of imports, so one real process often proves several things.
"""

import itertools
import random
import runpy
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from mmengine.hooks import Hook

from poa_bench.elastic import load_supernet
from poa_bench.pretraining.safety import AtomicBackend, NonFiniteError
from poa_bench.pretraining.schedules import training_model
from tests.conftest import REPOSITORY
from tests.pretraining.runs import TINY, command, environment, kill_after, logged, run, train_here, weights

TERMS = ("loss", "intact/global", "elastic/local", "grad_norm", "lr", "weight_decay", "elastic_width")
MIM = str(Path(sys.executable).with_name("mim"))
# what must not differ between one process and several: KoLeo looks for neighbours on its own process only, drop path
# draws its random numbers there
COMPARABLE = ("model.loss_weights.koleo=0", "train_cfg.max_iters=3", "model.backbone.drop_path_rate=0")


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    """Ten iterations without interruption."""
    work_dir = tmp_path_factory.mktemp("straight")
    train_here(work_dir)
    return work_dir


def assert_same_weights(one: Path, other: Path) -> None:
    ours, theirs = weights(one), weights(other)
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_killed_run_resumed_by_mim_equals_the_straight_one(straight, tmp_path):
    kill_after(command(tmp_path), tmp_path / "iter_5.pth")
    assert not (tmp_path / "iter_10.pth").exists()
    line = [MIM, "train", "poa_bench", "poa_vit-digits.py", "--work-dir", str(tmp_path), "--resume", "auto"]
    done = run([*line, "--cfg-options", *TINY])
    assert done.returncode == 0, done.stdout + done.stderr
    assert "resumed epoch: 0, iter: 5" in done.stdout + done.stderr
    assert logged(tmp_path, *TERMS) == logged(straight, *TERMS)
    assert_same_weights(tmp_path / "iter_10.pth", straight / "iter_10.pth")


def test_checkpoint_can_be_cut_without_its_config(straight):
    net = load_supernet(straight / "iter_10.pth")
    assert net.space.widths == (32, 48)
    assert weights(straight / "iter_10.pth").keys() >= {"student.head.last_layer0.weight_g", "teacher.head.mlp1.0.bias"}
    assert not list(straight.glob(".*.tmp"))


def test_log_has_every_term_and_the_checks(straight):
    names = ("intact/patch", "elastic/patch", "elastic/same_global", "koleo", "images_per_second", "teacher_momentum")
    assert None not in logged(straight, *names)[10]


def compare_with_one_process(tmp_path: Path, processes: int, *options: str) -> None:
    """Three steps by several processes with a share of the batch each, against one with the whole batch."""
    train_here(tmp_path / "one", *COMPARABLE)
    launch = ("-m", "torch.distributed.run", f"--nproc_per_node={processes}", f"--master_port={29600 + processes}")
    share = (*COMPARABLE, f"train_dataloader.batch_size={8 // processes}", *options)
    done = run(command(tmp_path / "many", *share, extra=("--launcher", "pytorch"), launch=launch))
    assert done.returncode == 0, done.stderr
    one, many = (weights(tmp_path / name / "iter_3.pth") for name in ("one", "many"))
    for name in one:
        torch.testing.assert_close(many[name], one[name], rtol=1e-5, atol=1e-5, msg=name)
    names = ("loss", "intact/local", "elastic/same_global")
    single, several = (logged(tmp_path / name, *names) for name in ("one", "many"))
    assert len(single) == 3
    for step, values in single.items():
        assert several[step] == pytest.approx(values, rel=1e-5)


def test_two_processes_with_sharded_moments_equal_one(tmp_path):
    compare_with_one_process(tmp_path, 2, "optim_wrapper.optimizer.type=poa_bench.ShardedAdamW")


@pytest.mark.slow
def test_four_processes_equal_one(tmp_path):
    compare_with_one_process(tmp_path, 4)


@pytest.mark.slow
def test_twenty_kills_change_nothing(straight, tmp_path):
    """At random moments; there is always a whole checkpoint, and the last weights are those of the straight run."""
    generator = random.Random(0)
    line = command(tmp_path, "default_hooks.checkpoint.interval=1", extra=("--resume",))
    kills = 0
    while kills < 20:
        with subprocess.Popen(line, env=environment(), cwd=REPOSITORY, stderr=subprocess.DEVNULL) as process:
            time.sleep(generator.uniform(5, 30))
            if process.poll() is not None:
                break
            process.send_signal(signal.SIGKILL)
        kills += 1
        last = tmp_path / "last_checkpoint"
        if last.exists():
            assert weights(Path(last.read_text()))
    assert run(line).returncode == 0
    assert_same_weights(tmp_path / "iter_10.pth", straight / "iter_10.pth")


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
    assert "intact/global" in message and "iteration 7" in message and "digits/train/" in message
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
    assert 0 < scalars["train/knn/vit-w32-d2"].current() <= 100
    assert 0 < scalars["train/feature_rank"].current() <= 48
    log = next(tmp_path.glob("*/*.log")).read_text()
    assert "batch 16 = 8 images x 1 processes x 2 accumulated steps" in log
    assert "collapse? the features of different images are almost equal" in log


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
    ],
)
def test_bad_arguments_are_one_sentence(arguments, message, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["train.py", *arguments])
    with pytest.raises(SystemExit) as status:
        runpy.run_path(str(REPOSITORY / "tools" / "train.py"), run_name="__main__")
    assert status.value.code == 2
    assert message in capsys.readouterr().err
