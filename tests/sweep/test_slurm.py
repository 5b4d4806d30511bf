"""A sweep of 12 runs through a real SLURM of one node, one job of it killed and requeued.

The cluster is started by `start_slurm.sh`; where SLURM cannot be had the test is skipped and says why. It takes minutes
(SLURM itself waits two before it starts a requeued job): `pytest -m slow tests/sweep/test_slurm.py`.
"""

import subprocess
import time
from pathlib import Path

import pytest

from poa_bench.sweep.plan import expand, make_sweep
from poa_bench.sweep.results import load_results
from poa_bench.sweep.runner import Runner
from poa_bench.sweep.slurm import SlurmExecutor

pytestmark = pytest.mark.slow
SCRIPT = Path(__file__).with_name("start_slurm.sh")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """Exports SLURM_CONF of a cluster that runs on this machine alone."""
    folder = tmp_path_factory.mktemp("slurm")
    started = subprocess.run([SCRIPT, "start", folder], capture_output=True, text=True)
    if started.returncode == 77:
        pytest.skip(f"no SLURM: {started.stderr.strip()}")
    assert started.returncode == 0, started.stderr
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLURM_CONF", started.stdout.strip())
        yield folder
        subprocess.run([SCRIPT, "stop", folder], check=True)


def running_jobs():
    command = ["squeue", "--noheader", "--array", "--states", "RUNNING", "--format", "%i"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()


class Requeue:
    """Kills and requeues the first job that runs."""

    def __init__(self):
        self.job = None

    def __call__(self):
        if self.job is None and (jobs := running_jobs()):
            subprocess.run(["scontrol", "requeue", jobs[0]], check=True)
            self.job = jobs[0]
            # SLURM holds a requeued job back for two minutes
            time.sleep(3)
            subprocess.run(["scontrol", "update", f"JobId={jobs[0]}", "StartTime=now"], check=False)


def test_12_runs_with_one_job_killed_and_requeued(cluster, checkpoint, few_images, tmp_path):
    protocols = ["knn-k1-T0.07/1", "knn-k5-T0.07/1"]
    task = {"task": "knn", "protocols": protocols, "settings": {"config": few_images}}
    slurm = {"cpus": 1, "gpus": 0, "time": 10, "runs_per_job": 4}
    sweep = make_sweep(
        {"name": "twelve", "checkpoints": [checkpoint], "results": str(tmp_path), "tasks": [task], "slurm": slurm}
    )
    runs = expand(sweep)
    assert len(runs) == 12
    executor = SlurmExecutor(tmp_path, sweep.name, sweep.slurm, queue_seconds=1)
    first = Runner(runs, tmp_path, executor, retries=1)
    executor.submit(first.chunks(runs))
    assert len(executor.in_flight) == 3

    # the process that submitted is gone; another one finds its jobs and submits none again
    heir = SlurmExecutor(tmp_path, sweep.name, sweep.slurm, queue_seconds=1)
    assert {chunk.name for chunk in heir.in_flight} == {chunk.name for chunk in executor.in_flight}
    requeue = Requeue()
    summary = Runner(runs, tmp_path, heir, retries=1).carry_through(requeue)
    assert requeue.job is not None
    assert (summary.done, summary.exit_code) == (12, 0), str(summary)
    assert len(list((tmp_path / "chunks").glob("*.json"))) == 3, (
        "the requeued job itself went on: nothing was submitted again"
    )
    results, _ = load_results(tmp_path)
    assert {result.run_id for result in results} == {run.id for run in runs}
    assert not list(tmp_path.rglob("failure-*.json"))
    log = (tmp_path / "slurm" / f"{requeue.job}_0_log.err").read_text()
    assert "REQUEUE" in log, log


def test_a_killed_job_is_submitted_again(cluster, checkpoint, few_images, tmp_path):
    task = {"task": "knn", "settings": {"config": few_images}, "specs": ["smallest"], "protocols": ["knn-k1-T0.07/1"]}
    slurm = {"cpus": 1, "gpus": 0, "time": 10}
    sweep = make_sweep(
        {"name": "one", "checkpoints": [checkpoint], "results": str(tmp_path), "tasks": [task], "slurm": slurm}
    )
    killed = []

    def kill_once():
        if not killed and (jobs := running_jobs()):
            subprocess.run(["scancel", "--signal=KILL", "--full", jobs[0]], check=True)
            killed.append(jobs[0])

    executor = SlurmExecutor(tmp_path, sweep.name, sweep.slurm, queue_seconds=1)
    summary = Runner(expand(sweep), tmp_path, executor, retries=1).carry_through(kill_once)
    assert killed and summary.done == 1
    (failure,) = tmp_path.rglob("failure-1.json")
    assert "SLURM job ended before its work" in failure.read_text()
