"""Nothing waits for ever: a process that is stopped, or reads no data, ends the run with a sentence that names it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from mmengine.config import Config
from torch.utils.data import DataLoader, Dataset

from poa_bench.doctor import examine_shared_memory
from poa_bench.patience import LOADER_SECONDS, PROCESS_SECONDS, LoaderAlarmHook, set_limits
from tests.conftest import REPOSITORY
from tests.pretraining.jobs import Job
from tests.pretraining.runs import command, environment, logged

LONG = ("train_cfg.max_iters=100000", "default_hooks.checkpoint.interval=100000", "default_hooks.logger.interval=1")


def test_limits_are_set_where_the_config_has_none():
    config = Config(
        dict(train_dataloader=dict(num_workers=2), val_dataloader=dict(num_workers=0), test_dataloader=None)
    )
    set_limits(config)
    assert config.train_dataloader.timeout == LOADER_SECONDS and "timeout" not in config.val_dataloader
    assert config.env_cfg.dist_cfg.timeout == PROCESS_SECONDS
    config.train_dataloader.timeout, config.env_cfg.dist_cfg.timeout = 5, 7
    set_limits(config)
    assert config.train_dataloader.timeout == 5 and config.env_cfg.dist_cfg.timeout == 7


class Ringing(Dataset):
    """The alarm rings while an item is read."""

    def __init__(self, hook: LoaderAlarmHook):
        self.hook = hook

    def __len__(self):
        return 1

    def __getitem__(self, index):
        self.hook._ring(signal.SIGALRM, sys._getframe())
        return index


def test_only_a_long_wait_for_the_trainings_own_batch_is_ended():
    hook = LoaderAlarmHook()
    own, evaluation = Ringing(hook), Ringing(hook)
    hook._seconds, hook._dataset = 1000, own
    try:
        for _ in range(5):
            list(DataLoader(evaluation))  # a validation of an hour, in which the alarm always finds a loader at work
        list(DataLoader(own))  # the first ring of a wait may come a moment after that validation
        hook.before_train_iter(None, 0)
        list(DataLoader(own))
        list(DataLoader(evaluation))
        list(DataLoader(own))
        with pytest.raises(RuntimeError, match="DataLoader timed out after 1000 seconds"):
            list(DataLoader(own))
    finally:
        signal.alarm(0)


@pytest.mark.soak
@pytest.mark.parametrize("silent", [0, 1])
def test_a_rank_that_is_stopped_is_named(silent, tmp_path):
    """SIGSTOP: it neither ends nor answers."""
    job = Job(tmp_path / "w", *LONG, "env_cfg.dist_cfg.timeout=20", ranks=2)
    job.wait_for(lambda: len(logged(tmp_path / "w", "loss")) > 2)
    victim, other = job.processes[silent], job.processes[1 - silent]
    os.kill(victim.pid, signal.SIGSTOP)
    try:
        other.join(90)
        said = job.output[1 - silent].read_text()
        assert other.exitcode == 2, said[-2000:]
        assert "did not answer" in said and f"rank {silent}" in said and "gives no sign" in said
    finally:
        for process in job.processes:
            process.kill()


def children_of(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.mark.soak
def test_a_process_that_reads_data_and_is_stopped_ends_the_run_with_a_sentence(tmp_path):
    options = ("train_dataloader.num_workers=1", "train_dataloader.timeout=10")
    options += ("train_dataloader.persistent_workers=True",)
    line = command(tmp_path / "w", *LONG, *options)
    with subprocess.Popen(line, env=environment(), cwd=REPOSITORY, stderr=subprocess.PIPE, text=True) as process:
        end = time.monotonic() + 200
        while not logged(tmp_path / "w", "loss"):
            assert process.poll() is None and time.monotonic() < end
            time.sleep(0.2)
        for child in children_of(process.pid):
            os.kill(child, signal.SIGSTOP)
        said = process.communicate(timeout=120)[1]
        assert process.returncode == 2 and "a process that reads data gave no batch" in said and "/dev/shm" in said


def test_the_doctor_looks_at_shared_memory(tmp_path, monkeypatch):
    assert examine_shared_memory(str(tmp_path / "none")).status == "ok"
    monkeypatch.setattr("poa_bench.doctor.SHARED_MEMORY", 0)
    assert examine_shared_memory(str(tmp_path)).status == "ok"
    monkeypatch.setattr("poa_bench.doctor.SHARED_MEMORY", 1 << 60)
    found = examine_shared_memory(str(tmp_path))
    assert found.status == "note" and "--shm-size" in found.repair


@pytest.mark.soak
def test_too_little_shared_memory_is_said(tmp_path):
    """As in a container that has 64 MB of it: here 1 MB, in a mount of the test's own."""
    private = ["unshare", "--mount", "sh", "-c", 'mount -t tmpfs -o size=1m tmpfs /dev/shm && exec "$@"', "sh"]
    if subprocess.run([*private, "true"], capture_output=True).returncode:
        pytest.skip("mounting needs root")
    options = (
        "train_dataloader.num_workers=1",
        "train_dataloader.timeout=20",
        "train_dataloader.batch_size=64",
        "train_dataloader.dataset.indices=640",
    )
    line = [*private, *command(tmp_path / "w", *LONG, *options)]
    done = subprocess.run(line, env=environment(), cwd=REPOSITORY, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2 and "a process that reads data gave no batch" in done.stderr, done.stderr[-2000:]
