"""The table of a comparison like the paper's Table 4: each method at each role, what it gains, and what it costs."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from poa_bench.elastic.space import SubnetSpec
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
    parts.append(score_table(data, roles).to_markdown(index=False, disable_numparse=True))
    costs = cost_table(data, roles)
    if not costs.empty:
        parts.append("What all sizes of a method cost together, per seed; a teacher counts once:")
        parts.append(costs.to_markdown(index=False, disable_numparse=True))
    published = published_table()
    if not published.empty:
        parts.append("The paper's Table 4, ImageNet-1K (ViT-S, ViT-B, ViT-L; effective epochs in its columns):")
        parts.append(published.to_markdown(index=False, disable_numparse=True))
    return "\n\n".join(parts) + "\n"


def score_table(data: ReportData, roles: Mapping[str, str]) -> pd.DataFrame:
    """One row per role and method: each primary score, and its difference to the size alone with a 95 % margin."""
    rows = []
    for role, text in sorted(roles.items(), reverse=True):  # S, L, B: by the size instead
        spec = str(SubnetSpec.parse(text))
        for series in ORDER:
            row = {"role": role, "size": spec, "method": series}
            for column in data.primaries:
                score, alone = (score_of(data, column, name, spec, name) for name in (series, ALONE))
                row |= _score_cells(data, column, series, spec, score, alone)
            if any(row[column] != "–" for column in data.primaries):
                rows.append(row)
    table = pd.DataFrame(rows)
    parameters = table["size"].map(lambda spec: data.costs.parameters.xs(spec, level="spec").iloc[0])
    return table.assign(order=parameters).sort_values("order", kind="stable").drop(columns="order")


def _score_cells(data: ReportData, column: str, series: str, spec: str, score, alone) -> dict[str, str]:
    gain = f"{column}, against alone"
    if pd.isna(score.mean):
        return {column: "–", gain: "–"}
    cell = data.cell_groups[series, column].loc[spec]
    text = f"{score.mean:.2f}"
    text += f" {interval_text(cell.low, cell.high)}" if pd.notna(cell.low) else ""
    if series == ALONE or pd.isna(alone.mean):
        return {column: text, gain: "–"}
    return {column: text, gain: f"{score.mean - alone.mean:+.2f} ± {score.margin(alone):.2f}"}


def cost_table(data: ReportData, roles: Mapping[str, str]) -> pd.DataFrame:
    """One row per method: operations and hours of all its pre-trainings and their teacher, means over seeds."""
    specs = {str(SubnetSpec.parse(text)) for text in roles.values()}
    fresh = data.long[(data.long.stale == "") & data.long.spec.isin(specs)]
    amounts = [f"{kind}" for kind in ("flop", "core_hours", "gpu_hours") if f"facts.pretraining_{kind}" in fresh]
    rows = []
    for series in ORDER:
        runs = fresh[fresh.series == series].drop_duplicates("checkpoint_sha256")
        if runs.empty or not amounts:
            continue
        row = {"method": series, "pre-trainings": runs.groupby("pretraining_seed").size().mean()}
        for kind in amounts:
            own = runs.groupby("pretraining_seed")[f"facts.pretraining_{kind}"].sum().mean()
            name = f"facts.teacher_{kind}"
            teacher = runs.groupby("pretraining_seed")[name].max().mean() if name in runs else 0.0
            row[kind] = own + (0.0 if pd.isna(teacher) else teacher)
        rows.append(row)
    units = {"flop": ("PFLOP", 1e15), "core_hours": ("core hours", 1.0), "gpu_hours": ("GPU hours", 1.0)}
    table = pd.DataFrame(rows)
    for kind in amounts:
        title, unit = units[kind]
        table[title] = (table.pop(kind) / unit).map(lambda value: f"{value:.3g}")
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
