"""How the local executor packs runs on GPUs, with GPUs that only torch's count claims to exist."""

import os
import time
from pathlib import Path

import pytest
import torch

from poa_bench.cli import main
from poa_bench.errors import InputError
from poa_bench.runs.results import load_results
from poa_bench.sweep import worker
from poa_bench.sweep.local import LocalExecutor, visible_gpus
from poa_bench.sweep.plan import expand, make_sweep
from poa_bench.sweep.scheduler import Scheduler

TASKS = [  # the dear ones first
    {"task": "detection", "seeds": [0, 1, 2]},
    {"task": "segmentation", "seeds": [0, 1], "gpus": 2},
    {"task": "profile", "dataset": "digits"},
    {"task": "knn", "dataset": "digits", "protocols": ["knn-k5-T0.07/1"]},
]


@pytest.fixture
def four_gpus(monkeypatch):
    """Four GPUs, of a machine with more, that are ours."""
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,3,6,7")


@pytest.fixture
def sweep(checkpoint, tmp_path):
    """6 k-NN runs, 6 profiles that must be alone, 3 runs on one GPU each and 2 on two."""

    def dense(task):
        config = tmp_path / f"{task['task']}.py"
        said = {"task": task["task"], "dataset": "scenes", "protocol": "p/1", "split": "val", "metrics": {"AP": "AP"}}
        config.write_text(f"measurement = {said}")
        return {**task, "specs": ["smallest"], "settings": {"config": str(config)}}

    tasks = [task if "dataset" in task else dense(task) for task in TASKS]
    return make_sweep(
        {"name": "test", "checkpoints": [checkpoint], "results": str(tmp_path / "results"), "tasks": tasks}
    )


def note_gpus(runs, directory, device):
    """In place of measuring: which GPUs the process was given, and when."""
    for run in runs:
        began = time.time()
        time.sleep(0.15)
        facts = {"gpus": os.environ["CUDA_VISIBLE_DEVICES"], "on": device, "began": began, "ended": time.time()}
        measured = {"metrics": {"top1": 0.0}, "split": "test", "seconds": 0.15, "facts": facts}
        yield run, run.result(**measured, tensors_loaded=1, tensors_total=1)


def test_runs_share_the_gpus_and_none_is_used_twice_at_a_time(four_gpus, sweep, monkeypatch):
    monkeypatch.setattr(worker, "execute", note_gpus)
    monkeypatch.setattr("poa_bench.sweep.scheduler.POLL_SECONDS", 0.02)
    scheduler = Scheduler(expand(sweep), Path(sweep.results), LocalExecutor(gpus=4, start="fork"), retries=0)
    assert scheduler.carry_through(lambda: None).done == 6 + 6 + 3 + 2
    results, _ = load_results(sweep.results)
    assert {result.facts["on"] for result in results} == {"cuda"}
    gpus = {result.run_id: set(result.facts["gpus"].split(",")) for result in results}
    assert set().union(*gpus.values()) == {"2", "3", "6", "7"}, "all of ours, none of others'"
    assert {task: {len(gpus[r.run_id]) for r in results if r.task == task} for task in ("knn", "segmentation")} == {
        "knn": {1},
        "segmentation": {2},
    }
    beside = [
        (one, other)
        for one in results
        for other in results
        if one.run_id < other.run_id
        and one.facts["began"] < other.facts["ended"]
        and other.facts["began"] < one.facts["ended"]
    ]
    assert beside, "runs of different GPUs go at the same time"
    assert not any(gpus[one.run_id] & gpus[other.run_id] for one, other in beside)
    assert not any("profile" in (one.task, other.task) for one, other in beside), "a latency is measured alone"
    times = {
        light: [result.facts for result in results if (result.task in ("knn", "profile")) == light]
        for light in (True, False)
    }
    assert max(facts["ended"] for facts in times[True]) <= min(facts["began"] for facts in times[False])


def test_a_run_that_needs_more_gpus_than_there_are(four_gpus, sweep):
    scheduler = Scheduler(expand(sweep), Path(sweep.results), LocalExecutor(gpus=1, start="fork"), retries=0)
    with pytest.raises(InputError, match="segmentation wants 2 GPUs for each run and there are 1: give --gpus"):
        scheduler.carry_through(lambda: None)
    assert not list(Path(sweep.results).rglob("result.json"))


@pytest.mark.parametrize("visible, expected", [(None, ["0", "1"]), ("5, GPU-1f", ["5", "GPU-1f"])])
def test_gpus_are_named_as_the_user_restricted_them(monkeypatch, visible, expected):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert visible_gpus() == expected


def test_gpus_that_are_not_there(monkeypatch, checkpoint, tmp_path, capsys):
    command = ["run", "sweep_digits", "--checkpoint", checkpoint, "--results", str(tmp_path / "r")]
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    for count, advice in ((0, "--jobs N"), (1, "--gpus 1")):
        monkeypatch.setattr(torch.cuda, "device_count", lambda count=count: count)
        assert main([*command, "--gpus", "2"]) == 2
        assert f"--gpus 2, but torch finds {count} usable GPUs here: give {advice}" in capsys.readouterr().err
    assert main([*command, "--executor", "slurm", "--gpus", "2"]) == 2
    assert "slurm.max_jobs=N" in capsys.readouterr().err
    assert not (tmp_path / "r").exists(), "nothing is begun"
