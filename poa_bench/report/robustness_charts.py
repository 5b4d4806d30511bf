"""Accuracy on occluded and on shuffled pictures against how much of them was changed (as in the paper's Figure 5)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import cycle
from typing import Any

from poa_bench.report.figures import OURS, PIXELS_COLOUR, RANDOM_COLOURS, Spec, vega_text
from poa_bench.report.frame import PIXELS, ReportData
from poa_bench.report.tables import series_order

_CHANGES = {  # how the metrics of a protocol are named, and what is on its axis
    "occlusion": (re.compile(r"drop(\d+)_top1"), "patches that are black (%)", {"type": "linear"}),
    "shuffle": (re.compile(r"shuffle(\d+)x(\d+)_top1"), "tiles in another order", {"type": "log", "base": 2}),
}
_UNCHANGED = {"occlusion": 0, "shuffle": 1}


def robustness_points(data: ReportData) -> list[dict[str, Any]]:
    """The points of the curves: smallest, middle and largest size of each series, the largest one of controls.

    Returns:
        Records of `chart` (`occlusion`, `shuffle`, with what else its columns say), `change` (one of these two),
        `line`, `kind` (`ours`, `random`, `pixels`), `place` (percent of black patches, number of tiles; of unchanged
        pictures 0 and 1), `value` and, where they are known, `low` and `high`.
    """
    records = []
    for change, variant, places in _charts(data):
        for series in series_order(data):
            kind = "pixels" if series == PIXELS else "random" if series in data.controls else "ours"
            for spec in _drawn(data, series, list(places)):
                line = {"chart": change + variant, "change": change, "line": _name(data, series, spec), "kind": kind}
                records += [
                    line | {"place": place} | _known(data, series, spec, column) for column, place in places.items()
                ]
    return [record for record in records if "value" in record]


def _drawn(data: ReportData, series: str, columns: list[str]) -> list[str]:
    """The sizes of a series that have a line."""
    cells = [data.cell_groups[series, column] for column in columns if (series, column) in data.cell_groups]
    specs = list(cells[0].index) if cells else []
    wanted = {0, len(specs) // 2, len(specs) - 1} if series in data.pretrained else {len(specs) - 1}
    return [spec for place, spec in enumerate(specs) if place in wanted]


def _charts(data: ReportData) -> list[tuple[str, str, dict[str, int]]]:
    """What is changed, the rest of its columns' names, and the place on the axis of each column."""
    about = data.columns[data.columns.task == "robustness"]
    found = []
    for change, (pattern, _, _) in _CHANGES.items():
        for variant, metrics in about.metric.groupby(about.variant, sort=False):
            places = {}
            for column, metric in metrics.items():
                if match := pattern.fullmatch(metric):
                    numbers = [int(number) for number in match.groups()]
                    places[column] = numbers[0] if len(numbers) == 1 else numbers[0] * numbers[1]
            if places:
                clean = dict.fromkeys(metrics.index[metrics == "clean_top1"], _UNCHANGED[change])
                found.append((change, variant, dict(sorted((clean | places).items(), key=lambda item: item[1]))))
    return found


def _name(data: ReportData, series: str, spec: str) -> str:
    alone = series in data.pretrained and len(data.pretrained) == 1
    return spec if alone else f"{spec}, {series}" if spec else series


def _known(data: ReportData, series: str, spec: str, column: str) -> dict[str, float]:
    cells = data.cell_groups.get((series, column))
    if cells is None or spec not in cells.index:
        return {}
    values = dict(zip(("value", "low", "high"), cells.loc[spec, ["mean", "low", "high"]], strict=True))
    return {name: float(f"{value:.7g}") for name, value in values.items() if value == value}


def robustness_charts(points: list[dict[str, Any]]) -> dict[str, Spec]:
    """A chart for each protocol, by its name: accuracy over the share of black patches, or over the number of tiles."""
    return {name: _chart(name, points) for name in dict.fromkeys(point["chart"] for point in points)}


def _chart(name: str, points: list[dict[str, Any]]) -> Spec:
    own = [point for point in points if point["chart"] == name]
    _, title, scale = _CHANGES[own[0]["change"]]
    kinds = {point["line"]: point["kind"] for point in own}
    ticks = sorted({point["place"] for point in own})
    legend = {"title": None, "orient": "bottom", "labelLimit": 320, "columns": 1}
    colour = {"domain": list(kinds), "range": _colours(kinds.values())}
    encoding = {
        "x": {
            "field": "place",
            "type": "quantitative",
            "title": title,
            "scale": scale,
            "axis": {"values": ticks, "labelOverlap": "greedy", "format": "d"},
        },
        "color": {"field": "line", "scale": colour, "legend": legend},
    }
    value = {"field": "value", "type": "quantitative", "title": "top-1 accuracy (%)", "scale": {"zero": False}}
    said = [{"field": end, "title": f"{end} end (95 %)", "format": ".4~g"} for end in ("low", "high")]
    hover = [{"field": "line"}, {"field": "place", "title": title}, value | {"format": ".4~g"}, *said]
    whisker = {
        "transform": [{"filter": "isValid(datum.low)"}],
        "mark": {"type": "rule", "opacity": 0.35},
        "encoding": {"y": value | {"field": "low"}, "y2": {"field": "high"}},
    }
    line = {"mark": {"type": "line", "point": True}, "encoding": {"y": value, "tooltip": hover}}
    return {
        "title": {"text": name.split(" · ")},
        "data": {"name": "changed"},
        "transform": [{"filter": f"datum.chart == {vega_text(name)}"}],
        "encoding": encoding,
        "layer": [*([whisker] if any("low" in point for point in own) else []), line],
        "height": 280,
    }


def _colours(kinds: Iterable[str]) -> list[str]:
    """A colour for each line: pre-trained sizes, random networks and raw pixels as in the other charts."""
    left = {"ours": cycle(OURS), "random": cycle(RANDOM_COLOURS), "pixels": cycle([PIXELS_COLOUR])}
    return [next(left[kind]) for kind in kinds]
