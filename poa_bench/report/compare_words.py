"""What `poa-bench compare` prints."""

from __future__ import annotations

import pandas as pd

from poa_bench.errors import InputError
from poa_bench.report import markdown
from poa_bench.report.compare import compare, read_side
from poa_bench.report.naming import variants
from poa_bench.report.noise import ahead_sentence
from poa_bench.report.tables import score

_HOW = (
    "In brackets is the 95 % interval of the difference, from the paired bootstrap over pictures and repeats, as is p; "
    "a side counts as ahead after Holm's correction over the sizes of a score."
)


def comparison_text(sides: list[str], task: str | None = None, csv: str | None = None) -> str:
    """What `poa-bench compare` prints; the whole table goes to the file `csv`, if given."""
    read = [side for text in sides for side in read_side(text)]
    table = compare(read)
    if task is not None:
        table = table[table.task.str.startswith(task)]
        if table.empty:
            raise InputError(f"the sides have no task {task!r} in common; leave out --task to see what they share")
    if csv:
        table.to_csv(csv, index=False)
    sections = [_section(pair, rows) for pair, rows in table.groupby(["first", "second"], sort=False)]
    alone = [side.name for side in read[1:] if side.name not in set(table.second)]
    return "\n\n".join([*sections, *(f"{name}: nothing in common with {read[0].name}" for name in alone)])


def _section(pair: tuple[str, str], rows: pd.DataFrame) -> str:
    # published numbers have no variants of their own
    ways = rows.variant if (rows.variant != "").any() else variants(rows.assign(stale=""))
    scores = rows.task + " " + rows.metric + ways
    shown = pd.DataFrame(
        {
            "size": rows["size"],
            "score": scores,
            pair[0]: [score(*cell) for cell in zip(rows.mean_first, rows.std_first, strict=True)],
            pair[1]: [score(*cell) for cell in zip(rows.mean_second, rows.std_second, strict=True)],
            "difference": [_difference(*row) for row in zip(rows.difference, rows.low, rows.high, strict=True)],
            "p": ["no test" if pd.isna(p) else f"{p:.3g}" for p in rows.p],
            "note": rows.note,
        }
    )
    verdicts = [_verdict(pair, name, of_score) for name, of_score in rows.groupby(scores, sort=False)]
    how = f"\n\n{_HOW}" if rows.low.notna().any() else ""
    return f"{pair[1]} against {pair[0]}: {'; '.join(verdicts)}.\n\n{markdown.table(shown)}{how}"


def _difference(difference: float, low: float, high: float) -> str:
    """`+1.20`, or `+1.20 [+0.40, +2.00]` where its 95 % interval is known."""
    return f"{difference:+.2f}" + (f" [{low:+.2f}, {high:+.2f}]" if low == low else "")


def _verdict(pair: tuple[str, str], name: str, rows: pd.DataFrame) -> str:
    """Which side is ahead on one score; first, where neither is above a control."""
    beaten = rows[(rows.control != "") & ~rows.above_control.astype(bool)]
    controls = " or ".join(sorted(set(beaten.control), reverse=True))
    side = "above" if rows.sign.iloc[0] > 0 else "below"
    text = f"neither is {side} {controls} at {len(beaten)} of {len(rows)} sizes, and " if len(beaten) else ""
    text = f"on {name} {text}{ahead_sentence(*pair, list(rows['lead']))}"
    return text if (rows.control != "").any() else f"{text} (no control was measured)"
