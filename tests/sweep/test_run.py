"""Sweeps of real light runs: what ends, fails, dies or is killed, and what is on disk afterwards.

Processes are forked from this one, which has imported everything and computed nothing with several threads.
"""

import contextlib
import multiprocessing
import os
import random
import signal
import time
from pathlib import Path

import pytest
import torch

from poa_bench.downstream.evaluate import evaluate_light
from poa_bench.sweep import state, worker
from poa_bench.sweep.local import LocalExecutor
from poa_bench.sweep.plan import expand, make_sweep
from poa_bench.sweep.results import load_results, read_results
from poa_bench.sweep.runner import Runner

FORK = multiprocessing.get_context("fork")


@pytest.fixture(autouse=True)
def one_thread(monkeypatch):
    """A process that has used several threads cannot be forked safely."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    monkeypatch.setattr("poa_bench.sweep.runner.POLL_SECONDS", 0.05)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module", autouse=True)
def everything_imported(checkpoint, few_images):
    """What a run imports late, it imports here once."""
    task = {"task": "knn", "settings": {"config": few_images}, "specs": ["smallest"]}
    list(
        evaluate_light(expand(make_sweep({"name": "t", "checkpoints": [checkpoint], "results": "r", "tasks": [task]})))
    )


@pytest.fixture
def knn(few_images):
    def entry(*ks, **fields):
        protocols = [f"knn-k{k}-T0.07/1" for k in ks or (5,)]
        settings = {"config": few_images, **fields.pop("settings", {})}
        return {"task": "knn", "dataset": "few-digits", "protocols": protocols, "settings": settings, **fields}

    return entry


@pytest.fixture
def sweep(checkpoint, tmp_path):
    def make(*tasks, **fields):
        values = {"name": "test", "checkpoints": [checkpoint], "results": str(tmp_path / "results"), **fields}
        return make_sweep({**values, "tasks": tasks})

    return make


def carry_through(sweep, jobs=2, retries=None):
    """`run_sweep` with forked processes and no display."""
    runner = Runner(
        expand(sweep),
        Path(sweep.results),
        LocalExecutor(jobs, start="fork"),
        sweep.retries if retries is None else retries,
    )
    return runner.carry_through(lambda: None)


def metrics_of(results):
    return {result.run_id: result.metrics for result in results}


def reference(sweep):
    """What the runs measure when they are simply done one after the other."""
    return metrics_of(outcome for _, outcome in evaluate_light(expand(sweep), "cpu"))


def slow_evaluate(original, seconds):
    def evaluate(*args):
        for item in original(*args):
            time.sleep(seconds)
            yield item

    return evaluate


def test_everything_is_done_once_and_right(sweep, knn):
    config = sweep(knn(1, 5, initialisations=["pretrained", "random", "pixels"]))
    summary = carry_through(config)
    assert (summary.done, summary.total, summary.exit_code) == (26, 26, 0)
    results, _ = load_results(config.results)
    assert metrics_of(results) == reference(config)
    stamps = {path: path.stat().st_mtime_ns for path in Path(config.results).rglob("result.json")}
    assert carry_through(config).done == 26
    assert {path: path.stat().st_mtime_ns for path in Path(config.results).rglob("result.json")} == stamps


def test_a_failing_run_is_tried_again_kept_in_full_and_stops_nobody(sweep, knn):
    config = sweep(knn(), knn(settings={"amp": "fp8"}, specs=["smallest", "intact"]), retries=2)
    summary = carry_through(config)
    assert (summary.done, summary.total, summary.exit_code) == (6, 8, 1)
    assert [failure.attempt for failure in summary.failures] == [3, 3]
    assert "Traceback" in summary.failures[0].error and "unknown amp 'fp8'" in summary.failures[0].cause
    text = str(summary)
    assert "6 of 8 runs" in text and "2 failed: InputError: unknown amp 'fp8'" in text and "failure-3.json" in text
    assert "run the same command again" in text
    again = carry_through(config, retries=0)
    assert [failure.attempt for failure in again.failures] == [4, 4], "a new call tries once more"


def test_a_run_that_kills_its_process_is_found_out(sweep, knn, monkeypatch):
    original = worker.evaluate

    def deadly(runs, *args):
        for run, outcome in original(runs, *args):
            if run.spec == "vit-w48-d2":
                os.kill(os.getpid(), signal.SIGKILL)
            yield run, outcome

    monkeypatch.setattr(worker, "evaluate", deadly)
    summary = carry_through(sweep(knn(1, 5), retries=1), jobs=1)
    assert summary.done == 10
    assert [failure.attempt for failure in summary.failures] == [2, 2]
    assert {failure.cause for failure in summary.failures} == {"worker killed by SIGKILL"}
    assert {failure.run.split()[1] for failure in summary.failures} == {"vit-w48-d2"}


def test_what_the_runs_share_is_gone(sweep, knn, tmp_path, checkpoint):
    moving = tmp_path / "moving.pth"
    moving.write_bytes(Path(checkpoint).read_bytes())
    config = sweep(knn(), checkpoints=[str(moving)], retries=0)
    runner = Runner(expand(config), Path(config.results), LocalExecutor(2, start="fork"), 0)
    moving.unlink()
    summary = runner.carry_through(lambda: None)
    assert (summary.done, len(summary.failures)) == (0, 6)


def test_a_broken_result_is_put_aside_and_done_again(sweep, knn):
    config = sweep(knn())
    carry_through(config)
    victim = next(Path(config.results).rglob("result.json"))
    victim.write_text(victim.read_text()[:100])
    assert carry_through(config).done == 6
    read_results(config.results)
    assert victim.with_name("broken-result.json").exists()


def runner_process(config):
    process = FORK.Process(target=carry_through, args=(config,))
    process.start()
    return process


def active_pids(config):
    """Processes that hold a run right now."""
    owners = [state.owner(Path(config.results), run.id) for run in expand(config)]
    return {owner.pid for owner in owners if owner and owner.pid}


def test_30_kills_at_random_moments(sweep, knn, monkeypatch):
    """The runner and its processes are killed; nothing is lost, half-written or done twice."""
    monkeypatch.setattr(worker, "evaluate", slow_evaluate(worker.evaluate, 0.12))
    config = sweep(knn(1, 2, 3, 5, 7, initialisations=["pretrained", "random"]), retries=1000)
    assert len(expand(config)) == 60
    moments, finished, kills, runner = random.Random(0), {}, {"runner": 0, "process": 0}, runner_process(config)
    try:
        while sum(kills.values()) < 30:
            time.sleep(moments.uniform(0, 0.5))
            victim = moments.choice(sorted(kills))
            pids = [runner.pid] if victim == "runner" else sorted(active_pids(config))
            if pids and runner.is_alive():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(moments.choice(pids), signal.SIGKILL)
                    kills[victim] += 1
            found = {path: path.read_bytes() for path in Path(config.results).rglob("result.json")}
            assert all(found[path] == content for path, content in finished.items()), "a result is written once"
            finished = found
            load_results(config.results)  # raises where one is half-written
            if not runner.is_alive():
                runner.join()
                runner = runner_process(config)
            elif len(finished) == 60:
                break
        assert kills["runner"] >= 5 and kills["process"] >= 5
    finally:
        runner.kill()
        runner.join()
    missing = 60 - len(finished)
    logs = Path(config.results) / "chunks"
    before = {path: path.stat().st_mtime_ns for path in logs.glob("*.log")}
    assert carry_through(config).exit_code == 0
    results, _ = load_results(config.results)
    assert len(results) == 60 and metrics_of(results) == reference(config)
    new = [path for path in logs.glob("*.log") if path not in before]
    assert sum(path.read_text().count("few-digits") for path in new) <= missing, "only what was missing was done"
    assert not list(Path(config.results).rglob("*.tmp"))
