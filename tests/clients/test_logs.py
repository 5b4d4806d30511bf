"""What OpenMMLab's own tools and TensorBoard read in the log of a real training: the numbers that it computed.

The tools run as they are, in processes of their own; `curve_values.py` saves what they plot as numbers.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.hooks import Hook
from mmengine.utils import get_installed_path
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from poa_bench.pretraining.schedules import training_model
from tests.pretraining.runs import logged, train_here

pytest.importorskip("mmdet")
pytest.importorskip("mmseg")
pytest.importorskip("mmpretrain")
pytest.importorskip("seaborn")  # mmseg's tool wants it

WINDOW = 4
KEYS = ("loss", "intact_global", "elastic_global", "elastic_same_local", "intact_patch", "koleo", "lr", "weight_decay")
KEYS += ("teacher_momentum", "teacher_temperature", "elastic_width", "feature_rank")
AVERAGED = KEYS[: KEYS.index("lr")]


class Recorder(Hook):
    """Keeps what the training computes, before any other hook sees it."""

    def __init__(self):
        self.values = {key: [] for key in KEYS if key != "feature_rank"}

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        model = training_model(runner)
        seen = {name: value.item() for name, value in outputs.items()}
        seen |= {name: getattr(model.settings, name) for name in ("teacher_momentum", "teacher_temperature")}
        seen["elastic_width"] = model.settings.sizes[0].width
        first = runner.optim_wrapper.optimizer.param_groups[0]
        seen |= {"lr": first["lr"], "weight_decay": first["weight_decay"]}
        for name, values in self.values.items():
            values.append(float(seen[name]))


class RankRecorder(Hook):
    """Keeps the rank of the teacher's features after each step."""

    def __init__(self):
        self.values = []

    @torch.no_grad()
    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        model = training_model(runner)
        rows = model.teacher.backbone(model.data_preprocessor(data_batch, True)["inputs"]["global_crops"]).cls
        self.values.append(rank_of(rows.double().numpy()))


def rank_of(rows):
    """The exponential of the entropy of the singular values of centered, normalised rows."""
    rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    share = np.linalg.svd(rows - rows.mean(axis=0), compute_uv=False)
    share = share[share > 1e-12] / share.sum()
    return np.exp(-(share * np.log(share)).sum())


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The work directory of ten iterations, and (step, value) of every key at the lines of the log."""
    work_dir, recorder, ranks = tmp_path_factory.mktemp("run"), Recorder(), RankRecorder()
    train_here(
        work_dir,
        "visualizer.vis_backends.1.type=TensorboardVisBackend",
        "default_hooks.logger.interval=2",
        f"log_processor.window_size={WINDOW}",
        "default_hooks.knn.type=poa_bench.KnnHook",
        "default_hooks.knn.data=digits",
        "default_hooks.knn.interval=0.5",
        "default_hooks.collapse.type=poa_bench.CollapseHook",
        "default_hooks.collapse.interval=4",
        hooks=[(recorder, "HIGHEST"), (ranks, "LOWEST")],
    )
    steps = [2, 4, 6, 8, 10]
    expected = {}
    for key, values in recorder.values.items():
        if key in AVERAGED:
            expected[key] = [(step, np.mean(values[max(0, step - WINDOW) : step])) for step in steps]
        else:
            expected[key] = [(step, values[step - 1]) for step in steps]
    checked = {2: 1, 4: 4, 6: 4, 8: 8, 10: 8}  # every fourth iteration, and the first
    expected["feature_rank"] = [(step, ranks.values[checked[step] - 1]) for step in steps]
    return work_dir, expected


def scalars_of(work_dir) -> Path:
    return next(work_dir.glob("*/vis_data/scalars.json"))


def script(package: str, name: str) -> list[str]:
    return [sys.executable, str(Path(get_installed_path(package), ".mim", "tools", name))]


def mim(package: str, name: str) -> list[str]:
    return [str(Path(sys.executable).with_name("mim")), "run", package, name]


def call(*command: str, folder: Path) -> str:
    """What a program prints; its plots are saved as numbers."""
    backend = {"MPLBACKEND": "module://curve_values", "PYTHONPATH": str(Path(__file__).parent)}
    environment = {**os.environ, **backend, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=folder)
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    return done.stdout


TOOLS = {
    "mmdet": [*script("mmdet", "analysis_tools/analyze_logs.py"), "plot_curve", "--style", "default"],
    "mmseg": [*script("mmseg", "analysis_tools/analyze_logs.py"), "--style", "white"],
    "mmpretrain": [*mim("mmpretrain", "analyze_logs"), "plot_curve"],
}


@pytest.mark.parametrize("package", TOOLS)
def test_every_tool_plots_what_training_computed(package, run, tmp_path):
    work_dir, expected = run
    out = tmp_path / "curves.json"
    validation = [] if package == "mmdet" else ["knn/vit-w32-d2"]  # mmdet's plots of these only what is named mAP
    log = ["--legend", *KEYS, *validation, "--out", str(out), "--keys", *KEYS, *validation]
    call(*TOOLS[package], str(scalars_of(work_dir)), *log, folder=tmp_path)
    found = json.loads(out.read_text())
    for key in KEYS:
        assert np.array(found[key]) == pytest.approx(np.array(expected[key]), rel=1e-4), key
    for key in validation:
        accuracies = logged(work_dir, key)
        assert [(int(step), (value,)) for step, value in found[key]] == list(accuracies.items())
        assert list(accuracies) == [4, 8, 10]


def test_the_time_of_an_iteration(run, tmp_path):
    """mmdet's takes all lines but the first for one epoch, mmpretrain's all."""
    work_dir, _ = run
    times = [seconds for (seconds,) in logged(work_dir, "time").values()]
    for package, mean in (("mmdet", np.mean(times[1:])), ("mmpretrain", np.mean(times))):
        tool = [*script(package, "analysis_tools/analyze_logs.py"), "cal_train_time"]
        said = call(*tool, str(scalars_of(work_dir)), folder=tmp_path)
        assert float(re.search(r"average iter time: ([\d.]+) s/iter", said)[1]) == pytest.approx(mean, abs=1e-4)


def test_tensorboard_shows_what_training_computed(run):
    work_dir, expected = run
    shown = EventAccumulator(str(scalars_of(work_dir).parent)).Reload()
    for key in KEYS:
        points = [(event.step, event.value) for event in shown.Scalars(key)]
        assert np.array(points) == pytest.approx(np.array(expected[key]), rel=1e-4), key
    assert [event.step for event in shown.Scalars("knn/vit-w48-d3")] == [4, 8, 10]


def test_only_validations_have_a_slash_and_all_lines_the_same_names(run):
    work_dir, _ = run
    lines = [json.loads(line) for line in scalars_of(work_dir).read_text().splitlines()]
    training = [line for line in lines if "lr" in line]
    assert len(training) == 5 and len(lines) == 8
    assert len({frozenset(line) for line in training}) == 1 and not any("/" in name for name in training[0])
    assert all(name.startswith("knn/") or name == "step" for line in lines if line not in training for name in line)
    twin = next(path for path in scalars_of(work_dir).parent.glob("2*.json"))
    assert twin.read_text() == scalars_of(work_dir).read_text(), "mmengine writes its log twice"
