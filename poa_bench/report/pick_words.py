"""What `poa-bench pick` prints."""

from __future__ import annotations

import shlex

import pandas as pd

from poa_bench.errors import InputError
from poa_bench.report.origin import replaced
from poa_bench.report.pick import BUSY, Choice, named
from poa_bench.report.tables import cost_scale, cost_title, number, score

GROUP_SHOWN = 12  # sizes of a tie; more are counted


def pick_text(found: dict) -> str:
    """The answer of `choose` in words."""
    choice, cost = found["choice"], found["cost"]
    limits = ", ".join(_amount(name, limit, " <=") for name, limit in found["limits"].items())
    if choice.best is None:
        lowest = [f"{_amount(name, row[name])} ({row.spec})" for name, row in found["lowest"].items()]
        raise InputError(
            f"no measured size meets {limits}; the lowest measured: {', '.join(lowest) or 'none'}. "
            f"Raise the limit, or measure more sizes (for {choice.unknown} the cost is unknown)"
        )
    best = choice.best
    lines = [
        f"{found['column']}" + (f" with {limits}" if limits else ""),
        f"verdict:       {found['verdict']}",
        f"chosen:        {_described(best, found)}",
    ]
    if found["interval"]:
        lines.append(f"interval:      {found['interval']}")
    if len(choice.group) > 1:
        lines.append(f"tie:           {_group_sentence(choice, cost)}")
    if choice.runner_up is not None:
        lines.append(f"runner-up:     {_described(choice.runner_up, found)}")
    if choice.cheaper is not None:
        saved = 100 * (1 - choice.cheaper[cost] / best[cost])
        lines.append(f"next cheaper:  {found['loss']} and saves {saved:.0f} % of {cost_title(cost)}")
    lines.append(f"how:           {found['by']}")
    lines += [_protocol_line(best, found)] if found["others"] else []
    if choice.unknown:
        lines.append(f"left out:      sizes for which a limited cost was not measured: {choice.unknown}")
    if busy := [cost_title(name) for name in found["costs"] if best[BUSY + name] is True or best[BUSY + name] == 1]:
        lines.append(f"disturbed:     {', '.join(busy)}: other work disturbed the measurement, so it is too high")
    if found["devices"]:
        lines.append(f"latency of:    {', '.join(found['devices'])}")
    return "\n".join([*lines, *_export_lines(best)])


def _group_sentence(choice: Choice, cost: str) -> str:
    group, several = choice.group, choice.group.series.nunique() > 1
    names = [named(row) if several else row.spec for _, row in group.iterrows()]
    shown = names if len(names) <= GROUP_SHOWN else [*names[: GROUP_SHOWN - 1], f"{len(names) - GROUP_SHOWN + 1} more"]
    return (
        f"{len(group)} sizes cannot be told apart from the highest, {named(choice.highest)}: {', '.join(shown)}; the "
        f"one with the least {cost_title(cost)} is chosen"
    )


def _export_lines(best: pd.Series) -> list[str]:
    """The command and what it cuts, or why there is none."""
    if found := replaced(best):
        return [
            f"export:        not from {best.checkpoint}, whose contents have changed (sha256 {found[:8]}): find the "
            f"{best.origin}"
        ]
    return [f"export:        {best.export}", f"from:          {best.origin}"]


def _amount(cost: str, value: float, sign: str = "") -> str:
    return f"{cost_title(cost)}{sign} {number(value / cost_scale(cost))}"


def _protocol_line(best: pd.Series, found: dict) -> str:
    """Which of several protocols was taken, why, and whether the others would choose differently."""
    said = [
        f"by {shlex.quote(name)} (as --task) the choice is " + ("the same" if other == named(best) else other or "none")
        for name, other in found["others"].items()
    ]
    return f"protocol:      {found['column']} was taken: {found['why']}; {'; '.join(said)}"


def _described(row: pd.Series, found: dict) -> str:
    known = [name for name in found["costs"] if pd.notna(row[name])]
    shown = ", ".join(f"{number(row[name] / cost_scale(name))} {cost_title(name)}" for name in known)
    return f"{named(row)}: {score(row.score, row['std'], found['decimals'])}; {shown}"
