"""What the `measurement` of a config becomes in a result, and what is refused before anything is trained."""

import pytest
from mmengine.config import ConfigDict

from poa_bench.cli import main
from poa_bench.config_files import read_config, runnable_configs
from poa_bench.errors import InputError
from poa_bench.tasks.measurement import read_measurement
from tests.downstream.networks import tiny_supernet, write_checkpoint

LANDMARKS = {
    "task": "landmarks",
    "protocol": "heatmap/1",
    "dataset": "faces",
    "split": "val",
    "metrics": {"delta1": "points/d1", "rmse": "points/rmse", "val_rmse": "points/val_rmse"},
    "scale": {"delta1": 100},
    "units": {"rmse": "px"},
    "higher_is_better": {"rmse": False},
}
FOUND = {"points/d1": 0.875, "points/rmse": 0.5, "points/val_rmse": 0.25, "points/other": 7.0}


def test_units_directions_and_factors_are_those_of_each_metric():
    recorded = read_measurement(ConfigDict({"measurement": LANDMARKS}), "landmarks.py").recorded(FOUND)
    assert recorded == {
        "metrics": {"delta1": 87.5, "rmse": 0.5, "val_rmse": 0.25},
        "units": {"delta1": "%", "rmse": "px", "val_rmse": "px"},
        "higher_is_better": {"delta1": True, "rmse": False, "val_rmse": False},
        "split": "val",
    }


def test_one_factor_is_for_all_and_nothing_found_is_zero():
    said = {
        **LANDMARKS,
        "metrics": {"AP": "coco/AP", "AP_50": "coco/AP_50"},
        "scale": 100,
        "units": {},
        "higher_is_better": {},
    }
    measurement = read_measurement({"measurement": said}, "boxes.py")
    assert measurement.recorded({"coco/AP": 0.25, "coco/AP_50": 0.5})["metrics"] == {"AP": 25.0, "AP_50": 50.0}
    assert measurement.recorded({})["metrics"] == {"AP": 0.0, "AP_50": 0.0}


def test_a_registered_task_says_what_the_config_does_not():
    said = {**LANDMARKS, "task": "rank", "metrics": {"alpha_req": "a", "rankme": "r"}, "scale": 1, "units": {}}
    metric = read_measurement({"measurement": {**said, "higher_is_better": {}}}, "rank.py").metric
    assert metric("alpha_req").higher_is_better is None and metric("rankme").higher_is_better is True
    metric = read_measurement({"measurement": {**said, "higher_is_better": {"rankme": None}}}, "rank.py").metric
    assert metric("rankme").higher_is_better is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"units": {"rms": "px"}}, "units names rms, but the metrics are delta1, rmse, val_rmse"),
        ({"higher_is_better": {"rms": False}}, "higher_is_better names rms, but"),
        ({"higher_is_better": {"rmse": "no"}}, "higher_is_better.rmse"),
        ({"scale": {"rms": 1}}, "scale names rms, but"),
        ({"lower_is_better": ["rmse"]}, "lower_is_better: Extra inputs are not permitted"),
        ({"metrics": {}}, "metrics: Dictionary should have at least 1 item"),
        ({"protocol": "mine"}, "protocol: String should match pattern"),
        ({"split": None}, "split: "),
    ],
)
def test_what_does_not_fit_is_said_before_training(tmp_path, capsys, change, message):
    with pytest.raises(InputError, match="config landmarks.py: its `measurement` is wrong: "):
        read_measurement({"measurement": {**LANDMARKS, **change}}, "landmarks.py")
    (tmp_path / "landmarks.py").write_text(f"measurement = { ({**LANDMARKS, **change})!r}")
    checkpoint = write_checkpoint(tiny_supernet("vit"), tmp_path / "epoch_1.pth")
    tasks = [{"task": "landmarks", "settings": {"config": str(tmp_path / "landmarks.py")}}]
    (tmp_path / "my_sweep.py").write_text(f"tasks = {tasks!r}")
    assert main(["plan", str(tmp_path / "my_sweep.py"), "--checkpoint", str(checkpoint)]) == 2
    assert message in capsys.readouterr().err


def test_every_config_of_the_repository_fits():
    paths = [path for path in runnable_configs().values() if path.parent.name == "downstream"]
    assert len([read_measurement(read_config(str(path)), path.name) for path in paths]) == len(paths) > 10
