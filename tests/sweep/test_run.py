"""Sweeps of real light runs: what ends, fails, dies or is killed, and what is on disk afterwards.

Processes are forked from this one, which has imported everything and computed nothing with several threads.
"""

import contextlib
import multiprocessing
import os
import random
import shutil
import signal
import time
from pathlib import Path

import pytest
import torch

from poa_bench.errors import InputError
from poa_bench.runs.results import load_results, read_results
from poa_bench.sweep import run_folder, worker
from poa_bench.sweep.local import LocalExecutor
from poa_bench.sweep.plan import expand, make_sweep
from poa_bench.sweep.scheduler import Scheduler
from poa_bench.tasks.light import run_light

FORK = multiprocessing.get_context("fork")


@pytest.fixture(autouse=True)
def one_thread(monkeypatch):
    """A process that has used several threads cannot be forked safely."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    monkeypatch.setattr("poa_bench.sweep.scheduler.POLL_SECONDS", 0.05)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module", autouse=True)
def everything_imported(checkpoint, few_images):
    """What a run imports late, it imports here once."""
    task = {"task": "knn", "settings": {"config": few_images}, "specs": ["smallest"]}
    list(run_light(expand(make_sweep({"name": "t", "checkpoints": [checkpoint], "results": "r", "tasks": [task]}))))


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
    scheduler = Scheduler(
        expand(sweep),
        Path(sweep.results),
        LocalExecutor(jobs, start="fork"),
        sweep.retries if retries is None else retries,
    )
    return scheduler.carry_through(lambda: None)


def metrics_of(results):
    return {result.run_id: result.metrics for result in results}


def reference(sweep):
    """What the runs measure when they are simply done one after the other."""
    return metrics_of(outcome for _, outcome in run_light(expand(sweep), "cpu"))


def slow_execute(seconds, diary):
    """`worker.execute` that takes longer for each run, and notes in a file what it has done."""
    original = worker.execute

    def execute(*args):
        for run, outcome in original(*args):
            time.sleep(seconds)
            with diary.open("a") as file:
                file.write(f"{run.id}\n")
            yield run, outcome

    return execute


def test_everything_is_done_once_and_right(sweep, knn):
    config = sweep(knn(1, 5, initialisations=["pretrained", "random", "pixels"]))
    summary = carry_through(config)
    assert (summary.done, summary.total, summary.exit_code) == (26, 26, 0)
    results, _ = load_results(config.results)
    assert metrics_of(results) == reference(config)
    stamps = {path: path.stat().st_mtime_ns for path in Path(config.results).rglob("result.json")}
    assert carry_through(config).done == 26
    assert {path: path.stat().st_mtime_ns for path in Path(config.results).rglob("result.json")} == stamps


def test_a_failing_run_is_tried_again_kept_in_full_and_stops_nobody(sweep, knn, monkeypatch):
    monkeypatch.setattr("poa_bench.tasks.light.check_amp", lambda _: None)  # else the plan would refuse it
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


def test_a_stop_that_a_library_turns_into_an_error_is_no_failure(sweep, knn, monkeypatch):
    """As mmengine does when submitit's SystemExit meets its bare `except`."""

    def stopped(runs, directory, device):
        try:
            raise SystemExit(-1)
        except BaseException:
            try:
                raise SyntaxError("failed to format the config file")
            except SyntaxError as error:
                yield runs[0], error

    monkeypatch.setattr(worker, "execute", stopped)
    config = sweep(knn())
    runs, directory = expand(config), Path(config.results)
    directory.mkdir()
    with pytest.raises(SystemExit):
        worker.work(worker.Chunk(directory=directory, runs=tuple(runs), gpus=0, alone=False))
    assert not list(directory.rglob("failure-*.json"))


def test_a_run_that_kills_its_process_is_found_out(sweep, knn, monkeypatch):
    original = worker.execute

    def deadly(runs, *args):
        for run, outcome in original(runs, *args):
            if run.spec == "vit-w48-d2":
                os.kill(os.getpid(), signal.SIGKILL)
            yield run, outcome

    monkeypatch.setattr(worker, "execute", deadly)
    summary = carry_through(sweep(knn(1, 5), retries=1), jobs=1)
    assert summary.done == 10
    assert [failure.attempt for failure in summary.failures] == [2, 2]
    assert {failure.cause for failure in summary.failures} == {"worker killed by SIGKILL"}
    assert {failure.run.split()[1] for failure in summary.failures} == {"vit-w48-d2"}


def test_what_the_runs_share_is_gone(sweep, knn, tmp_path, checkpoint):
    moving = tmp_path / "moving.pth"
    moving.write_bytes(Path(checkpoint).read_bytes())
    config = sweep(knn(), checkpoints=[str(moving)], retries=0)
    scheduler = Scheduler(expand(config), Path(config.results), LocalExecutor(2, start="fork"), 0)
    moving.unlink()
    summary = scheduler.carry_through(lambda: None)
    assert (summary.done, len(summary.failures)) == (0, 6)


def test_a_broken_result_is_put_aside_and_done_again(sweep, knn):
    config = sweep(knn())
    carry_through(config)
    victim = next(Path(config.results).rglob("result.json"))
    victim.write_text(victim.read_text()[:100])
    assert carry_through(config).done == 6
    read_results(config.results)
    assert victim.with_name("broken-result.json").exists()


def test_what_is_gone_at_the_end_is_not_counted(sweep, knn):
    """Somebody removes two results while the rest is worked on: 6 of 6 would be said of 4."""
    config = sweep(knn())
    scheduler = Scheduler(expand(config), Path(config.results), LocalExecutor(1, start="fork"), 0)
    carry_through(config)
    scheduler.done = set(scheduler.runs)
    for victim in list(Path(config.results).rglob("result.json"))[:2]:
        victim.unlink()
    summary = scheduler.summary()
    assert (summary.done, summary.total, summary.exit_code) == (4, 6, 1)
    assert "4 of 6 runs have their result" in str(summary) and "2 were not run" in str(summary)


def test_results_of_two_machines_are_gathered_by_copying(sweep, knn, tmp_path):
    everything = sweep(knn(1, 5), results=str(tmp_path / "gathered"))
    for specs in (["vit-w32-d2", "vit-w32-d3", "vit-w32-d4"], ["vit-w48-d2", "vit-w48-d3", "vit-w48-d4"]):
        machine = tmp_path / specs[0]
        assert carry_through(sweep(knn(1, 5, specs=specs), results=str(machine))).done == 6
        shutil.copytree(machine, everything.results, dirs_exist_ok=True)
    logs = sorted(Path(everything.results).rglob("*.log"))
    assert carry_through(everything).done == 12
    assert sorted(Path(everything.results).rglob("*.log")) == logs, "nothing was left to do"
    assert metrics_of(load_results(everything.results)[0]) == reference(everything)


def runner_process(config):
    process = FORK.Process(target=carry_through, args=(config,))
    process.start()
    return process


def test_runners_at_the_same_time_share_the_work(sweep, knn, tmp_path, monkeypatch):
    """Two of one sweep, one of another sweep that has half of its runs in common."""
    monkeypatch.setattr(worker, "execute", slow_execute(0.05, tmp_path / "diary"))
    one, other = sweep(knn(1, 5)), sweep(knn(5, 7))
    runners = [runner_process(config) for config in (one, one, other)]
    for runner in runners:
        runner.join()
    results, _ = load_results(one.results)
    assert metrics_of(results) == reference(one) | reference(other)
    done = (tmp_path / "diary").read_text().split()
    assert sorted(done) == sorted(result.run_id for result in results), "each of the 18 runs was done once"


def active_pids(config):
    """Processes that hold a run right now."""
    owners = [run_folder.owner(Path(config.results), run.id) for run in expand(config)]
    return {owner.pid for owner in owners if owner and owner.pid}


@pytest.mark.parametrize("kills", [6, pytest.param(30, marks=pytest.mark.soak)])
def test_kills_at_random_moments(kills, sweep, knn, tmp_path, monkeypatch):
    """The runner and its processes are killed; nothing is lost, half-written or done twice."""
    ks = (1, 2, 3, 5, 7)[: kills // 6]
    config = sweep(knn(*ks, initialisations=["pretrained", "random"]), retries=1000)
    runs = [run.id for run in expand(config)]
    assert len(runs) == 2 * kills
    with monkeypatch.context() as patch:
        patch.setattr(worker, "execute", slow_execute(0.5, tmp_path / "diary"))
        finished = kill(config, kills)
    missing = set(runs) - {path.parent.name for path in finished}
    assert 0 < len(missing) < 2 * kills, "the kills came in the middle"
    monkeypatch.setattr(worker, "execute", slow_execute(0, tmp_path / "last diary"))
    assert carry_through(config).exit_code == 0
    assert sorted((tmp_path / "last diary").read_text().split()) == sorted(missing), "only what is missing, and once"
    results, _ = load_results(config.results)
    assert len(results) == 2 * kills and metrics_of(results) == reference(config)
    assert all(path.read_bytes() == content for path, content in finished.items())
    assert not list(Path(config.results).rglob("*.tmp"))


def kill(config, kills):
    """Kill the sweep's runner or one of its processes, each half of the times; returns its results and their content.

    The n-th kill comes at a random moment after n results: half of the sweep is done then, however fast the machine.
    """
    Path(config.results).mkdir()
    moments, finished, runner = random.Random(0), {}, runner_process(config)
    victims = moments.sample(["runner", "process"] * (kills // 2), kills)
    try:
        while victims:
            found = {path: path.read_bytes() for path in Path(config.results).rglob("result.json")}
            assert all(found[path] == content for path, content in finished.items()), "a result is written once"
            finished = found
            load_results(config.results)  # raises where one is half-written
            runner.join(0.05)
            if not runner.is_alive():
                runner = runner_process(config)
            if len(finished) < kills - len(victims):
                continue
            time.sleep(moments.uniform(0, 0.5))
            pids = [runner.pid] if victims[-1] == "runner" else sorted(active_pids(config))
            if pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(moments.choice(pids), signal.SIGKILL)
                    victims.pop()
    finally:
        runner.kill()
        runner.join()
    return wait_for_silence(config, finished)


def wait_for_silence(config, finished):
    """The processes of a killed runner end themselves a moment later, and may finish a run before."""
    while active_pids(config):
        time.sleep(0.1)
    return finished | {path: path.read_bytes() for path in Path(config.results).rglob("result.json")}


def test_what_a_killed_process_has_left_goes_with_the_next_one(tmp_path):
    folder = tmp_path / "0123"
    folder.mkdir()
    for name in ("result.json", "outcomes.npz", "gallery.json"):
        (folder / f".{name}.abcdef.tmp").write_text("half")
    (folder / "failure-1.json").write_text("{}")
    with run_folder.hold(tmp_path, "0123") as release:
        assert release is not None
        assert sorted(path.name for path in folder.iterdir()) == ["failure-1.json", "lock"]


@pytest.mark.parametrize("settings", [{"amp": "fp8"}, {"amps": "bf16"}])
def test_settings_that_no_run_takes_are_refused_by_the_plan(settings, sweep, knn):
    with pytest.raises(InputError, match="unknown"):
        expand(sweep(knn(settings=settings)))
