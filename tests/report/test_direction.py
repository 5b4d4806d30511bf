"""Scores of which less is better: whatever the report says, shows or chooses goes by the direction of the metric."""

import json
import re
from datetime import timedelta

import pytest

from poa_bench.cli import main
from poa_bench.errors import InputError
from poa_bench.report.analysis import gains, standings
from poa_bench.report.build import write_report
from poa_bench.report.compare_words import comparison_text
from poa_bench.report.frame import load_report_data, signs
from poa_bench.report.latex import marked
from poa_bench.report.pick import choose, find_columns
from poa_bench.report.sentences import front_list, headline, payoff
from poa_bench.report.tables import size_table
from poa_bench.runs.results import Result, write_result
from poa_bench.tasks.measurement import ConfigMeasurement
from tests.report.made import made_result

PROTOCOL = "calibration-logreg-bins15/1"
# a task of nobody's but a config's, which says unit and direction
LANDMARKS = ConfigMeasurement(
    task="landmarks",
    protocol="heatmap-faces/1",
    dataset="faces",
    split="val",
    metrics={"rmse": "points/rmse", "delta1": "points/d1"},
    scale={"delta1": 100},
    units={"rmse": "px"},
    higher_is_better={"rmse": False},
)
ERRORS = {"vit-w48-d4": 9.0, "vit-w64-d4": 3.0, "vit-w80-d4": 6.0, "vit-w96-d4": 4.0}  # best: the second smallest
RANDOM = {"vit-w48-d4": 8.0, "vit-w64-d4": 20.0, "vit-w80-d4": 21.0, "vit-w96-d4": 22.0}
PIXELS = 5.0


def calibration(spec, start, value, seed=0, **changes):
    made = made_result("knn", spec, start, seed=seed, **changes)
    metrics = {"ece": value + seed / 100, "nll": value / 10}
    return changed(made, task="calibration", protocol=PROTOCOL, metrics=metrics, units={"ece": "%", "nll": "nats"})


def landmarks(spec, start, value, seed=0, **changes):
    made = made_result("knn", spec, start, seed=seed, **changes)
    recorded = LANDMARKS.recorded({"points/rmse": value + seed / 100, "points/d1": 0.5})
    return changed(made, task="landmarks", protocol=LANDMARKS.protocol, dataset=LANDMARKS.dataset, **recorded)


def changed(made: Result, **values) -> Result:
    """Another result, with an id of its own."""
    return Result(**{**made.model_dump(exclude={"run_id"}), **values})


@pytest.fixture(
    scope="module", params=[("calibration", "ece", calibration), ("landmarks", "rmse", landmarks)], ids=lambda p: p[0]
)
def kind(request):
    """(task, metric, maker of results): less is better by the registered task, or by the config's word alone."""
    return request.param


@pytest.fixture(scope="module")
def column(kind):
    return f"{kind[0]} {kind[1]}"


@pytest.fixture(scope="module")
def folder(kind, tmp_path_factory):
    """Four sizes with controls and two seeds each, whose noise is small."""
    folder, make = tmp_path_factory.mktemp("less") / "results", kind[2]
    for seed in (0, 1):
        for spec, value in ERRORS.items():
            write_result(make(spec, "pretrained", value, seed), folder)
            write_result(make(spec, "random", RANDOM[spec], seed), folder)
        write_result(make(None, "pixels", PIXELS, seed), folder)
    return folder


@pytest.fixture(scope="module")
def data(folder):
    return load_report_data(folder)


def test_the_lowest_is_the_best_and_controls_are_beaten_from_below(data, column):
    (series,) = data.pretrained
    text = headline(data, series, column)
    assert "vit-w64-d4" in text and "the best of 4 sizes" in text and "below raw pixels (5.0" in text
    kinds = {spec: found.kind for spec, found in standings(data, series, column).items()}
    # the smallest is worse than both controls, the third is worse than raw pixels
    assert kinds == dict(zip(ERRORS, ("controls", "above", "controls", "above"), strict=True))


def test_a_gain_is_a_lower_error(data, column):
    table = gains(data, data.pretrained[0], column)
    assert table.gain.to_dict() == pytest.approx({spec: RANDOM[spec] - ERRORS[spec] for spec in ERRORS})
    assert table.clear.to_dict() == {spec: spec != "vit-w48-d4" for spec in ERRORS}
    (sentence,) = payoff(data)
    assert "it does NOT pay off at vit-w48-d4" in sentence and "NOT below raw pixels" in sentence


def test_the_front_falls(data, column):
    front = [line.split(":")[0] for line in front_list(data, column, "parameters")]
    assert front == ["vit-w48-d4", "vit-w64-d4"]


def test_pick_takes_the_lowest_and_says_what_a_cheaper_one_loses(folder, kind, capsys):
    choice = choose(str(folder), kind[0], None, {}, (None, "p50 batch1"))["choice"]
    assert choice.best.spec == "vit-w64-d4" and choice.runner_up.spec == "vit-w96-d4"
    assert main(["pick", str(folder), "--task", kind[0]]) == 0
    assert re.search(r"next cheaper: +vit-w48-d4 loses 6.00", capsys.readouterr().out)


def test_bold_is_the_lowest(data, column):
    table = size_table(data)
    bold = table["size"][marked(data, column, table)]
    assert list(bold) == ["vit-w64-d4"]


def test_compare_says_who_is_lower(folder, kind, tmp_path):
    for seed in (0, 1):
        for spec, value in ERRORS.items():
            other = {"sha": "b" * 64, "checkpoint": "work_dirs/other/epoch_1.pth"}
            write_result(kind[2](spec, "pretrained", value - 2, seed, **other), tmp_path / "other")
    text = comparison_text([str(folder), str(tmp_path / "other")])
    assert "other is ahead of results at 4 of 4 common sizes" in text


def test_the_page_and_its_charts_know_the_direction(folder, tmp_path):
    write_report(folder, tmp_path, "less")
    page = (tmp_path / "index.html").read_text()
    said = json.loads(re.search(r'<script[^>]*type="application/json"[^>]*>(.*?)</script>', page, re.S)[1])
    assert said["signs"]["s0"] == -1
    chart = said["specs"]["score"] if "score" in said["specs"] else next(iter(said["specs"].values()))
    arrows = {item["name"]: item["value"] for item in chart["params"] if "value" in item}["arrows"]
    assert arrows["s0"] == "\u2193"


def test_the_report_says_unit_and_direction_where_they_are_unusual(folder, kind, tmp_path):
    write_report(folder, tmp_path, with_figures=False)
    (line,) = [
        line for line in (tmp_path / "report.md").read_text().splitlines() if line.startswith(f"- **{kind[0]}**")
    ]
    expected = {
        "calibration": " `ece`: less is better. `nll`: nats, less is better.",
        "landmarks": " `rmse`: px, less is better.",
    }
    assert line.endswith(expected[kind[0]])


def test_an_older_table_without_directions_is_read(data, kind):
    older = data.long.drop(columns=["sign"])
    assert signs(older).unique().tolist() == ([-1] if kind[0] == "calibration" else [1])  # all that the registry knows


def test_the_newest_result_says_the_direction(kind, tmp_path):
    """A config that was corrected without a new version of its protocol."""
    made = kind[2]("vit-w48-d4", "pretrained", 5.0, seed=0), kind[2]("vit-w48-d4", "pretrained", 5.0, seed=1)
    write_result(changed(made[0], higher_is_better={kind[1]: True}), tmp_path)
    later = made[1].created + timedelta(days=1)
    write_result(changed(made[1], higher_is_better={kind[1]: None}, created=later), tmp_path)
    assert load_report_data(tmp_path).columns.sign[f"{kind[0]} {kind[1]}"] == 0


def test_what_has_no_better_side_is_not_chosen(tmp_path):
    for spec, alpha in (("vit-w48-d4", 0.8), ("vit-w64-d4", 1.2)):
        metrics = {"rankme_share": 50.0, "alpha_req": alpha}
        rank = {"task": "rank", "protocol": "rank-n25600/1", "units": {"rankme_share": "%"}, "metrics": metrics}
        write_result(changed(made_result("knn", spec), **rank), tmp_path)
        write_result(changed(made_result("knn", spec, "random"), **rank), tmp_path)
    data = load_report_data(tmp_path)
    assert gains(data, data.pretrained[0], "rank alpha_req").gain.isna().all()
    assert find_columns(data, "rank", "alpha_req") == ["rank alpha_req"]
    with pytest.raises(InputError, match="neither more nor less of rank alpha_req is better"):
        choose(str(tmp_path), "rank", "alpha_req", {}, (None, "p50 batch1"))
