"""Cheap things first, and whole columns of the table: the order in which runs are begun, on every executor."""

import random
from pathlib import Path

import pytest

from poa_bench.sweep import run_folder
from poa_bench.sweep.operations import operations
from poa_bench.sweep.order import in_order
from poa_bench.sweep.plan import expand, make_sweep
from poa_bench.sweep.scheduler import Scheduler
from tests.sweep.conftest import save_checkpoint

DENSE = {
    "detection": "mask-rcnn_sfp_digits.py",
    "upernet": "upernet_digits.py",
    "linear head": "linear-seg_digits.py",
}


@pytest.fixture
def runs(checkpoint, tmp_path):
    """The dear ones are named first: 3 kinds x 6 sizes x 2 initialisations x 3 seeds, then 6 profiles and 12 others."""

    def entry(config, task):
        settings = {"config": config, "cfg_options": {"train_cfg.max_iters": 300}} if task == "detection" else {}
        settings = {"config": config, **settings}
        return {"task": task, "settings": settings, "seeds": [0, 1, 2], "initialisations": ["random", "pretrained"]}

    tasks = [entry(DENSE["detection"], "detection")]
    tasks += [entry(DENSE[name], "segmentation") for name in ("upernet", "linear head")]
    tasks += [{"task": task, "dataset": "digits"} for task in ("profile", "linear")]
    tasks += [{"task": "knn", "dataset": "digits", "protocols": ["knn-k20-T0.07/1"]}]
    values = {"name": "test", "checkpoints": [checkpoint], "results": str(tmp_path / "r"), "tasks": tasks}
    return expand(make_sweep(values))


def heavy(runs):
    return [run for run in runs if run.task in ("detection", "segmentation")]


def test_light_runs_then_whole_columns_cheap_ones_first(runs):
    ordered = in_order(runs)
    assert sorted(run.id for run in ordered) == sorted(run.id for run in runs)
    assert [run.task in ("knn", "linear", "profile") for run in ordered] == [True] * 18 + [False] * 108
    columns = [
        (run.seed, run.task, run.protocol, run.initialisation, operations(run)) for run in ordered if run in heavy(runs)
    ]
    blocks = [columns[start : start + 6] for start in range(0, 108, 6)]
    for block in blocks:  # all sizes of a column, the smallest first
        assert len({column[:4] for column in block}) == 1
        assert [column[4] for column in block] == sorted(column[4] for column in block)
    assert [block[0][0] for block in blocks] == [0] * 6 + [1] * 6 + [2] * 6, "everything once, then once more"
    first = [block[0][1:4] for block in blocks[:6]]
    assert [task for task, *_ in first] == ["segmentation"] * 4 + ["detection"] * 2
    assert [initialisation for *_, initialisation in first[-2:]] == ["pretrained", "random"]


def test_stopped_anywhere_at_most_one_column_is_torn(runs):
    ordered = heavy(in_order(runs))
    for stop in range(len(ordered) + 1):
        found = {}
        for run in ordered[:stop]:
            found.setdefault((run.protocol, run.initialisation, run.seed), set()).add(run.spec)
        assert sum(len(sizes) < 6 for sizes in found.values()) <= 1


def test_repeats_of_a_pretraining_come_after_all_else(checkpoint, tmp_path):
    """In a series, checkpoints of the same size are repeats; without one they are lines of their own."""
    other = str(save_checkpoint(tmp_path / "other.pth", seed=1))
    task = {"task": "segmentation", "settings": {"config": DENSE["upernet"]}, "specs": ["smallest", "intact"]}
    values = {"name": "t", "checkpoints": [checkpoint, other], "results": "r", "tasks": [task]}
    alone = in_order(expand(make_sweep(values)))
    assert [run.spec for run in alone] == ["vit-w32-d2", "vit-w32-d2", "vit-w48-d4", "vit-w48-d4"]
    series = in_order(expand(make_sweep({**values, "series": "repeats"})))
    assert [run.spec for run in series] == ["vit-w32-d2", "vit-w48-d4"] * 2
    assert [run.checkpoint for run in series] == [checkpoint] * 2 + [other] * 2


class Noting:
    """An executor that notes what it is given, and does nothing."""

    busy = False
    in_flight = ()

    def __init__(self):
        self.chunks = []

    def parts(self, runs):
        return 2

    def submit(self, chunks):
        self.chunks += chunks


def test_chunks_come_in_this_order_also_for_the_rest_of_a_sweep(runs, tmp_path, monkeypatch):
    whole = Scheduler(runs, tmp_path, Noting(), 0).chunks(in_order(runs))
    assert [(len(chunk.runs), chunk.runs[0].task == "profile") for chunk in whole[:3]] == [
        (6, False), (6, False), (6, True),
    ]  # fmt: skip
    assert [chunk.runs[0].id for chunk in whole[3:]] == [run.id for run in heavy(in_order(runs))]
    done = random.Random(0).sample([run.id for run in runs], 60)
    for run_id in done:
        (tmp_path / run_id).mkdir()
        (tmp_path / run_id / "result.json").write_text("{}")
    assert run_folder.is_done(tmp_path, done[0])
    monkeypatch.setattr(run_folder, "set_broken_aside", lambda *_: None)  # these are empty
    scheduler = Scheduler(runs, tmp_path, Noting(), 0)
    rest = [
        chunk.runs[0].id for chunk in scheduler.chunks([scheduler.runs[i] for i in scheduler.missing]) if chunk.turn[0]
    ]
    assert rest == [run.id for run in heavy(in_order(runs)) if run.id not in done]


def test_a_config_that_says_nothing_of_its_work_is_no_obstacle(checkpoint, tmp_path):
    config = tmp_path / "odd.py"
    config.write_text(
        "measurement = dict(task='counting', dataset='d', protocol='p/1', split='val', metrics=dict(n='n'))"
    )
    tasks = [{"task": "counting", "settings": {"config": str(config)}}]
    tasks += [{"task": "segmentation", "settings": {"config": DENSE["upernet"]}}]
    sweep = make_sweep({"name": "t", "checkpoints": [checkpoint], "results": str(Path(tmp_path, "r")), "tasks": tasks})
    assert [run.task for run in in_order(expand(sweep))] == ["segmentation"] * 6 + ["counting"] * 6
