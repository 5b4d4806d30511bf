"""What plan and status say: counts, pace, time left, failures by cause, stale and broken results."""

import re
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from rich.console import Console

from poa_bench.cli import main
from poa_bench.runs.results import load_results, write_result
from poa_bench.runs.run import Run
from poa_bench.sweep import run_folder
from poa_bench.sweep.estimates import GROWTH, Estimates
from poa_bench.sweep.plan import expand, make_sweep
from poa_bench.sweep.status import _pace, describe_plan, duration, render
from poa_bench.sweep.unplanned import unplanned
from poa_bench.sweep.watch import Watch
from tests.sweep.conftest import save_checkpoint

TASKS = [
    {"task": "knn", "dataset": "digits", "protocols": ["knn-k20-T0.07/1"]},
    {"task": "linear", "dataset": "digits"},
]


@pytest.fixture
def sweep(checkpoint, tmp_path):
    return make_sweep({"name": "test", "checkpoints": [checkpoint], "results": str(tmp_path / "r"), "tasks": TASKS})


def finish(run, directory, seconds=10.0, ago=0.0):
    created = datetime.now(timezone.utc) - timedelta(seconds=ago)
    measured = {"metrics": {"top1": 50.0}, "split": "test", "tensors_loaded": 4, "tensors_total": 4}
    write_result(run.result(**measured, seconds=seconds, created=created), directory)


def text_of(directory, runs):
    console = Console(width=200, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(render(Watch(directory, runs).look(), runs, "sweep"))
    return console.export_text()


def test_states_and_causes(sweep):
    runs, directory = expand(sweep), Path(sweep.results)
    finish(runs[0], directory)
    for run in runs[1:3]:
        run_folder.record_failure(directory, run, ValueError("no good\nmore"))
    run_folder.record_failure(directory, runs[3], RuntimeError("out of memory"))
    with run_folder.hold(directory, runs[4].id) as release:
        assert release is not None
        snapshot = Watch(directory, runs).look()
        text = text_of(directory, runs)
        with run_folder.hold(directory, runs[4].id, patience=0) as second:
            assert second is None, "only one process works on a run"
    assert {name: snapshot.count(name) for name in ("done", "running", "failed", "waiting")} == {
        "done": 1, "running": 1, "failed": 3, "waiting": 7,
    }  # fmt: skip
    assert snapshot.counts["knn"].total() == snapshot.counts["linear"].total() == 6
    assert "2 failed: ValueError: no good" in text and "1 failed: RuntimeError: out of memory" in text
    assert str(runs[4]) in text and "1 of 12 done" in text
    assert run_folder.state_of(directory, runs[4].id) == "waiting", "the lock goes with its holder"
    finish(runs[1], directory)
    assert run_folder.state_of(directory, runs[1].id) == "done", "a result counts whatever failed before"


def test_a_process_is_one_line_however_many_runs_it_holds(sweep):
    runs, directory = expand(sweep), Path(sweep.results)
    with (
        run_folder.hold(directory, runs[0].id),
        run_folder.hold(directory, runs[1].id),
        run_folder.hold(directory, runs[2].id),
    ):
        (line,) = [line for line in text_of(directory, runs).splitlines() if line.startswith("running on")]
    assert line.rstrip().endswith(f"{runs[0]} and 2 more")


def test_time_left_follows_what_was_measured(sweep):
    runs, directory = expand(sweep), Path(sweep.results)
    assert Watch(directory, runs).look().eta is None
    knn, linear = ([run for run in runs if run.task == task] for task in ("knn", "linear"))
    for position, run in enumerate(knn):
        finish(run, directory, seconds=10, ago=50 - 10 * position)
    snapshot = Watch(directory, [*runs, Run(**{**knn[0].model_dump(), "seed": 1})]).look()
    # one at a time for 60 s; one more k-NN run is left, and what is left of linear is not known
    assert (snapshot.eta, snapshot.unknown) == (pytest.approx(10, rel=0.05), 6)
    assert "about 10 s left beside 6 runs of a kind that was never finished here" in _pace(snapshot)
    watch = Watch(directory, runs)
    assert watch.look().eta is None, "no linear run was ever done"
    finish(linear[0], directory, seconds=60, ago=0)
    snapshot = watch.look()
    # 120 s of work in the last 60 s: two at a time; the five linear runs that are left are of other sizes, whose
    # networks have so many multiply-accumulates: of the patches, and of all blocks on 17 tokens
    macs = [16 * 192 * w + d * (17 * 12 * w**2 + 2 * 17**2 * w) for w in (32, 48) for d in (2, 3, 4)]
    assert snapshot.eta == pytest.approx(60 * sum((each / macs[0]) ** GROWTH for each in macs[1:]) / 2, rel=0.05)
    assert "linear linear-logreg-grid13-valsplit/2 digits: 5 to do, about " in text_of(directory, runs)
    assert snapshot.per_minute == pytest.approx(7, rel=0.05)
    results, _ = load_results(directory)
    estimates = Estimates(results, runs)
    assert estimates.of(knn[0]) == 10 and estimates.of(linear[0]) == 60


def test_a_clock_that_was_set_back_makes_no_pace(sweep, tmp_path):
    """Results of the future gave 60,000 runs a minute."""
    runs, directory = expand(sweep), tmp_path / "results"
    for run in runs[:3]:
        finish(run, directory, ago=-3600.0)
    assert Watch(directory, runs).look().per_minute == 0
    finish(runs[3], directory, ago=60.0)
    assert 0 < Watch(directory, runs).look().per_minute < 2


def test_results_that_are_not_of_the_plan_are_told_apart(sweep, checkpoint, tmp_path):
    """Stale ones are replaced in a report, others stand beside the plan's."""
    directory = Path(sweep.results)
    (tmp_path / "old").mkdir()
    other = save_checkpoint(tmp_path / "old" / "epoch_1.pth", seed=1)
    others = expand(sweep.model_copy(update={"checkpoints": [str(other)]}))
    for run in others:
        finish(run, directory)
    runs = expand(sweep)
    finish(runs[0].model_copy(update={"protocol": "knn-k20-T0.07/0"}), directory)
    finish(runs[1].model_copy(update={"config_hash": "ab" * 32, "config": {"branch": "student"}}), directory)
    finish(runs[2].model_copy(update={"config_hash": "cd" * 32, "config": {}}), directory)
    finish(runs[3].model_copy(update={"checkpoint_sha256": "ef" * 32}), directory)
    finish(runs[4].model_copy(update={"checkpoint_sha256": "12" * 32, "pretraining_seed": 8}), directory)
    finish(runs[0].model_copy(update={"dataset": "elsewhere"}), directory)
    results = load_results(directory)[0]
    runs = [run.model_copy(update={"pretraining_seed": 7}) for run in runs]
    assert {kind: len(found) for kind, found in unplanned(runs, results).items()} == {
        f"other: of another checkpoint ({other}, sha256 {others[0].checkpoint_sha256[:8]})": 12,
        "stale: protocol knn-k20-T0.07/0, now knn-k20-T0.07/1": 1,
        "other: of other settings (branch student, not teacher)": 1,
        "other: of other settings (which ones is not said)": 1,
        f"stale: earlier contents of the checkpoint ({checkpoint}, sha256 efefefef)": 1,
        f"other: of another checkpoint ({checkpoint}, sha256 12121212)": 1,
    }, "and what was never asked for is neither"
    assert not unplanned([*runs, *others], [result for result in results if result.checkpoint == str(other)]), (
        "each checkpoint of a plan is asked about its own results"
    )


def test_commands(sweep, checkpoint, tmp_path, capsys):
    config = tmp_path / "some_sweep.py"
    config.write_text(f"checkpoints = [{checkpoint!r}]\nresults = {sweep.results!r}\ntasks = {TASKS!r}")
    runs, directory = expand(sweep), Path(sweep.results)
    assert main(["plan", str(config)]) == 0
    assert "12 runs, 0 done, 12 to do" in capsys.readouterr().out
    finish(runs[0], directory, seconds=30)
    broken = directory / runs[1].id / "result.json"
    broken.parent.mkdir()
    broken.write_text("{")
    assert main(["plan", str(config), "--ids", "--jobs", "2"]) == 0
    out = capsys.readouterr().out
    assert f"{runs[0].id}  done" in out and f"{runs[1].id}  waiting" in out and f"broken: {broken}" in out
    assert "knn knn-k20-T0.07/1 digits: 5 to do, about" in out
    assert re.search("linear linear-logreg-grid13-valsplit/2 digits: 6 to do, about .* one by one, a guess", out)
    assert "with 2 at a time" in out and "6 of these runs are of kinds that were never finished here" in out
    assert main(["status", str(config)]) == 0
    assert "done" in capsys.readouterr().out
    assert main(["plan", str(config), "--set", "tasks.0.protocols=['knn-k1/1']"]) == 2
    assert "unknown protocol 'knn-k1/1'" in capsys.readouterr().err
    assert main(["plan", str(config), "--set", "retries"]) == 2
    assert "write KEY=VALUE" in capsys.readouterr().err


def test_a_lock_is_seen_for_what_it_is(tmp_path):
    assert run_folder.owner(tmp_path, "run") is None
    with run_folder.hold(tmp_path, "run"):
        owner = run_folder.owner(tmp_path, "run")
        assert owner is not None and owner.pid > 0 and abs(owner.started - time.time()) < 60
    assert run_folder.owner(tmp_path, "run") is None


def test_durations():
    assert [duration(s) for s in (4.4, 75, 7300)] == ["4 s", "1 min 15 s", "2 h 1 min"]


def test_a_plan_is_not_told_the_time_of_other_settings(checkpoint, tmp_path):
    """Results of a quick try in the same folder; those of another checkpoint count."""
    upernet = {"task": "segmentation", "settings": {"config": "upernet_digits.py"}}
    other = str(save_checkpoint(tmp_path / "other.pth", seed=1))
    values = {"name": "test", "results": str(tmp_path / "r"), "tasks": [upernet]}
    quick = {**upernet, "settings": {**upernet["settings"], "cfg_options": {"train_cfg.max_iters": 1}}}
    for run in expand(make_sweep({**values, "checkpoints": [checkpoint], "tasks": [quick]})):
        finish(run, Path(values["results"]), seconds=1.0)
    assert "6 to do, about" in (text := describe_plan(make_sweep({**values, "checkpoints": [checkpoint]})))
    assert "a guess" in text
    for run in expand(make_sweep({**values, "checkpoints": [other]})):
        finish(run, Path(values["results"]), seconds=100.0)
    assert "6 to do, about 10 min 0 s one by one" in describe_plan(make_sweep({**values, "checkpoints": [checkpoint]}))
