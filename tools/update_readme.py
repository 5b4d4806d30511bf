"""Fills the block of results in README.md from the report that is kept in reports/demo.

usage: python tools/update_readme.py
"""

from pathlib import Path

import pandas as pd

from poa_bench.report.frame import kept_report
from poa_bench.report.tables import MARK, cost_title

ROOT = Path(__file__).resolve().parents[1]
REPORT = Path("reports", "demo")
FIGURE = REPORT / "figures" / "score_against_parameters.svg"
BEGIN, END = "<!-- results:", "<!-- end of results -->"
COSTS = ["params (M)", "MACs (G)", "latency p50, batch 1 (ms)"]


def results_block(root: Path = ROOT) -> str:
    """A table of every size, with the same size at random initialisation in brackets, and one figure."""
    wide = pd.read_csv(root / REPORT / "results_wide.csv")
    long = pd.read_csv(root / REPORT / "results_long.csv", low_memory=False)
    primaries = long[long.primary & (long.task != "profile")].set_index("column").task
    scores = [column for column in wide if column in primaries.index]
    scores = list(primaries[scores].drop_duplicates().index)  # the main one of each task
    series = {name: rows.set_index("size") for name, rows in wide.groupby("series")}
    pixels, random = (series.pop(name) for name in ("raw pixels", "random initialisation"))
    ((name, trained),) = series.items()
    shown = trained[COSTS].map("{:.4g}".format)
    busy = kept_report(root / REPORT).disturbed.rename(columns=cost_title).loc[name, COSTS[-1]].reindex(shown.index)
    shown[COSTS[-1]] += [MARK if marked else "" for marked in busy]
    for score in scores:
        pairs = zip(trained[score], random[score].reindex(trained.index), strict=True)
        shown[score] = ["" if pd.isna(value) else f"{value:.1f} ({control:.1f})" for value, control in pairs]
    marked = f"{MARK.strip()}: other work disturbed the machine, too high. " if busy.any() else ""
    below = ", ".join(f"{score} {value:.1f}" for score, value in pixels[scores].iloc[0].dropna().items())
    lines = [
        shown.reset_index().to_markdown(index=False, disable_numparse=True),
        f"In brackets: the same size at random initialisation. Raw pixels: {below}. {marked}Empty: not measured.",
        f"![scores against parameters]({FIGURE.as_posix()})",
        f"The whole report: [{REPORT.as_posix()}]({(REPORT / 'report.md').as_posix()}); "
        f"[as a page]({(REPORT / 'index.html').as_posix()}), to be opened in a browser.",
    ]
    return "\n\n".join(lines)


def fill(readme: str, block: str) -> str:
    """The README's text with the block between its two marks replaced."""
    head, begin, rest = readme.partition(BEGIN)
    mark, _, old = rest.partition("\n")
    _, end, tail = old.partition(END)
    if not (begin and end):
        raise SystemExit(f"README.md lacks the marks {BEGIN!r} and {END!r}")
    return f"{head}{begin}{mark}\n{block}\n{end}{tail}"


if __name__ == "__main__":
    path = ROOT / "README.md"
    path.write_text(fill(path.read_text(), results_block()))
