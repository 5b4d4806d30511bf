"""In which order a sweep is done: what is cheap first, and then always a whole column of the report's tables."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable
from math import inf

from poa_bench.runs.run import Run
from poa_bench.sweep.operations import operations
from poa_bench.tasks import find_task


def in_order(runs: Iterable[Run], cost: Callable[[Run], float | None] = operations) -> list[Run]:
    """All light runs, as they are; then the others, so that whenever they are stopped whole columns are there.

    A column is all sizes of one task, protocol, data set, setting and initialisation. Columns are done once before any
    is repeated (with another measurement seed, or another pre-training of the same series), the cheapest first,
    pretrained before random; in a column the smallest size is first.

    Args:
        runs: in any order, the whole sweep: what is done of it does not change the order of the rest.
        cost: of a run, in any unit; what has none comes last.
    """
    runs = list(runs)
    heavy = [run for run in runs if not find_task(run.task).is_light]
    costs = {run.id: inf if (found := cost(run)) is None else found for run in heavy}
    repeats, columns, seen = {}, defaultdict(list), Counter()
    for run in heavy:
        cell = (_column(run), run.spec, run.series or run.checkpoint_sha256)
        repeats[run.id] = seen[cell]
        seen[cell] += 1
        columns[_column(run)].append(costs[run.id])
    means = {column: sum(found) / len(found) for column, found in columns.items()}
    places = {column: place for place, column in enumerate(columns)}

    def key(run: Run) -> tuple:
        column = _column(run)
        control = run.initialisation != "pretrained"
        return repeats[run.id], means[column], control, places[column], costs[run.id]

    return [run for run in runs if find_task(run.task).is_light] + sorted(heavy, key=key)


def _column(run: Run) -> Hashable:
    """What of a run is in the name of a column of the report. Sizes may have settings of their own."""
    return run.task, run.protocol, run.dataset, run.settings.get("config"), run.initialisation
