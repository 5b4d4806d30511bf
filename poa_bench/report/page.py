"""The HTML page: one file that holds its data, its libraries and its styles."""

from __future__ import annotations

import json
import re
from itertools import product
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd
import vl_convert
from markupsafe import Markup, escape

from poa_bench.report import figures, maps, sentences, tables
from poa_bench.report.analysis import gains, rank_correlation
from poa_bench.report.frame import ReportData
from poa_bench.report.markdown import inline, table
from poa_bench.report.page_values import page_values
from poa_bench.report.published import FIELDS, beside, read_published
from poa_bench.report.robustness_charts import robustness_charts

FRONT_IN_CAPTION = 10  # sizes; more are read better as a list
ASSETS = Path(__file__).with_name("assets")
TEMPLATES = Path(__file__).with_name("templates")
SECTIONS = {
    "summary": "Summary",
    "pick": "Pick a size",
    "cost": "Accuracy and cost",
    "ties": "Which sizes tie?",
    "sizes": "Every size",
    "heat": "Width and depth",
    "controls": "Does pre-training pay?",
    "galleries": "What the numbers mean",
    "correlation": "Do the tasks agree?",
    "robustness": "Occluded and shuffled pictures",
    "curves": "Learning curves",
    "published": "Published numbers",
    "provenance": "Provenance",
}


def environment() -> jinja2.Environment:
    """Jinja, escaping what goes into HTML; undefined names are errors."""
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=jinja2.select_autoescape(["html"]),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {"code_spans": code_spans, "inline": inline, "table": table}
    return made


def code_spans(sentence: str) -> Markup:
    """A sentence for HTML: what Markdown puts between backticks is `<code>` there."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(sentence))))


def render(template: str, context: dict[str, Any]) -> str:
    """A template of `templates/` with its values."""
    return environment().get_template(template).render(context)


def page_html(data: ReportData, drawn: figures.ChartData, context: dict[str, Any]) -> str:
    """The page; `context` is what `report_context` gives to every template."""
    charts = page_charts(data, drawn)
    used = {name.split("-")[0] for name in charts} | {"summary", "sizes", "published", "provenance", "controls"}
    used |= ({"pick"} if data.pretrained else set()) | ({"ties"} if len(context["ties"]) else set())
    used |= {"galleries"} if context["galleries"].tables else set()
    published = read_published()
    matches = beside(data, published)
    gain_text, gain_numbers = gain_table(data)
    main = tables.main_scores(data)
    return render(
        "page.html",
        context
        | {
            "sections": {name: label for name, label in SECTIONS.items() if name in used},
            "charts": charts,
            "secondary": [name for name in data.scores if name not in main],
            "numbers": _numbers(tables.size_table(data)),
            "gains": gain_text,
            "gain_numbers": gain_numbers,
            "score_titles": drawn.scores,
            "cost_titles": drawn.costs,
            "fronts": fronts(data),
            "correlations": correlation_table(data),
            "published": published_table(matches if len(matches) else published),
            "published_matches": len(matches),
            "published_note": published_note(len(matches.drop_duplicates(FIELDS)), len(published)),
            "published_drawn": len({(point["spec"], point["method"]) for point in drawn.published}),
            "report_json": json_script(page_values(data, drawn, charts)),
            "chart_library": chart_library(),
            "asset": asset,
        },
    )


def page_charts(data: ReportData, drawn: figures.ChartData) -> dict[str, dict[str, Any]]:
    """The charts of the page by name, each with its `spec` and its `caption` (also the text alternative)."""
    charts = {"cost": (figures.score_against_cost(drawn), _cost_caption(data))}
    if any(name.startswith("g") for row in drawn.rows for name in row if name[1:].isdigit()):
        charts["gain"] = (
            figures.gain_chart(drawn),
            "Gain of pre-training at each size; below the line it costs accuracy.",
        )
    for series in data.pretrained:
        for short, family in maps.mapped(data, drawn, series):
            caption = _heat_caption(data, series, drawn.scores[short])
            charts[f"heat-{len(charts)}"] = (maps.heat_map(drawn, series, short, family), caption)
    for place, series in enumerate(data.pretrained):
        pairs = rank_correlation(data, series)
        if pairs[pairs["first"] != pairs["second"]].rho.notna().any():
            caption = (
                f"Rank correlation between the tasks over the sizes of {series}; the numbers are in the table below."
            )
            charts[f"correlation-{place}"] = (maps.correlation_chart(series), caption)
    for name, chart in robustness_charts(drawn.changed).items():
        caption = f"Accuracy on pictures that are changed more and more: {name}."
        charts[f"robustness-{len(charts)}"] = (chart, caption)
    if drawn.curves:
        charts["curves"] = (figures.curve_chart(drawn), "Values logged during training.")
    return {
        name: {"spec": figures.finished(_wide(chart), None, caption), "caption": caption}
        for name, (chart, caption) in charts.items()
    }


def _heat_caption(data: ReportData, series: str, column: str) -> str:
    scores = data.wide()[column].xs(series).dropna()
    low, high = scores.idxmin(), scores.idxmax()
    return f"{column} ({series}) over width and depth: {scores[low]:.4g} ({low}) to {scores[high]:.4g} ({high})."


def _wide(chart: figures.Spec) -> figures.Spec:
    """As wide as its place on the page; panels keep their own width."""
    if "facet" in chart:
        return chart
    return chart | {"width": "container", "autosize": {"type": "fit-x", "contains": "padding"}}


def _cost_caption(data: ReportData) -> str:
    if not data.pretrained or "parameters" not in data.costs or not data.primaries:
        return "Scores against costs."
    column = data.primaries[0]
    said = sentences.warnings(data, column)
    front = sentences.front_list(data, column, "parameters")
    if len(front) > FRONT_IN_CAPTION:
        front = [*front[:2], f"... ({len(front) - 4} more are listed below)", *front[-2:]]
    return " ".join([*said, f"Pareto front of {column} against parameters, cheapest first: {'; '.join(front)}."])


def fronts(data: ReportData) -> dict[str, list[str]]:
    """The Pareto front of every score and cost in words."""
    pairs = product(data.primaries, data.costs.columns) if data.pretrained else ()
    return {
        f"{column} against {tables.cost_title(cost)}": sentences.front_list(data, column, cost)
        for column, cost in pairs
    }


def gain_table(data: ReportData) -> tuple[pd.DataFrame, list[list[float | None]]]:
    """Gains of every series and primary score as text, and the numbers to sort by."""
    frames = []
    for series, column in product(data.pretrained, data.primaries):
        table = (
            gains(data, series, column).dropna(subset=["gain", "gain_over_pixels"], how="all").reset_index(names="size")
        )
        frames.append(table.assign(score=column, series=series))
    columns = ["size", "score", "series", "pretrained", "random", "pixels", "gain", "gain_over_pixels", "clear"]
    whole = pd.concat(frames) if frames else pd.DataFrame(columns=[*columns, "noise_known"])
    numbers = whole[columns]
    text = numbers.astype(object)
    for column in columns[3:8]:
        text[column] = [tables.number(value) for value in numbers[column].astype(float)]
    clear = ["yes" if clear else "no" for clear in numbers.clear]
    text["clear"] = pd.Series(clear, index=text.index, dtype=object).where(whole.noise_known, "noise unknown")
    text = text.mask(numbers.gain.isna().to_numpy()[:, None] & (text.columns == "clear"), tables.DASH)
    names = {
        "pretrained": "pre-trained",
        "gain_over_pixels": "gain over pixels",
        "clear": "more than noise",
    }
    return text.rename(columns=names), _numbers(numbers)


def correlation_table(data: ReportData) -> pd.DataFrame:
    """Each pair of tasks once per series, as text."""
    frames = [rank_correlation(data, series).assign(series=series) for series in data.pretrained]
    if not frames:
        return pd.DataFrame(columns=["series", "first", "second", "rho", "sizes"])
    pairs = pd.concat(frames)
    position = {name: place for place, name in enumerate(data.primaries)}
    pairs = pairs[pairs["first"].map(position) < pairs["second"].map(position)]
    pairs["rho"] = ["too few sizes" if pd.isna(rho) else f"{rho:.3f}" for rho in pairs.rho]
    return pairs[["series", "first", "second", "rho", "sizes"]]


def published_table(rows: pd.DataFrame) -> pd.DataFrame:
    """Published rows as shown, `ours` beside their value; sizes that were measured here first, then main results."""
    columns = ["method", "variant", "architecture", "task", "dataset", "metric", "value", "protocol", "epochs"]
    if "ours" not in rows:
        return rows[[*columns, "note", "source"]]
    shown = (
        rows.rename(columns={"ours": "said"})
        .groupby(FIELDS, sort=False)
        .said.agg(lambda texts: "; ".join(texts.dropna()))
        .reset_index()
    )
    order = {"said": shown.said == "", "variant": shown.variant != ""}
    shown = shown.sort_values(["said", "variant"], key=lambda column: order[column.name], kind="stable")
    shown["ours"] = shown.said.where(shown.said != "", tables.DASH)
    return shown[[*columns[:7], "ours", *columns[7:], "note", "source"]]


def published_note(matches: int, total: int) -> str:
    """What the table of published numbers is, and what it is not."""
    if matches:
        return (
            f"{matches} published numbers are for tasks and data sets of this report. They were not measured here, and "
            "their protocols need not be the same."
        )
    return (
        f"None of the {total} published numbers is for a task and data set of this report, so none can be compared; "
        "they are listed for reference."
    )


def _numbers(table: pd.DataFrame) -> list[list[float | None]]:
    """Sort keys of a table: its numbers, None for texts and for what is missing."""
    return [
        [value if isinstance(value, (int, float)) and value == value else None for value in row]
        for row in table.itertuples(index=False, name=None)
    ]


def asset(name: str) -> Markup:
    """A file of `assets/`, to be put into the page as it is."""
    return Markup((ASSETS / name).read_text(encoding="utf-8"))


def chart_library() -> Markup:
    """Vega, Vega-Lite and Vega-Embed in one script that sets `window.vegaEmbed`."""
    script = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;")
    return Markup(script.replace("</script", "<\\/script"))  # in its strings only: it must not close our element


def json_script(value: Any) -> Markup:
    """JSON for a script element of type application/json; no text in it can close the element."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return Markup(text.replace("<", "\\u003c"))
