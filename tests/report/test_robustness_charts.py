"""Curves over occlusion and shuffling: which points they have, and that they are drawn."""

from types import SimpleNamespace

import pytest

from poa_bench.report.build import write_report
from poa_bench.report.chart_data import chart_data
from poa_bench.report.figures import OURS, PIXELS_COLOUR, RANDOM_COLOURS
from poa_bench.report.frame import report_data
from poa_bench.report.robustness_charts import robustness_charts, robustness_points
from poa_bench.runs.results import Result, results_frame, write_result
from poa_bench.tasks.robustness import OcclusionProtocol, ShuffleProtocol
from tests.report.made import made_result

SPECS = ["vit-w48-d4", "vit-w48-d8", "vit-w64-d4", "vit-w96-d4", "vit-w96-d8"]
METRICS = {  # the names are those of the protocols; the k-th lies k below the accuracy on unchanged pictures
    protocol.name: [protocol.primary, "clean_top1", *protocol.groups(SimpleNamespace(image_size=224))]
    for protocol in (OcclusionProtocol(), ShuffleProtocol())
}


def robust(protocol, spec, initialisation="pretrained", level=0.0):
    made = made_result("linear", spec, initialisation).model_dump(exclude={"run_id", "units", "metrics"})
    metrics = {name: 80.0 + level - place for place, name in enumerate(METRICS[protocol])}
    return Result(**made | {"task": "robustness", "protocol": protocol, "metrics": metrics})


def every_result():
    for protocol in METRICS:
        for place, spec in enumerate(SPECS):
            yield robust(protocol, spec, level=place)
            yield robust(protocol, spec, "random", level=place - 30)
        yield robust(protocol, None, "pixels", level=-50)


@pytest.fixture(scope="module")
def data():
    return report_data(results_frame(list(every_result())))


def test_points_are_those_of_the_protocols_from_unchanged_pictures_on(data):
    points = robustness_points(data)
    lines = {}
    for point in points:
        lines.setdefault((point["change"], point["line"], point["kind"]), []).append((point["place"], point["value"]))
    largest = "vit-w96-d8"
    assert {line[1:] for line in lines} == {
        ("vit-w48-d4", "ours"),
        ("vit-w64-d4", "ours"),
        (largest, "ours"),
        (f"{largest}, random initialisation", "random"),
        ("raw pixels", "pixels"),
    }
    assert len(lines) == 10
    # clean pictures are the second metric, 10 to 90 % those from the third on
    expected = [(10 * place, 83.0 - place) for place in range(10)]
    assert lines["occlusion", largest, "ours"] == expected
    assert lines["occlusion", "raw pixels", "pixels"] == [(x, y - 54) for x, y in expected]
    tiles = [1, 4, 8, 16, 32, 64, 196, 256]
    assert lines["shuffle", largest, "ours"] == [(x, 83.0 - place) for place, x in enumerate(tiles)]


def test_a_chart_for_each_protocol_with_the_colours_of_the_others(data):
    charts = robustness_charts(robustness_points(data))
    assert list(charts) == [f"{name.split('-')[2]} · {name}" for name in METRICS]
    for chart in charts.values():
        assert chart["encoding"]["color"]["scale"]["range"] == [*OURS[:3], RANDOM_COLOURS[0], PIXELS_COLOUR]
    assert [chart["encoding"]["x"]["scale"]["type"] for chart in charts.values()] == ["linear", "log"]


def test_it_is_in_page_and_files_only_where_it_was_measured(data, tmp_path):
    for result in every_result():
        write_result(result, tmp_path / "in")
    write_report(tmp_path / "in", tmp_path / "out", also=["png"])
    assert {path.suffix for path in (tmp_path / "out" / "figures").glob("robustness.*")} == {".svg", ".png"}
    drawn = (tmp_path / "out" / "figures" / "robustness.svg").read_text(encoding="utf-8")
    assert "patches that are black (%)" in drawn and "tiles in another order" in drawn
    page = (tmp_path / "out" / "index.html").read_text(encoding="utf-8")
    assert page.count('<figure data-chart="robustness-') == 2 and "Occluded and shuffled pictures" in page
    assert not chart_data(report_data(results_frame([made_result()]))).changed
