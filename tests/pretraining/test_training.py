"""Whole runs: resuming, several processes, stopping, and what is left on the disk."""

import subprocess
import sys
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


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    """Ten iterations without interruption."""
    work_dir = tmp_path_factory.mktemp("straight")
    train_here(work_dir)
    return work_dir


def test_killed_and_resumed_run_equals_the_straight_one(straight, tmp_path):
    kill_after(command(tmp_path), tmp_path / "iter_5.pth")
    assert not (tmp_path / "iter_10.pth").exists()
    done = run(command(tmp_path, extra=("--resume",)))
    assert done.returncode == 0, done.stderr
    assert "resumed epoch: 0, iter: 5" in done.stdout + done.stderr
    assert logged(tmp_path, *TERMS) == logged(straight, *TERMS)
    ours, theirs = weights(tmp_path / "iter_10.pth"), weights(straight / "iter_10.pth")
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_checkpoint_can_be_cut_without_its_config(straight):
    net = load_supernet(straight / "iter_10.pth")
    assert net.space.widths == (32, 48)
    assert weights(straight / "iter_10.pth").keys() >= {"student.head.last_layer0.weight_g", "teacher.head.mlp1.0.bias"}
    assert not list(straight.glob(".*.tmp"))


def test_log_has_every_term(straight):
    last = logged(straight, "intact/patch", "elastic/patch", "elastic/same_global", "koleo", "images_per_second")
    assert None not in last[10]


def test_two_processes_equal_one_with_the_whole_batch(tmp_path):
    """All but KoLeo, which looks for neighbours on its own process; Sinkhorn-Knopp runs over all of them."""
    options = ("model.loss_weights.koleo=0", "train_cfg.max_iters=3", "model.backbone.drop_path_rate=0")
    train_here(tmp_path / "one", *options)
    launch = ("-m", "torch.distributed.run", "--nproc_per_node=2", "--master_port=29611")
    halves = (*options, "train_dataloader.batch_size=4")
    done = run(command(tmp_path / "two", *halves, extra=("--launcher", "pytorch"), launch=launch))
    assert done.returncode == 0, done.stderr
    one, two = (weights(tmp_path / name / "iter_3.pth") for name in ("one", "two"))
    for name in one:
        torch.testing.assert_close(two[name], one[name], rtol=1e-5, atol=1e-5, msg=name)


class Poison(Hook):
    """Puts a NaN into the weights before one iteration."""

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if runner.iter == 7:
            with torch.no_grad():
                training_model(runner).student.head.mlp0[0].weight[0, 0] = torch.nan


def test_a_nan_is_explained_and_stops_the_run(tmp_path):
    with pytest.raises(NonFiniteError) as error:
        train_here(tmp_path, "default_hooks.checkpoint.interval=1", hooks=[Poison()])
    message = str(error.value)
    assert "intact/global" in message and "iteration 7" in message and "digits/train/" in message
    assert str(tmp_path / "iter_7.pth") in message
    assert (tmp_path / "last_checkpoint").read_text() == str(tmp_path / "iter_7.pth")
    assert all(tensor.isfinite().all() for tensor in weights(tmp_path / "iter_7.pth").values())
    assert not (tmp_path / "iter_8.pth").exists()
    assert len(list(tmp_path.glob("iter_*.pth"))) == 2  # max_keep_ckpts
    assert (tmp_path / "not_finite_rank0_iter7.json").is_file()


def test_file_that_is_being_written_is_never_seen_under_its_name(tmp_path):
    class Broken(bytes):
        """Fails in the middle of the write."""

    file = tmp_path / "iter_1.pth"
    AtomicBackend().put(b"old", file)
    with pytest.raises(TypeError):
        AtomicBackend().put("no bytes", file)
    assert file.read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["iter_1.pth"]


def test_mim_trains_by_config_name(tmp_path):
    options = ["train_cfg.max_iters=3"]
    mim = str(Path(sys.executable).with_name("mim"))
    line = [mim, "train", "poa_bench", "poa_vit-digits.py", "--work-dir", str(tmp_path)]
    done = run([*line, "--cfg-options", *TINY, *options])
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "iter_3.pth").is_file()


def test_help_answers_without_torch():
    code = "import runpy, sys; sys.argv = ['train.py', '-h']\n"
    code += "try: runpy.run_path('tools/train.py', run_name='__main__')\nfinally: assert 'torch' not in sys.modules"
    done = run([sys.executable, "-c", code])
    assert done.returncode == 0, done.stderr
    assert "--local-rank" in done.stdout and "--resume" in done.stdout


def test_unknown_config_is_one_sentence():
    done = subprocess.run(
        [sys.executable, "tools/train.py", "poa_vit-digit"], env=environment(), cwd=REPOSITORY, capture_output=True
    )
    assert done.returncode == 2
    assert b"did you mean poa_vit-digits.py" in done.stderr and b"Traceback" not in done.stderr
