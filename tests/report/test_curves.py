"""Learning curves from mmengine's logs."""

import json

from poa_bench.report.curves import POINTS, read_curves, read_scalars
from poa_bench.report.frame import load_report_data
from poa_bench.runs.results import write_result
from tests.report.made import made_result


def log(folder, entries, tail=""):
    path = folder / "20260101_000000" / "vis_data" / "scalars.json"
    path.parent.mkdir(parents=True)
    path.write_text("".join(json.dumps(entry) + "\n" for entry in entries) + tail, encoding="utf-8")


def test_logs_beside_the_checkpoint_and_in_the_run_are_found(tmp_path):
    log(tmp_path / "pretrain", [{"loss": 5.0 - step, "lr": 0.1, "time": 9.0, "step": step} for step in range(3)])
    result = made_result("detection", checkpoint=str(tmp_path / "pretrain" / "epoch_1.pth"))
    write_result(result, tmp_path / "results")
    log(tmp_path / "results" / result.run_id, [{"loss_mask": 1.0, "iter": 10, "step": 10}])
    curves = read_curves(load_report_data(tmp_path / "results"), tmp_path / "results")
    assert curves.groupby(["run", "scalar"]).value.apply(list).to_dict() == {
        ("pre-training pre-trained", "loss"): [5.0, 4.0, 3.0],
        ("pre-training pre-trained", "lr"): [0.1, 0.1, 0.1],
        ("detection vit-w48-d4 (pre-trained, measurement seed 0)", "loss_mask"): [1.0],
    }


def test_networks_trained_alone_have_a_curve_each(tmp_path):
    for place, spec in enumerate(("vit-w48-d4", "vit-w64-d4")):
        log(tmp_path / spec, [{"loss": float(place), "step": 1}])
        path = str(tmp_path / spec / "iter_1.pth")
        facts = {"series": "trained alone"}
        write_result(made_result(spec=spec, checkpoint=path, sha=str(place) * 64, facts=facts), tmp_path / "results")
    curves = read_curves(load_report_data(tmp_path / "results"), tmp_path / "results")
    assert dict(zip(curves.run, curves.value, strict=True)) == {
        "pre-training trained alone vit-w48-d4": 0.0,
        "pre-training trained alone vit-w64-d4": 1.0,
    }


def test_torn_lines_are_left_out_and_long_logs_thinned(tmp_path):
    log(tmp_path, [{"loss": float(step), "step": step} for step in range(5 * POINTS)], tail='{"loss": 1')
    curve = read_scalars(tmp_path)
    assert POINTS / 2 < len(curve) <= POINTS and curve.step.is_monotonic_increasing


def test_numbers_that_no_chart_can_show_are_left_out(tmp_path):
    """While fp16 training looks for its loss scale, gradient norms are infinite."""
    norms = [float("inf"), float("nan"), 1.5]
    log(tmp_path, [{"grad_norm": norm, "loss": 1.0, "step": step} for step, norm in enumerate(norms)])
    curves = read_scalars(tmp_path)
    assert curves.groupby("scalar").value.apply(list).to_dict() == {"grad_norm": [1.5], "loss": [1.0, 1.0, 1.0]}


def test_no_logs(tmp_path):
    write_result(made_result(), tmp_path)
    assert read_curves(load_report_data(tmp_path), tmp_path).empty


def test_names_of_older_logs_are_those_of_today(tmp_path):
    """A run that began before and went on after is one curve."""
    log(tmp_path / "before", [{"intact/global": 5.0, "elastic/same_local": 4.0, "knn/vit-w48-d4": 9.0, "step": 1}])
    log(tmp_path / "after", [{"intact_global": 3.0, "elastic_same_local": 2.0, "step": 2}])
    curves = read_scalars(tmp_path).groupby("scalar").value.apply(list).to_dict()
    assert curves == {"elastic_same_local": [4.0, 2.0], "intact_global": [5.0, 3.0], "knn/vit-w48-d4": [9.0]}
