"""Figures as files: the page's charts as SVG, on request as PNG and PDF, small multiples in place of choices."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import vl_convert

from poa_bench.files import atomic_path, file_name
from poa_bench.report import figures, maps, tables
from poa_bench.report.frame import ReportData
from poa_bench.report.robustness_charts import robustness_charts

_WIDTH = 320
_PNG_SCALE = 2.0
_FROM_SVG = {
    "svg": str.encode,
    "png": lambda svg: vl_convert.svg_to_png(svg, scale=_PNG_SCALE),
    "pdf": vl_convert.svg_to_pdf,
}


def write_figures(data: ReportData, drawn: figures.ChartData, folder: Path, endings: Sequence[str]) -> list[Path]:
    """Write every figure of a report below `folder`, once for each ending (`svg`, `png`, `pdf`)."""
    written = []
    for name, chart, description in figure_charts(data, drawn):
        svg = vl_convert.vegalite_to_svg(figures.finished(chart, drawn, description))
        for ending in endings:
            path = folder / f"{file_name(name)}.{ending}"
            with atomic_path(path) as temporary:
                temporary.write_bytes(_FROM_SVG[ending](svg))
            written.append(path)
    return written


def figure_charts(data: ReportData, drawn: figures.ChartData) -> Iterator[tuple[str, figures.Spec, str]]:
    """(file name without ending, chart, description) of each figure that the results have the numbers for."""
    primaries = [short for short, name in drawn.scores.items() if name in data.primaries]
    shorts = dict(zip(data.costs.columns, drawn.costs, strict=True))
    for cost in tables.main_costs(data) if data.pretrained else ():
        panels = [figures.score_against_cost(drawn, (score, shorts[cost])) for score in primaries]
        yield f"score_against_{cost}".replace(" ", "_"), _grid(panels), f"Scores against {cost}, with Pareto fronts."
    gained = [score for score in primaries if any(score.replace("s", "g") in row for row in drawn.rows)]
    if gained:
        panels = [figures.gain_chart(drawn, (score, shorts["parameters"])) for score in gained]
        yield "gain_against_parameters", _grid(panels), "Gain of pre-training over random initialisation."
    if drawn.changed:
        panels = list(robustness_charts(drawn.changed).values())
        yield "robustness", _grid(panels, own_colours=True), "Accuracy on occluded and on shuffled pictures."
    for place, series in enumerate(data.pretrained):
        yield from _maps(data, drawn, series, f"_{place + 1}" if len(data.pretrained) > 1 else "")
    if any(row["scalar"] == "loss" for row in drawn.curves):
        yield "learning_curves", figures.curve_chart(drawn, "loss") | {"width": 2 * _WIDTH}, "Training loss over steps."


def _maps(
    data: ReportData, drawn: figures.ChartData, series: str, suffix: str
) -> Iterator[tuple[str, figures.Spec, str]]:
    panels = [maps.heat_map(drawn, series, short, family) for short, family in maps.mapped(data, drawn, series)]
    if panels:
        yield f"width_and_depth{suffix}", _grid(panels, own_colours=True), f"Scores of {series} over width and depth."
    if len(panels) > 1:
        chart = maps.correlation_chart(series) | {"width": _WIDTH}
        yield f"rank_correlation{suffix}", chart, f"Rank correlation between the tasks over the sizes of {series}."


def _grid(panels: list[figures.Spec], own_colours: bool = False) -> figures.Spec:
    sized = [panel if "facet" in panel else panel | {"width": _WIDTH} for panel in panels]
    scale = {"color": "independent"} if own_colours else {}
    return {"concat": sized, "columns": 2, "resolve": {"scale": scale}}
