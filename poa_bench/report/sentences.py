"""What the report says in words; every number in it is computed from the results."""

from __future__ import annotations

from itertools import product

import pandas as pd

from poa_bench.outside.name import is_outside
from poa_bench.report import tables
from poa_bench.report.analysis import gains, pareto_front, series_rows, series_scores, verdict
from poa_bench.report.frame import RANDOM, ReportData
from poa_bench.report.noise import SURE, ahead_sentence
from poa_bench.report.pick import candidates, chosen_by
from poa_bench.report.tables import cost_scale, cost_title, decimals_of, number
from poa_bench.report.ties import score_of
from poa_bench.report.verdict import Verdict, leads, verdict_text
from poa_bench.tasks import todays

_OUTCOMES = (
    "The scores{of} have 95 % intervals from the bootstrap over test pictures and repeats; ties and leads "
    "are decided by differences on the same pictures (`docs/evaluation.md`)."
)


def summary(data: ReportData) -> list[str]:
    """The report in a few sentences."""
    sentences = [_scope(data)]
    for series in data.pretrained:
        sentences += [headline(data, series, column) for column in data.primaries if _measured(data, series, column)]
    return sentences


def _measured(data: ReportData, series: str, column: str) -> int:
    return int(series_scores(data, series, column)["mean"].notna().sum())


def _scope(data: ReportData) -> str:
    sizes = sum(not is_outside(spec) for spec in data.costs.index.get_level_values("spec").unique())
    tasks = ", ".join(data.primaries)
    fresh = data.long[data.long.stale == ""]
    outside = fresh.spec.map(is_outside).astype(bool)
    networks, others = fresh.checkpoint_sha256[~outside].nunique(), fresh.checkpoint_sha256[outside].nunique()
    words = [f"{sizes} sizes cut from {networks} pre-trained network{'s' * (networks != 1)}"] * (sizes > 0)
    words += [f"{others} network{'s' * (others != 1)} from outside"] * (others > 0)
    return f"{data.long.run_id.nunique()} runs: {' beside '.join(words)}, scored on {tasks}."


def headline(data: ReportData, series: str, column: str) -> str:
    """What the scores of one series say, the controls first where they are as good; see `verdict.py`."""
    rows = series_rows(data, series, column)
    found = verdict(data, column, rows)
    decimals = decimals_of(data, column)
    text = f"{column}{_of(data, series)}: {verdict_text(found, decimals)}"
    if found.kind in ("tie", "highest", "best"):
        text += _cheaper(rows.set_index("spec").score, data.costs.parameters[series], found, decimals)
    return f"{text}."


def warnings(data: ReportData, column: str) -> list[str]:
    """The headlines of the series whose scores in a column are not known to be above the controls and chance."""
    rows = {series: series_rows(data, series, column) for series in data.pretrained}
    measured = [series for series, scores in rows.items() if len(scores)]
    kinds = {series: verdict(data, column, rows[series]).standing.kind for series in measured}
    return [headline(data, series, column) for series, kind in kinds.items() if kind != "above"]


def _cheaper(scores: pd.Series, parameters: pd.Series, found: Verdict, decimals: int) -> str:
    """How much less the largest and the smallest size score, and which smaller one is about as good."""
    largest, smallest, best, sign = scores.index[-1], scores.index[0], found.score.name, found.score.sign
    text = ""
    if found.kind == "tie":
        near = parameters[[best, *(other.name for other in found.tied)]].idxmin()
        said = "the smallest of the tie is {near} with {share} of its parameters"
    else:
        text += (
            "; it is the largest"
            if best == largest
            else f"; the largest, {largest}, has {scores[largest]:.{decimals}f}"
        )
        point = 1.0 if decimals == 2 else 0.01
        near = parameters[scores.index[sign * (scores - scores[best]) >= -point]].idxmin()
        said = f"{{near}} is within {point:g} of it with {{share}} of its parameters"
    if near != best:
        text += "; " + said.format(near=near, share=_share(parameters, near, best))
    if smallest == best:
        return f"{text}; it is the smallest"
    if smallest == near:
        return text
    loss = f"{sign * (scores[best] - scores[smallest]):.{decimals}f}"
    return (
        f"{text}; the smallest, {smallest}, loses {loss} and has {_share(parameters, smallest, best)} of its parameters"
    )


def _share(parameters: pd.Series, spec: str, best: str) -> str:
    return f"{100 * parameters[spec] / parameters[best]:.0f} %"


def trust(data: ReportData, missing: int) -> list[str]:
    """How far the numbers can be relied upon: repeats, how sizes were chosen, what is missing, what was left out.

    Args:
        missing: how many runs would complete the table.
    """
    stale = data.long.run_id[data.long.stale != ""].nunique()
    sentences = [_repeats(data), *_noise(data), *_imbalances(data), *_chosen(data)] if data.primaries else []
    if busy := disturbed_sizes(data):
        sentences.append(
            f"Latencies with a dagger ({len(busy)} of {len(data.disturbed)} rows; crossed in charts) are too high: "
            "other work disturbed the machine at every attempt. Measure them again."
        )
    if missing:
        sentences.append(f"{_runs(missing)} missing from the table; no mean is taken over the gaps.")
    older = {name: todays(name) for name in data.columns.protocol[data.primaries]}
    older = [f"{name} (now {newer})" for name, newer in sorted(older.items()) if name != newer]
    if older:
        sentences.append(f"Measured by another version of a protocol than this code's: {', '.join(older)}.")
    if stale:
        sentences.append(f"{_runs(stale)} stale and left out, because a newer checkpoint or protocol replaced them.")
    if data.draws.unread:
        files = "file" if len(data.draws.unread) == 1 else "files"
        sentences.append(
            f"{len(data.draws.unread)} {files} of outcomes could not be read, so their scores have no intervals."
        )
    if data.broken:
        files = "file" if len(data.broken) == 1 else "files"
        sentences.append(f"{len(data.broken)} result {files} could not be read.")
    return sentences


def disturbed_sizes(data: ReportData) -> list[tuple[str, str]]:
    """(series, spec) with a cost that was measured on a busy machine, and nowhere else."""
    return list(data.disturbed.index[data.disturbed.any(axis=1)])


def _runs(count: int) -> str:
    return "1 run is" if count == 1 else f"{count} runs are"


def _repeats(data: ReportData) -> str:
    scored = data.cells[data.cells.column.isin(data.primaries) & data.cells["mean"].notna()]
    if scored.empty:
        return "No score has all its repeats."
    if scored.runs.max() == 1 and scored.low.notna().any():
        return (
            "Every score comes from one run: intervals cover its pictures; how much another seed would differ is "
            "unknown."
        )
    if scored.runs.max() == 1:
        return (
            "Every score comes from one run: its spread is unknown, and a small difference between sizes may be chance."
        )
    text = f"Scores are means over {_range(scored.runs)} runs; where there are several, ± is {spread_sentence(data)}."
    if scored.pretrainings.max() > 1:
        return text
    return f"{text} How much another pre-training would differ is unknown."


def _noise(data: ReportData) -> list[str]:
    """What a tie is."""
    scored = data.cells[data.cells.column.isin(data.primaries) & data.cells["mean"].notna()]
    sure = scored.low.notna().groupby(scored.column).all().reindex(data.primaries, fill_value=False)
    found = [_OUTCOMES.format(of="" if sure.all() else f" of {', '.join(sure.index[sure])}")] if sure.any() else []
    known = scored.error.notna().groupby(scored.column).any().reindex(data.primaries, fill_value=False)
    if sure.all() or not known.any():
        return found
    text = (
        f"{'Other scores' if found else 'Scores'} are within the noise where they differ by at most {SURE:g} standard "
        "errors of their difference; these come from repeats and from the number of test pictures, where the results "
        "say them"
    )
    unsaid = list(known.index[~known])
    return [*found, f"{text}; for {', '.join(unsaid)} they say neither." if unsaid else f"{text}."]


def _imbalances(data: ReportData) -> list[str]:
    found = {data.columns.dataset[column]: tables.imbalance(data, column) for column in data.primaries}
    return [
        f"The test set of {dataset} is imbalanced ({counts[0]} pictures of its largest class, {counts[1]} of its "
        "smallest): `balanced_top1`, the mean of the classes' recalls, gives every class the same weight."
        for dataset, counts in found.items()
        if counts
    ]


def spread_sentence(data: ReportData) -> str:
    """What stands behind ±: over which seeds the standard deviation is."""
    several = data.cells[data.cells["std"].notna()]
    trained, measured = several[several.pretrainings > 1], several[several.pretrainings == 1]
    texts = [f"over {_range(trained.pretrainings)} pre-training seeds"] if len(trained) else []
    texts += [f"over {_range(measured.seeds)} measurement seeds"] if len(measured) else []
    drawn = " (of random networks: of their initialisation too)" if "random" in set(measured.initialisation) else ""
    return f"the standard deviation {', else '.join(texts) or 'over repeats, of which there are none here'}{drawn}"


def _range(counts: pd.Series) -> str:
    least, most = int(counts.min()), int(counts.max())
    return str(most) if least == most else f"{least} to {most}"


def _chosen(data: ReportData) -> list[str]:
    """How `pick` chooses, which the sentences above about the best sizes do not: they describe."""
    if not data.pretrained:
        return []
    judged = [column for column in data.primaries if chosen_by(data, column) != column]
    return [
        "The sizes above are ranked by the scores shown; to choose one, `pick` takes validation scores where there "
        f"are any ({', '.join(judged) or 'none here'})."
    ]


def _of(data: ReportData, series: str) -> str:
    return "" if len(data.pretrained) == 1 else f" ({series})"


def payoff(data: ReportData) -> list[str]:
    """Where pre-training pays against random initialisation and raw pixels, and plainly where it does not."""
    sentences = []
    for series, column in product(data.pretrained, data.primaries):
        table = gains(data, series, column)
        both = table.dropna(subset=["gain"])
        if len(table) and both.empty:
            text = f"{column}{_of(data, series)}: no size was also measured at {RANDOM}, so the gain is unknown."
        elif len(table):
            text = _gain_sentence(data, series, column, both)
        else:
            continue
        sentences.append(text + _pixel_clause(data, column, table))
    return sentences


def rivals(data: ReportData) -> list[str]:
    """The first pre-trained network against each other one, such as one that was trained alone, at common sizes."""
    sentences = []
    for other, column in product(data.pretrained[1:], data.primaries):
        mine, theirs = (series_scores(data, series, column) for series in (data.pretrained[0], other))
        both = mine.join(theirs, lsuffix="_mine", rsuffix="_theirs").dropna(subset=["mean_mine", "mean_theirs"])
        if both.empty:
            continue
        ahead = both.mean_mine - both.mean_theirs
        pairs = [
            tuple(score_of(data, column, series, spec) for series in (other, data.pretrained[0])) for spec in both.index
        ]
        decimals = decimals_of(data, column)
        low, high = f"{ahead.min():+.{decimals}f}", f"{ahead.max():+.{decimals}f}"
        counts = ahead_sentence(other, data.pretrained[0], leads(pairs))
        sentences.append(f"{column}: {counts}; the difference is {low if low == high else f'{low} to {high}'}.")
    return sentences


def _gain_sentence(data: ReportData, series: str, column: str, both: pd.DataFrame) -> str:
    decimals = decimals_of(data, column)
    losers = list(both.index[both.gain <= 0])
    unclear = list(both.index[(both.gain > 0) & ~both.clear])
    low, high = f"{both.gain.min():+.{decimals}f}", f"{both.gain.max():+.{decimals}f}"
    text = f"{column}{_of(data, series)}: pre-training gains {low if low == high else f'{low} to {high}'} over {RANDOM}"
    text += f" at the {len(both)} size{'s' * (len(both) != 1)} measured both ways"
    if series_scores(data, series, column).runs[both.index].max() == 1:
        text += " (one run each" + (")" if both.noise_known.any() else ", noise unknown)")
    if not losers and not unclear:
        return text + "; it pays off at every one of them."
    if losers:
        text += f"; it does NOT pay off at {', '.join(losers)}"
    if unclear:
        text += f"; the gain is within the noise at {', '.join(unclear)}"
    return text + "."


def _pixel_clause(data: ReportData, column: str, table: pd.DataFrame) -> str:
    known = table.dropna(subset=["gain_over_pixels"])
    if known.empty:
        return ""
    pixels = f"raw pixels ({known.pixels.iloc[0]:.{decimals_of(data, column)}f})"
    side = "above" if data.columns.sign[column] > 0 else "below"
    below = list(known.index[known.gain_over_pixels <= 0])
    level = list(known.index[(known.gain_over_pixels > 0) & ~known.clear_of_pixels])
    if not below and not level:
        which = "The one size is" if len(known) == 1 else f"All {len(known)} sizes are"
        return f" {which} {side} {pixels}."
    text = f" NOT {side} {pixels}: {', '.join(below)}." if below else ""
    return text + (f" {side.capitalize()} {pixels}, but within the noise: {', '.join(level)}." if level else "")


def front_list(data: ReportData, column: str, cost: str) -> list[str]:
    """The Pareto front in words, cheapest first: `vit-w48-d4: 67.10 at 0.1106 params (M)`."""
    table = candidates(data, column)
    table = table[pareto_front(table[cost], data.columns.sign[column] * table.score)].sort_values(cost)
    decimals, scale, title = decimals_of(data, column), cost_scale(cost), cost_title(cost)
    rows = zip(table.spec, table.score, table[cost], strict=True)
    return [f"{spec}: {score:.{decimals}f} at {number(value / scale)} {title}" for spec, score, value in rows]
