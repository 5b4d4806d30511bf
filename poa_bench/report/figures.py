"""Charts as Vega-Lite specifications: one definition serves the page (interactive) and the files (SVG, PNG, PDF).

All charts of a report read the same named data sets (`ChartData.datasets`). Columns have short names (`s0` the first
score, `c0` the first cost, `g0` the gain in the first score); `scores` and `costs` map them to what people read.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from poa_bench.report.frame import PIXELS, RANDOM, ReportData, parse

OURS = ("#0072b2", "#009e73", "#cc79a7", "#56b4e9", "#d55e00")  # Okabe and Ito: told apart with any colour vision
CONTROLS = {RANDOM: "#e69f00", PIXELS: "#8a8a8a"}
HEAT_SIZES = 4  # fewer sizes make no map

Spec = dict[str, Any]


@dataclass(frozen=True, eq=False)
class ChartData:
    """What the charts read, see `poa_bench.report.chart_data`.

    Attributes:
        rows: one record per (series, size).
        pairs: records of `rank_correlation`, with `series`.
        curves: records of `read_curves`.
        scores, costs: short name -> title.
        series: names in order.
    """

    rows: list[dict[str, Any]]
    pairs: list[dict[str, Any]]
    curves: list[dict[str, Any]]
    scores: dict[str, str]
    costs: dict[str, str]
    series: list[str]

    @property
    def datasets(self) -> dict[str, list[dict[str, Any]]]:
        """The named data sets of a specification."""
        return {"rows": self.rows, "pairs": self.pairs, "curves": self.curves}


def finished(chart: Spec, data: ChartData | None, description: str) -> Spec:
    """The whole specification; with `data` it can be drawn alone."""
    spec = {"$schema": "https://vega.github.io/schema/vega-lite/v6.json", "description": description, **chart}
    spec["config"] = {
        "view": {"stroke": None},
        "font": "sans-serif",
        "axis": {"gridColor": "#8883", "domainColor": "#888", "tickColor": "#888"},
        "title": {"anchor": "start", "fontWeight": 600, "fontSize": 13},
        "background": "white" if data else "transparent",
    }
    return spec | ({"datasets": data.datasets} if data else {})


def score_against_cost(data: ChartData, chosen: tuple[str, str] | None = None) -> Spec:
    """Every size as a point, the Pareto front of each series as a line, raw pixels as a level.

    Args:
        chosen: short names of a score and a cost; by default the reader of the page chooses.
    """
    value = {"field": "y", "title": "score", "format": ".4~g"}
    x, y = _quantity("x", zero=False), _quantity("y", zero=False)
    colour = _colours(data, data.series)
    shape = {"field": "series", "scale": {"domain": data.series}}
    points = {
        "transform": [_KNOWN],
        "mark": {"type": "point", "filled": True, "size": 55, "opacity": 0.75},
        "encoding": {"x": x, "y": y, "color": colour, "shape": shape, "tooltip": _hover(data, value)},
    }
    front = {
        "transform": [_KNOWN, *_FRONT],
        "mark": {"type": "line", "interpolate": "step-after", "strokeWidth": 1.5},
        "encoding": {"x": x, "y": y, "color": colour, "order": {"field": "x"}},
    }
    level = {
        "transform": [{"filter": f"isValid(datum.y) && datum.series == '{PIXELS}'"}],
        "mark": {"type": "rule", "strokeDash": [5, 4]},
        "encoding": {"y": y, "color": colour, "tooltip": [{"field": "series"}, value]},
    }
    return _chosen_axes(data, chosen, "", "datum[{score}]") | {"layer": [level, front, points], "height": 340}


def gain_chart(data: ChartData, chosen: tuple[str, str] | None = None) -> Spec:
    """Pre-trained minus random initialisation at each size; the line at zero is where pre-training brings nothing.

    Args:
        chosen: short names of a score and a cost; by default the reader of the page chooses.
    """
    gain = {"field": "y", "title": "gain", "format": "+.4~g"}
    verdict = (
        "datum['k' + substring({score}, 1)] ? 'worst seed beats best random seed' : 'not beyond the spread of seeds'"
    )
    axes = _chosen_axes(data, chosen, "gain in ", "datum['g' + substring({score}, 1)]", verdict=verdict)
    points = {
        "transform": [_KNOWN],
        "mark": {"type": "point", "filled": True, "size": 55, "opacity": 0.8},
        "encoding": {
            "x": _quantity("x", zero=False),
            "y": {"field": "y", "type": "quantitative", "title": None, "scale": {"padding": 12}},
            "color": _colours(data, [name for name in data.series if name not in CONTROLS]),
            "shape": {"field": "verdict", "legend": _LEGEND | {"columns": 1}},
            "tooltip": _hover(data, gain, {"field": "verdict"}),
        },
    }
    zero = {"data": {"values": [{}]}, "mark": {"type": "rule", "color": "#888"}, "encoding": {"y": {"datum": 0}}}
    return axes | {"layer": [zero, points], "height": 280}


def heat_map(data: ChartData, series: str, score: str, family: str) -> Spec:
    """A score over width and depth; for ResNets, with two elastic stages, over both depths, one panel per width."""
    titles = _HEAT_AXES[family]
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
            "tooltip": _hover(data, value | {"title": data.scores[score], "format": ".4~g"}),
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
        "transform": [{"filter": f"datum.series == {_text(series)} && isValid(datum.{score})"}],
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
        if len(specs) >= HEAT_SIZES:
            maps.append((short, parse(specs[0]).family))
    return maps


def correlation_chart(series: str) -> Spec:
    """Spearman's rank correlation of every pair of tasks; the number of sizes is in the hover text."""
    rho = {"field": "rho", "type": "quantitative"}
    contrast = {"condition": {"test": "abs(datum.rho) > 0.7", "value": "#fff"}, "value": "#000"}
    return {
        "data": {"name": "pairs"},
        "transform": [{"filter": f"datum.series == {_text(series)} && isValid(datum.rho)"}],
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


def curve_chart(data: ChartData, scalar: str | None = None) -> Spec:
    """One logged scalar over the steps, a line per run; by default the reader of the page chooses the scalar."""
    scalars = sorted({row["scalar"] for row in data.curves})
    wanted = "scalar" if scalar is None else _text(scalar)
    legend = _LEGEND | {"columns": 1, "labelLimit": 400}
    chart = {
        "title": scalar or {"text": {"expr": "scalar"}},
        "data": {"name": "curves"},
        "transform": [{"filter": f"datum.scalar == {wanted}"}],
        "mark": {"type": "line", "point": True},
        "encoding": {
            "x": {"field": "step", "type": "quantitative"},
            "y": _quantity("value", zero=False),
            "color": {"field": "run", "scale": {"range": list(OURS)}, "legend": legend},
            "strokeDash": {"field": "run", "legend": legend},
            "tooltip": [{"field": "run"}, {"field": "step"}, {"field": "value"}],
        },
        "height": 280,
    }
    if scalar is None:
        first = "loss" if "loss" in scalars else scalars[0]
        chart["params"] = [_choice("scalar", dict(zip(scalars, scalars, strict=True)), first)]
    return chart


_HEAT_AXES = {
    "vit": {"width": "width", "depth_1": "depth"},
    "swin": {"width": "width", "depth_1": "depth of stage 3"},
    "resnet": {"depth_1": "depth of stage 2", "depth_2": "depth of stage 3"},
}
_LEGEND = {"title": None, "orient": "bottom", "labelLimit": 320, "columns": 2}
_KNOWN = {"filter": "isValid(datum.x) && isValid(datum.y)"}
_CHEAPEST_FIRST = {"groupby": ["series"], "sort": [{"field": "x"}, {"field": "y", "order": "descending"}]}
_FRONT = [  # as poa_bench.report.analysis.pareto_front
    {"window": [{"op": "max", "field": "y", "as": "best"}], "frame": [None, 0], **_CHEAPEST_FIRST},
    {"window": [{"op": "lag", "field": "best", "as": "before"}], **_CHEAPEST_FIRST},
    {"filter": "!isValid(datum.before) || datum.y > datum.before"},
]


def _chosen_axes(data: ChartData, chosen: tuple[str, str] | None, prefix: str, y: str, **more: str) -> Spec:
    """Data, title and the fields `x` (the cost), `y` and `more` for a fixed or a chosen pair of score and cost."""
    score, cost = (_text(name) for name in chosen) if chosen else ("score", "cost")
    fields = {"x": f"datum[{cost}]", "y": y, **more}
    calculated = [{"calculate": text.format(score=score), "as": name} for name, text in fields.items()]
    chart = {"data": {"name": "rows"}, "transform": calculated}
    if chosen:
        return chart | {"title": f"{prefix}{data.scores[chosen[0]]} ↑ against {data.costs[chosen[1]]} →"}
    parameters = [
        {"name": "titles", "value": data.scores | data.costs},
        _choice("score", data.scores, "s0"),
        _choice("cost", data.costs, "c0"),
    ]
    title = {"text": {"expr": f"'{prefix}' + titles[score] + ' ↑ against ' + titles[cost] + ' →'"}}
    return chart | {"params": parameters, "title": title}


def _choice(name: str, titles: dict[str, str], first: str) -> Spec:
    binding = {"input": "select", "options": list(titles), "labels": list(titles.values()), "name": name}
    return {"name": name, "value": first, "bind": binding}


def _quantity(field: str, zero: bool) -> Spec:
    return {"field": field, "type": "quantitative", "title": None, "scale": {"zero": zero}}


def _colours(data: ChartData, names: list[str]) -> Spec:
    ours = [name for name in data.series if name not in CONTROLS]
    colour = {name: OURS[place % len(OURS)] for place, name in enumerate(ours)} | CONTROLS
    return {"field": "series", "scale": {"domain": names, "range": [colour[name] for name in names]}, "legend": _LEGEND}


def _hover(data: ChartData, *more: Spec) -> list[Spec]:
    costs = [{"field": short, "title": title, "format": ".4~g"} for short, title in data.costs.items()]
    return [{"field": "spec", "title": "size"}, {"field": "series"}, *more, *costs]


def _text(value: str) -> str:
    """A string of Vega's expression language."""
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
