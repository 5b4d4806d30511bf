"""The table of a comparison like the paper's Table 4: each method at each role, what it gains, and what it costs."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from poa_bench.elastic.space import SubnetSpec
from poa_bench.report import markdown
from poa_bench.report.compute import operations_text
from poa_bench.report.frame import ReportData
from poa_bench.report.intervals import interval_text
from poa_bench.report.published import read_published
from poa_bench.report.ties import score_of

ALONE = "alone"  # the series that others are compared with
ORDER = (ALONE, "SEED", "POA", "elastic distillation")
TABLE_4 = "4"


def table_text(data: ReportData, roles: Mapping[str, str], title: str) -> str:
    """Markdown: scores and gains, costs, and the published table.

    Args:
        data: of the comparison's results.
        roles: size of each role.
        title: heading.
    """
    parts = [f"# {title}", "Means over pre-training seeds; in brackets the 95 % interval, over pictures and seeds."]
    parts.append(markdown.table(score_table(data, roles)))
    costs = cost_table(data, roles)
    if not costs.empty:
        parts.append("What all sizes of a method cost together, per seed; a teacher counts once:")
        parts.append(markdown.table(costs))
    published = published_table()
    if not published.empty:
        parts.append("The paper's Table 4, ImageNet-1K (ViT-S, ViT-B, ViT-L; effective epochs in its columns):")
        parts.append(markdown.table(published))
    return "\n\n".join(parts) + "\n"


def score_table(data: ReportData, roles: Mapping[str, str]) -> pd.DataFrame:
    """One row per role and method: the first score of each task, and its difference to the size alone, with margin."""
    rows, names = [], _series(data)
    columns = list(data.columns.loc[data.primaries].groupby("task", sort=False).head(1).index)
    for role, text in roles.items():
        spec = str(SubnetSpec.parse(text))
        for method in ORDER:
            row = {"role": role, "size": spec, "method": method}
            for column in columns:
                row |= _score_cells(data, column, spec, names.get(method, ""), names.get(ALONE, ""))
            if any(row[column] != "–" for column in columns):
                rows.append(row)
    table = pd.DataFrame(rows)
    parameters = table["size"].map(lambda spec: data.costs.parameters.xs(spec, level="spec").iloc[0])
    return table.assign(order=parameters).sort_values("order", kind="stable").drop(columns="order")


def _series(data: ReportData) -> dict[str, str]:
    """The report's name of each method: where branches differ, it says the branch, too."""
    named = data.long[(data.long.stale == "") & data.long["facts.series"].isin(ORDER)]
    return named.drop_duplicates("facts.series").set_index("facts.series").series.to_dict()


def _score_cells(data: ReportData, column: str, spec: str, series: str, reference: str) -> dict[str, str]:
    """Score and gain of a series over the reference at a size, as text."""
    gain = f"{column}, against alone"
    score, alone = (score_of(data, column, name, spec, name) for name in (series, reference))
    if pd.isna(score.mean):
        return {column: "–", gain: "–"}
    cell = data.cell_groups[series, column].loc[spec]
    text = f"{score.mean:.2f}"
    text += f" {interval_text(cell.low, cell.high)}" if pd.notna(cell.low) else ""
    if series == reference or pd.isna(alone.mean):
        return {column: text, gain: "–"}
    return {column: text, gain: f"{score.mean - alone.mean:+.2f} ± {score.margin(alone):.2f}"}


def cost_table(data: ReportData, roles: Mapping[str, str]) -> pd.DataFrame:
    """One row per method: operations and hours of all its pre-trainings and their teacher, means over seeds."""
    specs = {str(SubnetSpec.parse(text)) for text in roles.values()}
    fresh = data.long[(data.long.stale == "") & data.long.spec.isin(specs)]
    amounts = [kind for kind in ("flop", "core_hours", "gpu_hours") if f"facts.pretraining_{kind}" in fresh]
    rows = []
    for method in ORDER:
        runs = fresh[fresh["facts.series"] == method].drop_duplicates("checkpoint_sha256")
        if runs.empty or not amounts:
            continue
        row = {"method": method, "pre-trainings": runs.groupby("pretraining_seed").size().mean()}
        for kind in amounts:
            own = runs.groupby("pretraining_seed")[f"facts.pretraining_{kind}"].sum().mean()
            name = f"facts.teacher_{kind}"
            teacher = runs.groupby("pretraining_seed")[name].max().mean() if name in runs else 0.0
            row[kind] = own + (0.0 if pd.isna(teacher) else teacher)
        rows.append(row)
    table = pd.DataFrame(rows)
    for kind in amounts:
        title = {"flop": "operations"}.get(kind, kind.replace("_", " "))
        table[title] = table.pop(kind).map(operations_text if kind == "flop" else "{:.3g}".format)
    return table


def published_table() -> pd.DataFrame:
    """Scores of the paper's Table 4: one row per method, k-NN and linear probe of each size."""
    rows = read_published()
    rows = rows[rows.table == TABLE_4]
    if rows.empty:
        return rows
    rows = rows.assign(
        method=(rows.method + ", " + rows.variant).str.rstrip(", "), score=rows.task + " " + rows.architecture
    )
    wide = rows.pivot_table(index="method", columns="score", values="value", sort=False)
    return wide.map(lambda value: "–" if pd.isna(value) else f"{value:.1f}").reset_index()
