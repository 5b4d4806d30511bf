"""What the report says in words; every number in it is computed from the results."""

from __future__ import annotations

import re
from itertools import product

from poa_bench.elastic.space import SubnetSpec
from poa_bench.report.analysis import gains, pareto_front, series_scores
from poa_bench.report.frame import RANDOM, ReportData
from poa_bench.report.pick import candidates
from poa_bench.report.tables import cost_scale, cost_title, decimals_of, number

_PROTOCOLS = (
    (
        r"knn-k(?P<k>\d+)-T(?P<T>[\d.]+).*",
        "Exact k-nearest-neighbour classification of frozen, L2-normalised features: the {k} most similar training images "
        "(cosine) vote with weight exp(similarity / {T}).",
    ),
    (
        r"linear-?(?P<rest>.*)",
        "A linear classifier on frozen features; its regulariser is chosen on a validation split of the training set, "
        "never on the test split.",
    ),
    (
        r"(?P<head>(cascade-)?mask-rcnn)-?(?P<rest>.*)",
        "{head} is trained on top of the sub-network ({rest}), with the same head, schedule and data for every size; average "
        "precision over IoU 0.50 to 0.95.",
    ),
    (
        r"(?P<head>upernet|fcn|linear-seg)-?(?P<rest>.*)",
        "{head} is trained on top of the sub-network ({rest}), with the same head, schedule and data for every size; mean "
        "intersection over union.",
    ),
    (r"profile-?(?P<rest>.*)", "Cost of one sub-network, measured on the device named, after warm-up ({rest})."),
)


def protocol_sentence(protocol: str) -> str:
    """A full sentence about a protocol such as `knn-k20-T0.07/1`."""
    name, version = protocol.rsplit("/", 1)
    for pattern, sentence in _PROTOCOLS:
        if match := re.fullmatch(pattern, name):
            words = {key: value or "default settings" for key, value in match.groupdict().items()}
            return f"{sentence.format(**words)} (version {version})"
    return f"No description is known for {name} (version {version}); its settings are in the results' configs."


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
    return f"{runs} runs: {sizes} sizes of {len(data.pretrained)} pre-trained network(s), scored on {tasks}."


def _best(data: ReportData, series: str, column: str) -> str:
    scores = series_scores(data, series, column)["mean"].dropna()
    order = sorted(scores.index, key=SubnetSpec.parse)
    largest, smallest, best = order[-1], order[0], scores.idxmax()
    decimals = decimals_of(data, column)
    text = f"{column} ({series}, {len(scores)} sizes): best is {best} with {scores[best]:.{decimals}f}"
    if len(scores) == 1:
        return text + "."
    text += "" if best == largest else f", above the largest network's {scores[largest]:.{decimals}f}"
    loss = scores[best] - scores[smallest]
    ratio = data.costs.parameters[(series, best)] / data.costs.parameters[(series, smallest)]
    text += f"; the smallest, {smallest}, loses {loss:.{decimals}f} with 1/{ratio:.1f} of its parameters"
    return text.replace("1/1.0 of", "all of") + "."


def payoff(data: ReportData) -> list[str]:
    """Where pre-training pays against random initialisation and raw pixels, and plainly where it does not."""
    sentences = []
    for series, column in product(data.pretrained, data.primaries):
        table = gains(data, series, column)
        both = table.dropna(subset=["gain"])
        if len(table) and both.empty:
            text = f"{column} ({series}): no size was also measured at {RANDOM}, so nothing can be said of its gain."
        elif len(table):
            text = _gain_sentence(data, series, column, both)
        else:
            continue
        sentences.append(text + _pixel_clause(table))
    return sentences


def _gain_sentence(data: ReportData, series: str, column: str, both) -> str:
    decimals = decimals_of(data, column)
    losers = list(both.index[both.gain <= 0])
    unclear = list(both.index[(both.gain > 0) & ~both.clear])
    text = f"{column} ({series}): pre-training gains {both.gain.min():+.{decimals}f} to {both.gain.max():+.{decimals}f} over "
    text += f"{RANDOM} at the {len(both)} sizes with both"
    if not losers and not unclear:
        return text + "; it pays at every one of them."
    if losers:
        text += f"; it does NOT pay at {', '.join(losers)}"
    if unclear:
        text += f"; the seeds' spread is larger than the gain at {', '.join(unclear)}"
    return text + "."


def _pixel_clause(table) -> str:
    known = table.dropna(subset=["gain_over_pixels"])
    if known.empty:
        return ""
    below = list(known.index[known.gain_over_pixels <= 0])
    if not below:
        return f" All {len(known)} sizes are above raw pixels ({known.pixels.iloc[0]:.2f})."
    return f" NOT above raw pixels ({known.pixels.iloc[0]:.2f}): {', '.join(below)}."


def front_table(data: ReportData, column: str, cost: str) -> list[str]:
    """The Pareto front in words, cheapest first: `vit-w48-d4 (0.11 params (M)): 67.10`."""
    table = candidates(data, column)
    table = table[pareto_front(table[cost], table.score)].sort_values(cost)
    decimals = decimals_of(data, column)
    return [
        f"{row.spec}: {row.score:.{decimals}f} at {number(shown_cost(row, cost))} {cost_title(cost)}"
        for _, row in table.iterrows()
    ]


def shown_cost(row, cost: str) -> float:
    """A row's cost in the unit shown."""
    return row[cost] / cost_scale(cost)
