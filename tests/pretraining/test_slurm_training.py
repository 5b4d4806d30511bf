"""Training in two tasks of a real SLURM of one node, started as the documentation says.

The cluster is that of `tests/start_slurm.sh`; `pytest -m slow tests/pretraining/test_slurm_training.py`.
"""

import pytest

from tests.pretraining.runs import MIM, TINY, command, run
from tests.pretraining.steps import assert_same_steps, share

pytestmark = pytest.mark.slow


def test_srun_starts_a_process_for_each_task(cluster, single, tmp_path):
    launch = ["srun", "--partition=test", "--ntasks=2", "--kill-on-bad-exit=1"]
    done = run([*launch, *command(tmp_path, *share(2), extra=("--launcher", "slurm"))])
    assert done.returncode == 0, done.stdout + done.stderr
    assert_same_steps(tmp_path, single)


def test_mim_asks_slurm_for_two_processes(cluster, single, tmp_path):
    """With the README's options; the cluster's two GPUs stand for no device."""
    slurm = "--launcher slurm --gpus 2 --gpus-per-node 2 --cpus-per-task 1 --partition test --srun-args --time=7-0"
    line = [MIM, "train", "poa_bench", "poa_vit-digits.py", *slurm.split()]
    done = run([*line, "--work-dir", str(tmp_path), "--cfg-options", *TINY, *share(2)])
    assert done.returncode == 0, done.stdout + done.stderr
    assert_same_steps(tmp_path, single)


def test_a_task_that_fails_ends_the_other(cluster, tmp_path):
    """A loss that is not finite: both tasks end, with the reason, and nothing is saved."""
    launch = ["srun", "--partition=test", "--ntasks=2", "--kill-on-bad-exit=1"]
    options = (*share(2), "optim_wrapper.optimizer.lr=1e30", "default_hooks.checkpoint.interval=3")
    done = run([*launch, *command(tmp_path, *options, extra=("--launcher", "slurm"))], timeout=300)
    assert done.returncode != 0 and "not finite at iteration" in done.stdout + done.stderr
    assert not list(tmp_path.glob("iter_*.pth"))
