"""Sweeps through a real SLURM of one node, whose jobs are killed, preempted and run out of time.

The cluster is started by `start_slurm.sh`; where SLURM cannot be had the tests are skipped and say why. They take a few
minutes: `pytest -m slow tests/sweep/test_slurm.py`.
"""

import json
import re
import subprocess
from pathlib import Path

import pytest

from poa_bench.runs.results import load_results
from poa_bench.sweep import run_folder
from poa_bench.sweep.plan import Sweep, expand, make_sweep
from poa_bench.sweep.scheduler import Scheduler
from poa_bench.sweep.slurm import SlurmExecutor
from poa_bench.sweep.worker import Chunk

pytestmark = pytest.mark.slow
KNN = {"task": "knn", "protocols": ["knn-k1-T0.07/1", "knn-k5-T0.07/1"]}
# preemption takes up to a cycle of the scheduler (7 s): a quick machine must not have ended its training by then
DENSE = {
    "train_cfg.max_iters": 2500,
    "train_dataloader.batch_size": 2,
    "train_dataloader.dataset.indices": 8,
    "val_dataloader.dataset.indices": 4,
    "default_hooks.checkpoint.interval": 50,
}


def sweep_of(checkpoint, folder, task, **slurm) -> Sweep:
    slurm = {"partition": "test", "cpus": 1, "gpus": 0, "time": 10, **slurm}
    values = {"name": "slurm-test", "checkpoints": [checkpoint], "results": str(folder), "tasks": [task]}
    return make_sweep({**values, "slurm": slurm})


def command(*words) -> str:
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout


def restarts(job) -> int:
    return int(re.search(r"Restarts=(\d+)", command("scontrol", "show", "job", job))[1])


def log_of(folder, job) -> str:
    return (folder / "slurm" / f"{job}_0_log.err").read_text()


class Disturbance:
    """Does something to the first job whose work is under way; shortens the two minutes' rest that SLURM gives after.

    Args:
        folder: the results.
        act: gets the job's id.
        ready: whether it is time, once a run of the job is being worked on; gets the job's runs.
    """

    def __init__(self, folder, act, ready=lambda runs: True):
        self.folder, self.act, self.ready = folder, act, ready
        self.job = None

    def __call__(self):
        if self.job is None:
            for job, name in json.loads((self.folder / "slurm-jobs.json").read_text()).items():
                runs = Chunk.model_validate_json((self.folder / "chunks" / f"{name}.json").read_bytes()).runs
                if any(run_folder.owner(self.folder, run.id) for run in runs) and self.ready(runs):
                    self.act(job)
                    self.job = job
                    return
        else:
            waiting = command("squeue", "--noheader", "--array", "--states", "PENDING", "--format", "%i %r")
            for job in (line.split()[0] for line in waiting.splitlines() if "BeginTime" in line):
                subprocess.run(["scontrol", "update", f"JobId={job}", "StartTime=now"], check=True)


def carry_through(sweep, executor, disturbance):
    summary = Scheduler(expand(sweep), Path(sweep.results), executor, retries=1).carry_through(disturbance)
    assert disturbance.job is not None, "every job had ended before it could be disturbed"
    return summary


def test_12_runs_with_one_job_killed_and_requeued(cluster, checkpoint, few_images, tmp_path):
    sweep = sweep_of(checkpoint, tmp_path, {**KNN, "settings": {"config": few_images}}, runs_per_job=4)
    runs = expand(sweep)
    assert len(runs) == 12
    executor = SlurmExecutor(tmp_path, sweep.name, sweep.slurm, queue_seconds=1)
    executor.submit(Scheduler(runs, tmp_path, executor, retries=1).chunks(runs))
    assert len(executor.in_flight) == 3

    # the process that submitted is gone; another one finds its jobs and submits none again
    heir = SlurmExecutor(tmp_path, sweep.name, sweep.slurm, queue_seconds=1)
    assert {chunk.name for chunk in heir.in_flight} == {chunk.name for chunk in executor.in_flight}
    requeue = Disturbance(tmp_path, lambda job: command("scontrol", "requeue", job))
    summary = carry_through(sweep, heir, requeue)
    assert (summary.done, summary.exit_code) == (12, 0), str(summary)
    assert len(list((tmp_path / "chunks").glob("*.json"))) == 3, "nothing was submitted again"
    assert restarts(requeue.job) == 1
    assert "DUE TO JOB REQUEUE" in log_of(tmp_path, requeue.job)
    results, _ = load_results(tmp_path)
    assert sorted(result.run_id for result in results) == sorted(run.id for run in runs)
    assert not list(tmp_path.rglob("failure-*.json"))


def test_a_killed_job_is_submitted_again(cluster, checkpoint, tmp_path):
    # longer than the four seconds that SLURM gives a killed job
    protocols = ["linear-sgd-i400-b64-testsplit/1"]
    task = {"task": "linear", "dataset": "digits", "specs": ["smallest"], "protocols": protocols}
    sweep = sweep_of(checkpoint, tmp_path, task)
    kill = Disturbance(tmp_path, lambda job: command("scancel", "--signal=KILL", "--full", job))
    summary = carry_through(sweep, SlurmExecutor(tmp_path, sweep.name, sweep.slurm, queue_seconds=1), kill)
    assert summary.done == 1
    (failure,) = tmp_path.rglob("failure-1.json")
    assert "SLURM job ended before its work" in failure.read_text()
    assert len(list((tmp_path / "chunks").glob("*.json"))) == 2


def out_of_time(job):
    """The signal that SLURM sends some time before it ends a job (its time limits are whole minutes)."""
    command("scancel", "--signal=USR2", job)


def preempt(job):
    """A job of a partition that goes first wants the whole node."""
    command("sbatch", "--partition=urgent", "--exclusive", "--output=/dev/null", "--wrap=sleep 1")


@pytest.mark.parametrize("act, said", [(out_of_time, "this job is timed-out"), (preempt, "DUE TO PREEMPTION")])
def test_a_run_goes_on_from_its_own_checkpoint(cluster, checkpoint, tmp_path, act, said):
    pytest.importorskip("mmseg")
    settings = {"config": "linear-seg_digits.py", "cfg_options": DENSE}
    sweep = sweep_of(checkpoint, tmp_path, {"task": "segmentation", "specs": ["smallest"], "settings": settings})
    disturbance = Disturbance(
        tmp_path, act, ready=lambda runs: (tmp_path / runs[0].id / "work" / "last_checkpoint").exists()
    )
    summary = carry_through(sweep, SlurmExecutor(tmp_path, sweep.name, sweep.slurm, queue_seconds=1), disturbance)
    assert summary.done == 1, str(summary)
    assert restarts(disturbance.job) == 1 and said in log_of(tmp_path, disturbance.job)
    logs = "".join(path.read_text() for path in tmp_path.rglob("work/*/*.log"))
    resumed = [int(number) for number in re.findall(r"resumed .*iter: (\d+)", logs)]
    assert len(resumed) == 1 and 50 <= resumed[0] < 2500
    assert not list(tmp_path.rglob("failure-*.json"))
