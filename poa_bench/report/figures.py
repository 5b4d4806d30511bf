"""Charts as Vega-Lite specifications: one definition serves the page (interactive) and the files (SVG, PNG, PDF).

All charts of a report read the same named data sets (`ChartData.datasets`). Columns have short names (`s0` the first
score, `c0` the first cost, `g0` the gain in the first score); `scores` and `costs` map them to what people read.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from poa_bench.report.frame import PIXELS
from poa_bench.report.marks import crosses, whiskers

OURS = ("#0072b2", "#009e73", "#cc79a7", "#56b4e9", "#d55e00")  # Okabe and Ito: told apart with any colour vision
RANDOM_COLOURS = ("#e69f00", "#b37400", "#f0e442")  # several where random networks have several architectures
PIXELS_COLOUR = "#8a8a8a"
LEAST_SHARE = 0.2
PUBLISHED = ("published: POA", "published: other methods")

Spec = dict[str, Any]


@dataclass(frozen=True, eq=False)
class ChartData:
    """What the charts read, see `poa_bench.report.chart_data`.

    Attributes:
        rows: one record per (series, size).
        pairs: records of `rank_correlation`, with `series`.
        curves: records of `read_curves`.
        changed: records of `robustness_points`.
        published: records of `published_points`.
        scores, costs: short name -> title.
        worth: what scores are worth, in words.
        signs: short name of a score -> 1 where more is better, -1 where less is, else 0.
        series: names in order.
        random: those of them that are random networks.
    """

    rows: list[dict[str, Any]]
    pairs: list[dict[str, Any]]
    curves: list[dict[str, Any]]
    changed: list[dict[str, Any]]
    published: list[dict[str, Any]]
    scores: dict[str, str]
    costs: dict[str, str]
    worth: list[str]
    signs: dict[str, int]
    series: list[str]
    random: list[str]

    @property
    def controls(self) -> list[str]:
        """The series that are no pre-trained networks."""
        return [name for name in self.series if name in self.random or name == PIXELS]

    @property
    def ours(self) -> list[str]:
        """The series that are pre-trained networks."""
        return [name for name in self.series if name not in self.controls]

    @property
    def datasets(self) -> dict[str, list[dict[str, Any]]]:
        """The named data sets of a specification."""
        return {name: getattr(self, name) for name in ("rows", "pairs", "curves", "changed", "published")}


def finished(chart: Spec, data: ChartData | None, description: str) -> Spec:
    """The whole specification; with `data` it can be drawn alone."""
    spec = {"$schema": "https://vega.github.io/schema/vega-lite/v6.json", "description": description, **chart}
    spec["config"] = {
        "view": {"stroke": None},
        "font": "sans-serif",
        "axis": {"gridColor": "#8883", "domainColor": "#888", "tickColor": "#888"},
        "title": {"anchor": "start", "fontWeight": 600, "fontSize": 13},
        "legend": {"layout": {"bottom": {"anchor": "start", "direction": "vertical"}}},  # beside each other: cut off
        "background": "white" if data else "transparent",
    }
    return spec | ({"datasets": data.datasets} if data else {})


def score_against_cost(data: ChartData, chosen: tuple[str, str] | None = None) -> Spec:
    """Every size as a point, the Pareto front of each series as a line, raw pixels as a level, published values hollow.

    Lower controls that would leave the pre-trained sizes a small part of the axis are left out; the page can show them.

    Args:
        chosen: short names of a score and a cost; by default the reader of the page chooses.
    """
    shown = controls_fit(data, chosen[0] if chosen else "s0")
    measured = {row["series"] for row in data.rows if chosen is None or chosen[0] in row}
    names = [name for name in data.series if name in measured and (shown or not chosen or name in data.ours)]
    x, y = _quantity("x", zero=False), _quantity("y", zero=False)
    more = {end: f"datum['{end[0]}' + substring({{score}}, 1)]" for end in ("low", "high")}
    more |= {"better": "datum[{score}] * {sign}", "busy": "datum['b' + substring({cost}, 1)]"}
    chart = _chosen_axes(data, chosen, "", "datum[{score}]", **more)
    published = any(chosen is None or chosen[0] in row for row in data.published)
    layers = [_published_layer(chart["transform"], x, y)] if published else []
    layers += _measured_layers(data, names, x, y)
    without = {"filter": f"indexof([{', '.join(map(vega_text, data.controls))}], datum.series) < 0"}
    if chosen is None and not set(data.controls).isdisjoint(names):
        box = {"name": "controls", "value": shown, "bind": {"input": "checkbox", "name": "show controls"}}
        chart["params"] = [*chart["params"], box]
        chart["transform"] = [*chart["transform"], {"filter": f"controls || {without['filter']}"}]
    elif not shown:
        chart["transform"] = [*chart["transform"], without]
    # each layer with a legend of its own: filled and hollow marks cannot share one
    resolve = {"scale": {"color": "independent", "shape": "independent"}}
    return chart | {"layer": layers, "height": 340, "resolve": resolve}


def controls_fit(data: ChartData, score: str) -> bool:
    """Whether the axis of a score can show the controls and still give the pre-trained sizes `LEAST_SHARE` of it.

    Controls that are as good as any of these sizes are never left out.
    """
    every = [row[score] for row in data.rows if score in row]
    ours = [row[score] for row in data.rows if score in row and row["series"] in data.ours]
    controls = [row[score] for row in data.rows if score in row and row["series"] in data.controls]
    sign = data.signs[score]
    if ours and controls and max(sign * value for value in controls) >= min(sign * value for value in ours):
        return True
    return len(ours) < 2 or max(ours) - min(ours) >= LEAST_SHARE * (max(every) - min(every))


def _measured_layers(data: ChartData, names: list[str], x: Spec, y: Spec) -> list[Spec]:
    value = {"field": "y", "title": "score", "format": ".4~g"}
    interval = [{"field": end, "title": f"{end} end (95 %)", "format": ".4~g"} for end in ("low", "high")]
    colour = _colours(data, names)
    shape = {"field": "series", "scale": {"domain": names}, "legend": _LEGEND}
    unnamed = colour | {"legend": None}
    points = {
        "transform": [_KNOWN],
        "mark": {"type": "point", "filled": True, "size": 55, "opacity": 0.75},
        "encoding": {"x": x, "y": y, "color": colour, "shape": shape, "tooltip": hover(data, value, *interval)},
    }
    front = {
        "transform": [_KNOWN, *_FRONT],
        "mark": {"type": "line", "interpolate": "step-after", "strokeWidth": 1.5},
        "encoding": {"x": x, "y": y, "color": unnamed, "order": {"field": "x"}},
    }
    level = {
        "transform": [{"filter": f"isValid(datum.y) && datum.series == '{PIXELS}'"}],
        "mark": {"type": "rule", "strokeDash": [5, 4]},
        "encoding": {"y": y, "color": unnamed, "tooltip": [{"field": "series"}, value]},
    }
    ours = f"indexof([{', '.join(map(vega_text, data.ours))}], datum.series) >= 0"
    below = [*([level] if PIXELS in names else []), *whiskers(data.rows, _KNOWN, x, y, unnamed, ours)]
    return [*below, front, points, *crosses(data.rows, _KNOWN, x, y)]


def _published_layer(calculated: list[Spec], x: Spec, y: Spec) -> Spec:
    """Hollow marks in the colour of the text, below ours: values of others, which take no part in Pareto fronts."""
    value = {"field": "y", "title": "published score", "format": ".4~g"}
    said = [{"field": name} for name in ("protocol", "epochs", "source")]
    return {
        "data": {"name": "published"},
        "transform": [*calculated, _KNOWN],
        "mark": {"type": "point", "filled": False, "size": 45, "strokeWidth": 1, "stroke": "currentColor"},
        "encoding": {
            "x": x,
            "y": y,
            "shape": {
                "field": "series",
                "scale": {"domain": list(PUBLISHED), "range": ["diamond", "triangle-down"]},
                "legend": _LEGEND | {"symbolStrokeColor": "currentColor", "symbolFillColor": "transparent"},
            },
            "tooltip": [{"field": "spec", "title": "size"}, {"field": "method"}, value, *said],
        },
    }


def gain_chart(data: ChartData, chosen: tuple[str, str] | None = None) -> Spec:
    """Pre-trained minus random initialisation at each size; the line at zero is where pre-training brings nothing.

    Args:
        chosen: short names of a score and a cost; by default the reader of the page chooses.
    """
    gain = {"field": "y", "title": "gain", "format": "+.4~g"}
    known = "datum['k' + substring({score}, 1)]"
    verdict = f"!isValid({known}) ? 'noise unknown' : {known} ? 'more than noise' : 'within the noise, or no gain'"
    axes = _chosen_axes(data, chosen, "gain in ", "datum['g' + substring({score}, 1)]", verdict=verdict)
    points = {
        "transform": [_KNOWN],
        "mark": {"type": "point", "filled": True, "size": 55, "opacity": 0.8},
        "encoding": {
            "x": _quantity("x", zero=False),
            "y": {"field": "y", "type": "quantitative", "title": None, "scale": {"padding": 12}},
            "color": _colours(data, data.ours),
            "shape": {"field": "verdict", "legend": _LEGEND | {"columns": 1, "symbolFillColor": "#888"}},
            "tooltip": hover(data, gain, {"field": "verdict"}),
        },
    }
    zero = {"data": {"values": [{}]}, "mark": {"type": "rule", "color": "#888"}, "encoding": {"y": {"datum": 0}}}
    return axes | {"layer": [zero, points], "height": 280}


def curve_chart(data: ChartData, scalar: str | None = None) -> Spec:
    """One logged scalar over the steps, a line per run; by default the reader of the page chooses the scalar."""
    scalars = sorted({row["scalar"] for row in data.curves})
    wanted = "scalar" if scalar is None else vega_text(scalar)
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
            "strokeDash": {"field": "run", "scale": {"range": _DASHES}, "legend": legend},
            "tooltip": [{"field": "run"}, {"field": "step"}, {"field": "value"}],
        },
        "height": 280,
    }
    if scalar is None:
        first = "loss" if "loss" in scalars else scalars[0]
        chart["params"] = [_choice("scalar", dict(zip(scalars, scalars, strict=True)), first)]
    return chart


_ARROWS = {1: "↑", -1: "↓", 0: ""}  # where better scores lie
_DASHES = [[1, 0], [6, 2], [2, 2], [8, 2, 2, 2]]  # four, and five colours: twenty lines are told apart
_LEGEND = {"title": None, "orient": "bottom", "labelLimit": 320, "columns": 2}
_KNOWN = {"filter": "isValid(datum.x) && isValid(datum.y)"}
_CHEAPEST_FIRST = {"groupby": ["series"], "sort": [{"field": "x"}, {"field": "better", "order": "descending"}]}
_FRONT = [  # as poa_bench.report.analysis.pareto_front
    {"window": [{"op": "max", "field": "better", "as": "best"}], "frame": [None, 0], **_CHEAPEST_FIRST},
    {"window": [{"op": "lag", "field": "best", "as": "before"}], **_CHEAPEST_FIRST},
    {"filter": "!isValid(datum.before) || datum.better > datum.before"},
]


def _chosen_axes(data: ChartData, chosen: tuple[str, str] | None, prefix: str, y: str, **more: str) -> Spec:
    """Data, title and the fields `x` (the cost), `y` and `more` for a fixed or a chosen pair of score and cost."""
    score, cost = (vega_text(name) for name in chosen) if chosen else ("score", "cost")
    fields = {"x": f"datum[{cost}]", "y": y, **more}
    sign = data.signs[chosen[0]] if chosen else "signs[score]"
    calculated = [
        {"calculate": text.format(score=score, cost=cost, sign=sign), "as": name} for name, text in fields.items()
    ]
    chart = {"data": {"name": "rows"}, "transform": calculated}
    arrows = {name: _ARROWS[1 if prefix else place] for name, place in data.signs.items()}  # more gain is better
    if chosen:
        title = [f"{prefix}{data.scores[chosen[0]]} {arrows[chosen[0]]}", f"against {data.costs[chosen[1]]} →"]
        crossed = any(row.get(chosen[1].replace("c", "b")) and chosen[0] in row for row in data.rows)
        subtitle = {"subtitle": "crossed: on a busy machine, too high"} if crossed and "busy" in more else {}
        return chart | {"title": {"text": title, **subtitle}}
    parameters = [
        {"name": "titles", "value": data.scores | data.costs},
        {"name": "signs", "value": data.signs},
        {"name": "arrows", "value": arrows},
        _choice("score", data.scores, "s0"),
        _choice("cost", data.costs, "c0"),
    ]
    # two lines: a phone is narrow
    lines = f"['{prefix}' + titles[score] + ' ' + arrows[score], 'against ' + titles[cost] + ' →']"
    return chart | {"params": parameters, "title": {"text": {"expr": lines}}}


def _choice(name: str, titles: dict[str, str], first: str) -> Spec:
    binding = {"input": "select", "options": list(titles), "labels": list(titles.values()), "name": name}
    return {"name": name, "value": first, "bind": binding}


def _quantity(field: str, zero: bool) -> Spec:
    return {"field": field, "type": "quantitative", "title": None, "scale": {"zero": zero, "padding": 6}}


def _colours(data: ChartData, names: list[str]) -> Spec:
    colour = {PIXELS: PIXELS_COLOUR}
    for group, colours in ((data.ours, OURS), (data.random, RANDOM_COLOURS)):
        colour |= {name: colours[place % len(colours)] for place, name in enumerate(group)}
    return {"field": "series", "scale": {"domain": names, "range": [colour[name] for name in names]}, "legend": _LEGEND}


def hover(data: ChartData, *more: Spec) -> list[Spec]:
    costs = [{"field": short, "title": title, "format": ".4~g"} for short, title in data.costs.items()]
    return [{"field": "spec", "title": "size"}, {"field": "series"}, *more, *costs]


def vega_text(value: str) -> str:
    """A string of Vega's expression language."""
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
