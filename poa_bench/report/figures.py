"""Charts as Vega-Lite specifications: one definition serves the page (interactive) and the files (SVG, PNG, PDF).

All charts of a report read the same named data sets (see `chart_data`); columns have short names (`s0` the first score,
`c0` the first cost, `g0` the gain of the first score), and `titles` maps them to what people read.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import altair as alt
import pandas as pd

from poa_bench.report.analysis import gains, rank_correlation
from poa_bench.report.frame import PIXELS, RANDOM, ReportData, axes
from poa_bench.report.pick import checkpoints
from poa_bench.report.tables import cost_scale, cost_title, series_order

OURS = ("#0072b2", "#009e73", "#cc79a7", "#56b4e9", "#d55e00")  # Okabe and Ito: told apart with any colour vision
CONTROLS = {RANDOM: "#e69f00", PIXELS: "#8a8a8a"}


@dataclass(frozen=True)
class ChartData:
    """What the charts read.

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


def chart_data(data: ReportData, curves: pd.DataFrame | None = None) -> ChartData:
    """Gather the numbers of all charts once."""
    scores = {f"s{place}": name for place, name in enumerate(data.scores)}
    costs = {f"c{place}": name for place, name in enumerate(data.costs.columns)}
    table = data.costs / [cost_scale(name) for name in data.costs.columns]
    table.columns = list(costs)
    wide = data.wide()
    table = table.reindex(table.index.union(wide.index)).join(wide.set_axis(list(scores), axis=1))
    spread = data.wide("std").set_axis([name.replace("s", "e") for name in scores], axis=1)
    table = table.join(spread.dropna(axis=1, how="all"))
    for series in data.pretrained:
        for short, name in scores.items():
            table = _with_gains(table, short.replace("s", "g"), series, gains(data, series, name))
    table = table.join(checkpoints(data)).reset_index()
    table = table.merge(_shapes(table.spec), left_on="spec", right_index=True, how="left")
    pairs = [rank_correlation(data, series).assign(series=series) for series in data.pretrained]
    pairs = pd.concat(pairs) if pairs else pd.DataFrame()
    titles = {short: cost_title(name) for short, name in costs.items()}
    return ChartData(
        _records(table),
        _records(pairs),
        _records(curves) if curves is not None else [],
        scores,
        titles,
        series_order(data),
    )


def _with_gains(table: pd.DataFrame, name: str, series: str, gain: pd.DataFrame) -> pd.DataFrame:
    keyed = pd.concat({series: gain[["gain", "clear"]].astype(float)}, names=["series", "spec"])
    for column, source in ((name, "gain"), (name.replace("g", "k"), "clear")):
        values = keyed[source].reindex(table.index)
        table[column] = table[column].fillna(values) if column in table else values
    return table


def _shapes(specs: pd.Series) -> pd.DataFrame:
    return axes([spec for spec in specs.unique() if spec]).drop(columns=["depth", "stages"])


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows as JSON values, seven significant digits; what is missing is left out."""
    return [
        {
            name: float(f"{value:.7g}") if isinstance(value, float) else value
            for name, value in row.items()
            if pd.notna(value)
        }
        for row in table.to_dict("records")
    ]


def finished(chart: alt.TopLevelMixin, data: ChartData | None, description: str) -> dict[str, Any]:
    """The specification as plain JSON values; with `data` it can be drawn alone."""
    spec = chart.properties(description=description).to_dict(validate=False)
    spec["config"] = {
        "view": {"stroke": None},
        "font": "sans-serif",
        "axis": {"gridColor": "#8883", "domainColor": "#888", "tickColor": "#888"},
        "title": {"anchor": "start", "fontWeight": 600, "fontSize": 13},
        "background": "white" if data else "transparent",
    }
    if data:
        spec["datasets"] = data.datasets
    return spec


def _choice(name: str, label: str, titles: dict[str, str], chosen: str, fixed: bool) -> alt.Parameter:
    if fixed:
        return alt.param(name=name, value=chosen)
    options = alt.binding_select(options=list(titles), labels=list(titles.values()), name=label)
    return alt.param(name=name, value=chosen, bind=options)


def _colours(data: ChartData, names: list[str]) -> alt.Color:
    ours = [name for name in data.series if name not in CONTROLS]
    colour = {name: OURS[place % len(OURS)] for place, name in enumerate(ours)} | CONTROLS
    scale = alt.Scale(domain=names, range=[colour[name] for name in names])
    return alt.Color("series:N", scale=scale, legend=alt.Legend(title=None, orient="bottom", labelLimit=320, columns=2))


def _hover(data: ChartData, *more: alt.Tooltip) -> list[alt.Tooltip]:
    costs = [alt.Tooltip(f"{short}:Q", title=title, format=".4~g") for short, title in data.costs.items()]
    return [alt.Tooltip("spec:N", title="size"), alt.Tooltip("series:N"), *more, *costs]


def score_against_cost(data: ChartData, score: str = "s0", cost: str = "c0", fixed: bool = False) -> alt.LayerChart:
    """Every size as a point, the Pareto front of each series as a line, raw pixels as a level."""
    parameters = [
        alt.param(name="titles", value=data.scores | data.costs),
        _choice("score", "score", data.scores, score, fixed),
        _choice("cost", "cost", data.costs, cost, fixed),
    ]
    base = alt.Chart(alt.NamedData("rows")).transform_calculate(x="datum[cost]", y="datum[score]")
    sized = base.transform_filter("isValid(datum.x) && isValid(datum.y)")
    names = [name for name in data.series]
    x = alt.X("x:Q", title=None, scale=alt.Scale(zero=False, nice=True))
    y = alt.Y("y:Q", title=None, scale=alt.Scale(zero=False, nice=True))
    value = alt.Tooltip("y:Q", title="score", format=".4~g")
    points = sized.mark_point(filled=True, size=55, opacity=0.75).encode(
        x,
        y,
        _colours(data, names),
        alt.Shape("series:N", legend=None, scale=alt.Scale(domain=names)),
        tooltip=_hover(data, value),
    )
    ordered = {"groupby": ["series"], "sort": [alt.SortField("x"), alt.SortField("y", order="descending")]}
    front = (
        sized.transform_window(best="max(y)", frame=[None, 0], **ordered)
        .transform_window(before="lag(best)", **ordered)
        .transform_filter("!isValid(datum.before) || datum.y > datum.before")
        .mark_line(interpolate="step-after", strokeWidth=1.5)
        .encode(x, y, _colours(data, names), order="x:Q")
    )
    level = base.transform_filter(f"isValid(datum.y) && datum.series == '{PIXELS}'")
    level = level.mark_rule(strokeDash=[5, 4]).encode(y=y, color=_colours(data, names), tooltip=["series:N", value])
    title = alt.TitleParams(alt.ExprRef("titles[score] + ' ↑  against  ' + titles[cost] + ' →'"))
    return alt.layer(level, front, points).add_params(*parameters).properties(title=title, height=340)


def gain_chart(data: ChartData, score: str = "s0", cost: str = "c0", fixed: bool = False) -> alt.LayerChart:
    """Pre-trained minus random initialisation at each size; the line at zero is where pre-training brings nothing."""
    parameters = [
        alt.param(name="titles", value=data.scores | data.costs),
        _choice("score", "score", data.scores, score, fixed),
        _choice("cost", "cost", data.costs, cost, fixed),
    ]
    base = alt.Chart(alt.NamedData("rows")).transform_calculate(
        x="datum[cost]",
        y="datum['g' + substring(score, 1)]",
        verdict="datum['k' + substring(score, 1)] ? 'worst seed beats best random seed' : 'not beyond the spread of seeds'",
    )
    points = base.transform_filter("isValid(datum.x) && isValid(datum.y)")
    points = points.mark_point(filled=True, size=55, opacity=0.8).encode(
        alt.X("x:Q", title=None, scale=alt.Scale(zero=False)),
        alt.Y("y:Q", title=None),
        _colours(data, [name for name in data.series if name not in CONTROLS]),
        alt.Shape("verdict:N", legend=alt.Legend(title=None, orient="bottom", labelLimit=320, columns=1)),
        tooltip=_hover(data, alt.Tooltip("y:Q", title="gain", format="+.4~g"), alt.Tooltip("verdict:N")),
    )
    zero = alt.Chart(alt.InlineData([{}])).mark_rule(color="#888", strokeDash=[5, 4]).encode(y=alt.datum(0))
    title = alt.TitleParams(alt.ExprRef("'gain in ' + titles[score] + ' ↑  against  ' + titles[cost] + ' →'"))
    return alt.layer(zero, points).add_params(*parameters).properties(title=title, height=280)


def heat_map(data: ChartData, series: str, score: str, stages: int) -> alt.LayerChart | alt.FacetChart:
    """A score over width and depth; for two elastic stages over both depths, one panel per width."""
    base = alt.Chart(alt.NamedData("rows")) if stages == 1 else alt.Chart()
    x, y = ("width", "depth_1") if stages == 1 else ("depth_1", "depth_2")
    names = {"width": "width", "depth_1": "depth" if stages == 1 else "depth of stage 2", "depth_2": "depth of stage 3"}
    horizontal = alt.X(f"{x}:O", title=names[x], axis=alt.Axis(labelAngle=0, grid=False))
    vertical = alt.Y(f"{y}:O", title=names[y], sort="descending", axis=alt.Axis(grid=False))
    colour = alt.Color(f"{score}:Q", scale=alt.Scale(scheme="viridis"), legend=None)
    value = alt.Tooltip(f"{score}:Q", title=data.scores[score], format=".4~g")
    cells = base.mark_rect().encode(horizontal, vertical, colour, tooltip=_hover(data, value))
    known = [row[score] for row in data.rows if row["series"] == series and score in row]
    middle = (min(known) + max(known)) / 2
    text = base.mark_text(fontSize=9).encode(
        horizontal,
        vertical,
        alt.Text(f"{score}:Q", format=".3~g"),
        color=alt.when(f"datum.{score} > {middle}").then(alt.value("#000")).otherwise(alt.value("#fff")),
    )
    chosen = f"datum.series == {series!r} && isValid(datum.{score})"
    layers = alt.layer(cells, text)
    if stages == 1:
        return layers.transform_filter(chosen).properties(title=data.scores[score])
    panels = alt.layer(cells, text, data=alt.NamedData("rows")).transform_filter(chosen).properties(width=120)
    return panels.facet(column=alt.Column("width:O", title="width")).properties(title=data.scores[score])


def correlation_chart(series: str) -> alt.LayerChart:
    """Spearman's rank correlation of every pair of tasks; the number of sizes is in the hover text."""
    base = (
        alt.Chart(alt.NamedData("pairs"))
        .transform_filter(f"datum.series == {series!r}")
        .encode(
            alt.X("first:N", title=None, sort=None, axis=alt.Axis(labelAngle=-35, labelLimit=160)),
            alt.Y("second:N", title=None, sort=None, axis=alt.Axis(labelLimit=160)),
            tooltip=["first:N", "second:N", alt.Tooltip("rho:Q", format=".3f"), "sizes:Q"],
        )
    )
    scale = alt.Scale(scheme="blueorange", domain=[-1, 1])
    cells = (
        base.transform_filter("isValid(datum.rho)")
        .mark_rect()
        .encode(color=alt.Color("rho:Q", scale=scale, legend=None))
    )
    contrast = alt.when("abs(datum.rho) > 0.7").then(alt.value("#fff")).otherwise(alt.value("#000"))
    text = base.mark_text(fontSize=11).encode(text=alt.Text("rho:Q", format=".2f"), color=contrast)
    return alt.layer(cells, text)


def curve_chart(data: ChartData, scalar: str | None = None) -> alt.Chart:
    """One logged scalar over the steps, a line per run."""
    scalars = sorted({row["scalar"] for row in data.curves})
    chosen = scalar or next((name for name in scalars if name == "loss"), scalars[0])
    parameters = [_choice("scalar", "scalar", dict(zip(scalars, scalars, strict=True)), chosen, scalar is not None)]
    lines = alt.Chart(alt.NamedData("curves")).transform_filter("datum.scalar == scalar").mark_line()
    encoded = lines.encode(
        alt.X("step:Q"),
        alt.Y("value:Q", title=None, scale=alt.Scale(zero=False)),
        alt.Color(
            "run:N",
            scale=alt.Scale(range=list(OURS)),
            legend=alt.Legend(title=None, orient="bottom", columns=1, labelLimit=400),
        ),
        alt.StrokeDash("run:N", legend=None),
        tooltip=["run:N", "step:Q", "value:Q"],
    )
    return encoded.add_params(*parameters).properties(title=alt.TitleParams(alt.ExprRef("scalar")), height=280)
