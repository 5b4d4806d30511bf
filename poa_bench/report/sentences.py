"""What the report says in words; every number in it is computed from the results."""

from __future__ import annotations

from itertools import product

import pandas as pd

from poa_bench.downstream.protocols import parse_protocol
from poa_bench.errors import InputError
from poa_bench.report.analysis import gains, pareto_front, series_scores
from poa_bench.report.frame import RANDOM, ReportData
from poa_bench.report.pick import candidates, chosen_by
from poa_bench.report.tables import cost_scale, cost_title, decimals_of, number

_TRAINED = "the same head, schedule and data for every size"
_DENSE = {
    "mask-rcnn": f"Mask R-CNN trained on top of the sub-network, {_TRAINED}; average precision over IoU 0.50 to 0.95.",
    "cascade-mask-rcnn": f"Cascade Mask R-CNN trained on top of the sub-network, {_TRAINED}; average precision over "
    "IoU 0.50 to 0.95.",
    "upernet": f"UPerNet trained on top of the sub-network, {_TRAINED}; mean intersection over union.",
    "linear-seg": f"A linear head on the frozen sub-network, {_TRAINED}; mean intersection over union.",
    "finetune-official": "The whole sub-network fine-tuned for classification with the settings that the official code "
    "has for its size: epochs, batch, learning rate and layer decay differ from size to size; nothing is selected.",
    "finetune": f"The whole sub-network fine-tuned for classification, {_TRAINED}.",
}


def protocol_sentence(protocol: str) -> str:
    """A full sentence about a protocol such as `knn-k20-T0.07/1`; light ones describe themselves."""
    try:
        return parse_protocol(protocol).description
    except InputError:  # not one of the light protocols
        begins = sorted((name for name in _DENSE if protocol.startswith(name)), key=len)
    return _DENSE[begins[-1]] if begins else "Its settings are those of the config that each result's hash names."


def summary(data: ReportData) -> list[str]:
    """The report in a few sentences."""
    sentences = [_scope(data)]
    for series in data.pretrained:
        sentences += [_best(data, series, column) for column in data.primaries if _measured(data, series, column)]
    return sentences


def _measured(data: ReportData, series: str, column: str) -> int:
    return int(series_scores(data, series, column)["mean"].notna().sum())


def _scope(data: ReportData) -> str:
    sizes = data.costs.index.get_level_values("spec").nunique()
    tasks = ", ".join(data.primaries)
    runs = data.long.run_id.nunique()
    networks = data.long.checkpoint_sha256[data.long.stale == ""].nunique()
    return (
        f"{runs} runs: {sizes} sizes cut from {networks} pre-trained network{'s' * (networks != 1)}, scored on {tasks}."
    )


def _best(data: ReportData, series: str, column: str) -> str:
    scores = series_scores(data, series, column)["mean"].dropna()
    parameters = data.costs.parameters[series]
    largest, smallest, best = scores.index[-1], scores.index[0], scores.idxmax()
    decimals = decimals_of(data, column)
    head, value = f"{column}{_of(data, series)}:", f"{scores[best]:.{decimals}f}"
    if len(scores) == 1:
        return f"{head} the only size is {best} with {value}."
    if best == largest:
        text = f"{head} the best of {len(scores)} sizes is the largest, {best}, with {value}"
    else:
        text = f"{head} the best of {len(scores)} sizes is {best} with {value}"
        theirs = f"{scores[largest]:.{decimals}f}"
        text += ", the largest has the same" if theirs == value else f", above the largest one's {theirs}"
    point = 1.0 if decimals == 2 else 0.01
    near = parameters[scores.index[scores >= scores[best] - point]].idxmin()
    if near != best:
        text += f"; {near} is within {point:g} of it with {_share(parameters, near, best)} of its parameters"
    if smallest == best:
        return text + "; it is the smallest too."
    loss = f"{scores[best] - scores[smallest]:.{decimals}f}"
    if smallest == near:
        return text + f" (it is the smallest, and loses {loss})."
    share = _share(parameters, smallest, best)
    return text + f"; the smallest, {smallest}, loses {loss} and has {share} of its parameters."


def _share(parameters: pd.Series, spec: str, best: str) -> str:
    return f"{100 * parameters[spec] / parameters[best]:.0f} %"


def trust(data: ReportData, missing: int) -> list[str]:
    """How far the numbers can be relied upon: repeats, how sizes were chosen, what is missing, what was left out.

    Args:
        missing: how many runs would complete the table.
    """
    stale = data.long.run_id[data.long.stale != ""].nunique()
    sentences = [_repeats(data), *_chosen(data)] if data.primaries else []
    if missing:
        sentences.append(f"{_runs(missing)} missing for a full table; nothing is averaged over them.")
    if stale:
        sentences.append(f"{_runs(stale)} stale and left out, because a newer checkpoint or protocol replaced them.")
    if data.broken:
        files = "file" if len(data.broken) == 1 else "files"
        sentences.append(f"{len(data.broken)} result {files} could not be read.")
    return sentences


def _runs(count: int) -> str:
    return "1 run is" if count == 1 else f"{count} runs are"


def _repeats(data: ReportData) -> str:
    scored = data.cells[data.cells.column.isin(data.primaries) & data.cells["mean"].notna()]
    if scored.empty:
        return "No score has all its repeats."
    if scored.runs.max() == 1:
        return "Every score is of one run: its spread is unknown, and a small difference between sizes may be chance."
    text = f"Scores are means over {_range(scored.runs)} runs; where there are several, ± is {spread_sentence(data)}."
    if scored.pretrainings.max() > 1:
        return text
    return f"{text} How much another pre-training would differ is unknown."


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
        "The best sizes above are named by the scores shown; to choose one, `pick` takes validation scores where there "
        f"are some ({', '.join(judged) or 'none here'})."
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
            text = f"{column}{_of(data, series)}: no size was measured at {RANDOM} too, so its gain is unknown."
        elif len(table):
            text = _gain_sentence(data, series, column, both)
        else:
            continue
        sentences.append(text + _pixel_clause(table))
    return sentences


def rivals(data: ReportData) -> list[str]:
    """The first pre-trained network against each other one, such as one that was trained alone, at common sizes."""
    sentences = []
    for other, column in product(data.pretrained[1:], data.primaries):
        mine, theirs = (series_scores(data, series, column)["mean"] for series in (data.pretrained[0], other))
        ahead = (mine - theirs).dropna()
        if ahead.empty:
            continue
        decimals = decimals_of(data, column)
        low, high = f"{ahead.min():+.{decimals}f}", f"{ahead.max():+.{decimals}f}"
        sentences.append(
            f"{column}: {data.pretrained[0]} is ahead of {other} at {(ahead > 0).sum()} of {len(ahead)} common "
            f"size{'s' * (len(ahead) != 1)}; the difference is {low if low == high else f'{low} to {high}'}."
        )
    return sentences


def _gain_sentence(data: ReportData, series: str, column: str, both: pd.DataFrame) -> str:
    decimals = decimals_of(data, column)
    losers = list(both.index[both.gain <= 0])
    unclear = list(both.index[(both.gain > 0) & ~both.clear])
    low, high = f"{both.gain.min():+.{decimals}f}", f"{both.gain.max():+.{decimals}f}"
    text = f"{column}{_of(data, series)}: pre-training gains {low if low == high else f'{low} to {high}'} over {RANDOM}"
    text += f" at the {len(both)} size{'s' * (len(both) != 1)} with both"
    if series_scores(data, series, column).runs[both.index].max() == 1:
        text += " (one run each)"
    if not losers and not unclear:
        return text + "; it pays at every one of them."
    if losers:
        text += f"; it does NOT pay at {', '.join(losers)}"
    if unclear:
        text += f"; the repeats' spread is larger than the gain at {', '.join(unclear)}"
    return text + "."


def _pixel_clause(table: pd.DataFrame) -> str:
    known = table.dropna(subset=["gain_over_pixels"])
    if known.empty:
        return ""
    below = list(known.index[known.gain_over_pixels <= 0])
    if not below:
        which = "The one size is" if len(known) == 1 else f"All {len(known)} sizes are"
        return f" {which} above raw pixels ({known.pixels.iloc[0]:.2f})."
    return f" NOT above raw pixels ({known.pixels.iloc[0]:.2f}): {', '.join(below)}."


def front_list(data: ReportData, column: str, cost: str) -> list[str]:
    """The Pareto front in words, cheapest first: `vit-w48-d4: 67.10 at 0.1106 params (M)`."""
    table = candidates(data, column)
    table = table[pareto_front(table[cost], table.score)].sort_values(cost)
    decimals, scale, title = decimals_of(data, column), cost_scale(cost), cost_title(cost)
    rows = zip(table.spec, table.score, table[cost], strict=True)
    return [f"{spec}: {score:.{decimals}f} at {number(value / scale)} {title}" for spec, score, value in rows]
