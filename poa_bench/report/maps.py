"""Charts of coloured cells: a score over width and depth, and the rank correlation between tasks."""

from __future__ import annotations

from poa_bench.report.figures import ChartData, Spec, hover, vega_text
from poa_bench.report.frame import ReportData, parse

HEAT_SIZES = 4  # fewer sizes make no map
_ONE_DEPTH = {"width": "width", "depth_1": "depth"}
_TWO_DEPTHS = {"depth_1": "first depth", "depth_2": "last depth"}
_STAGES = {  # names of the same, where they say more
    "swin": {"width": "width", "depth_1": "depth of stage 3"},
    "resnet": {"depth_1": "depth of stage 2", "depth_2": "depth of stage 3"},
}


def heat_map(data: ChartData, series: str, score: str, family: str) -> Spec:
    """A score over width and depth; with several elastic stages (ResNet) over two depths, one panel per width."""
    several = any(row["depth_1"] != row["depth_2"] for row in data.rows if row["series"] == series)
    titles = _STAGES.get(family, _TWO_DEPTHS if several else _ONE_DEPTH)
    x, y = titles
    known = [row[score] for row in data.rows if row["series"] == series and score in row]
    middle = (min(known) + max(known)) / 2
    place = {
        "x": {"field": x, "type": "ordinal", "title": titles[x], "axis": {"labelAngle": 0}},
        "y": {"field": y, "type": "ordinal", "title": titles[y], "sort": "descending"},
    }
    value = {"field": score, "type": "quantitative"}
    cells = {
        "mark": "rect",
        "encoding": {
            "color": value | {"scale": {"scheme": "viridis"}, "legend": None},
            "tooltip": hover(data, value | {"title": data.scores[score], "format": ".4~g"}),
        },
    }
    contrast = {"condition": {"test": f"datum.{score} > {middle}", "value": "#000"}, "value": "#fff"}
    text = {
        "mark": {"type": "text", "fontSize": 9},
        "encoding": {"text": value | {"format": ".3~g"}, "color": contrast},
    }
    chart = {
        "title": data.scores[score],
        "data": {"name": "rows"},
        "transform": [{"filter": f"datum.series == {vega_text(series)} && isValid(datum.{score})"}],
    }
    panel = {"encoding": place, "layer": [cells, text], "height": {"step": 22}}
    if "width" in titles:
        return chart | panel
    return chart | {"facet": {"column": {"field": "width", "title": "width"}}, "spec": panel | {"width": 110}}


def mapped(data: ReportData, drawn: ChartData, series: str) -> list[tuple[str, str]]:
    """(short name of a primary score, family) of each heat map that a series has enough sizes for."""
    maps = []
    for short, name in drawn.scores.items():
        specs = data.wide()[name].xs(series).dropna().index if name in data.primaries else []
        if len(specs) >= HEAT_SIZES and series not in data.outside:
            maps.append((short, parse(specs[0]).family))
    return maps


def correlation_chart(series: str) -> Spec:
    """Spearman's rank correlation of every pair of tasks; the number of sizes is in the hover text."""
    rho = {"field": "rho", "type": "quantitative"}
    contrast = {"condition": {"test": "abs(datum.rho) > 0.7", "value": "#fff"}, "value": "#000"}
    return {
        "data": {"name": "pairs"},
        "transform": [{"filter": f"datum.series == {vega_text(series)} && isValid(datum.rho)"}],
        "encoding": {
            "x": {"field": "first", "title": None, "sort": None, "axis": {"labelAngle": -35, "labelLimit": 160}},
            "y": {"field": "second", "title": None, "sort": None, "axis": {"labelLimit": 160}},
            "tooltip": [{"field": "first"}, {"field": "second"}, rho | {"format": ".3f"}, {"field": "sizes"}],
        },
        "layer": [
            {
                "mark": "rect",
                "encoding": {"color": rho | {"legend": None, "scale": {"scheme": "blueorange", "domain": [-1, 1]}}},
            },
            {"mark": {"type": "text"}, "encoding": {"text": rho | {"format": ".2f"}, "color": contrast}},
        ],
    }
