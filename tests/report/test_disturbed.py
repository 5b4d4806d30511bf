"""Latencies of a busy machine: marked in tables, charts, page and `pick`, not taken where there are quiet ones."""

import json
import re

import pytest

from poa_bench.cli import main
from poa_bench.report.build import write_report
from poa_bench.report.frame import load_report_data
from poa_bench.report.latex import latex_table
from poa_bench.report.pick import choose
from poa_bench.report.tables import narrow_table
from poa_bench.runs.results import Result, write_result
from tests.report.made import made_profile, made_result

SPECS = ("vit-w48-d4", "vit-w64-d4", "vit-w80-d4", "vit-w96-d4")
BUSY = {"vit-w64-d4": "batch 1: waited for a processor 60% of the time", "vit-w80-d4": "batch 32: waited"}
P50 = "latency_p50_ms_batch1"


def profile(spec, disturbed="", **changes):
    """A profile that waited, if `disturbed` says so."""
    made = made_profile(spec, **changes)
    values = made.model_dump(exclude={"run_id"})
    return Result(**{**values, "facts": {**made.facts, **({"disturbed": disturbed} if disturbed else {})}})


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Four sizes with a score that they all share; the second was profiled at batch 1 on a busy machine."""
    folder = tmp_path_factory.mktemp("busy") / "results"
    for spec in SPECS:
        write_result(made_result("knn", spec, metrics={"top1": 70.0}), folder)
        write_result(profile(spec, BUSY.get(spec, "")), folder)
    return folder


def test_only_the_batch_that_was_disturbed_is_marked(folder):
    data = load_report_data(folder)
    assert data.disturbed.any().to_dict() == {name: name.startswith("latency") for name in data.costs}
    assert list(data.disturbed[P50]) == [False, True, False, False]  # batch 32 is no column of this profile
    shown = narrow_table(data, ["knn top1"])["latency p50, batch 1 (ms)"]
    assert [text.endswith(" †") for text in shown] == [False, True, False, False] and shown.iloc[1] == "2.560 †"
    assert latex_table(data, "busy").count(r"$\dagger$") == 1


def test_report_page_and_figures_say_it(folder, tmp_path):
    write_report(folder, tmp_path)
    text = (tmp_path / "report.md").read_text()
    assert "Latencies with a dagger (1 of 4 rows; crossed in charts)" in text and "2.560 †" in text
    page = (tmp_path / "index.html").read_text()
    said = json.loads(re.search(r'<script[^>]*type="application/json"[^>]*>(.*?)</script>', page, re.S)[1])
    short = next(name for name, title in said["costs"].items() if title == "latency p50, batch 1 (ms)")
    busy = {row["spec"]: row.get(short.replace("c", "b")) for row in said["datasets"]["rows"]}
    assert busy == {spec: 1.0 if spec == "vit-w64-d4" else None for spec in SPECS} and "2.560 †" in page
    red = {name: (tmp_path / f"figures/score_against_{name}.svg").read_text().count("#c00") for name in (P50, "macs")}
    assert red == {P50: 1, "macs": 0}
    assert "crossed: on a busy machine" in (tmp_path / f"figures/score_against_{P50}.svg").read_text()


def test_a_quiet_measurement_of_the_same_network_comes_first(folder, tmp_path):
    for spec in SPECS:
        write_result(made_result("knn", spec), tmp_path)
        write_result(made_result("knn", spec, "random"), tmp_path)
        write_result(profile(spec, BUSY.get(spec, "")), tmp_path)
    quiet = profile("vit-w64-d4", initialisation="random", checkpoint=None, checkpoint_sha256=None)
    write_result(
        Result(**{**quiet.model_dump(exclude={"run_id"}), "metrics": {P50: 1.5}, "units": {P50: "ms"}}), tmp_path
    )
    data = load_report_data(tmp_path)
    assert set(data.costs[P50].xs("vit-w64-d4", level="spec")) == {1.5} and not data.disturbed[P50].any()


def test_pick_prefers_what_was_measured_on_a_quiet_machine(folder, capsys):
    """All four are equal: the cheapest by latency whose latency can be trusted; without a limit none is asked for."""
    limits = (10.0, "p50 batch1")
    assert choose(str(folder), "knn", None, {}, limits)["choice"].best.spec == "vit-w48-d4"
    group = choose(str(folder), "knn", None, {}, limits)["choice"].group
    assert list(group.spec) == ["vit-w48-d4", "vit-w80-d4", "vit-w96-d4", "vit-w64-d4"]
    assert list(choose(str(folder), "knn", None, {}, (None, "p50 batch1"))["choice"].group.spec) == list(SPECS)
    assert main(["pick", str(folder), "--task", "knn", "--max-latency-ms", "10"]) == 0
    assert "disturbed" not in capsys.readouterr().out


def test_pick_says_what_cannot_be_trusted(tmp_path, capsys):
    write_result(made_result("knn", "vit-w64-d4"), tmp_path)
    write_result(profile("vit-w64-d4", BUSY["vit-w64-d4"]), tmp_path)
    assert main(["pick", str(tmp_path), "--task", "knn"]) == 0
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("disturbed:")]
    assert "latency p50, batch 1 (ms), latency p95, batch 1 (ms): other work disturbed the measurement" in line
