"""LaTeX tables for papers: booktabs, the best of each score in bold, mean and standard deviation over seeds."""

from __future__ import annotations

from textwrap import wrap

import pandas as pd

from poa_bench.report.frame import ReportData
from poa_bench.report.tables import DASH, main_scores, narrow_table, size_table
from poa_bench.report.ties import score_of
from poa_bench.report.verdict import standing

_SPECIAL = {letter: f"\\{letter}" for letter in "&%$#_{}"} | {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
}
_BOLD = "Bold: the highest of each score and what is within the noise of it, controls included."
_HEADING_WIDTH = 12  # letters
_NARROW = r"\ifdim\width>\linewidth\linewidth\else\width\fi"


def latex_table(data: ReportData, caption: str, scores: list[str] | None = None) -> str:
    """A `tabular` of every size, or a `longtable` where it is longer than a page; its first line names the packages.

    It has the costs of `main_costs` and `main_scores`, unless `scores` names others: more do not fit on paper. Bold
    marks the highest of each score column and what is within the noise of it, see `marked`; the caption says so.
    """
    scores = main_scores(data) if scores is None else scores
    numbers, shown = size_table(data, scores), narrow_table(data, scores)
    if shown.series.nunique() == 1:
        shown = shown.drop(columns=["series"])
    styler = shown.style.hide(axis="index").format(escape="latex").format_index(_stacked, axis=1)
    for column in scores:
        best = marked(data, column, numbers)
        styler = styler.apply(
            lambda _, best=best: ["textbf:--rwrap;" if mark else "" for mark in best], subset=[column]
        )
    text = styler.to_latex(
        hrules=True,
        caption=_escaped(f"{caption.rstrip('.')}. {_BOLD}"),
        label="tab:sizes",
        position_float=None if _is_long(shown) else "centering",
        environment="longtable" if _is_long(shown) else None,
        column_format="l" * _text_columns(shown) + "r" * (shown.shape[1] - _text_columns(shown)),
    )
    text = text.replace("±", r"$\pm$").replace(DASH, "--").replace("·", r"$\cdot$").replace("†", r"$\dagger$")
    if _is_long(shown):
        small = r"\footnotesize\setlength{\tabcolsep}{3pt}"
        return f"% needs \\usepackage{{booktabs,longtable}}\n{{{small}\n{text}}}\n"
    # as wide as the page at most
    start, end = r"\begin{tabular}", r"\end{tabular}"
    text = text.replace(start, rf"\resizebox{{{_NARROW}}}{{!}}{{{start}").replace(end, end + "}")
    return f"% needs \\usepackage{{booktabs,graphicx}}\n{text}"


def marked(data: ReportData, column: str, rows: pd.DataFrame) -> list[bool]:
    """Which rows of `size_table` have the best score of a column or one within the noise of it.

    Controls compete like anybody; nothing is marked where no score is above zero and chance.
    """
    specs = rows["size"].replace("(none)", "")
    scores = [score_of(data, column, *key) for key in zip(rows.series, specs, strict=True)]
    chance = data.cells.chance[data.cells.column == column].max()
    best = max((score for score in scores if score.mean == score.mean), key=lambda score: score.merit, default=None)
    if not data.columns.sign[column] or best is None or standing(best, [], chance).kind in ("zero", "chance"):
        return [False] * len(scores)
    return [score.ties(best) for score in scores]


def _stacked(heading: str) -> str:
    """A column's heading in short lines, as narrow as its numbers."""
    lines = [line for part in heading.split(" · ") for line in wrap(part, _HEADING_WIDTH, break_long_words=False)]
    stack = r" \\ ".join(map(_escaped, lines))
    return stack if len(lines) == 1 else rf"\shortstack[r]{{{stack}}}"


def _escaped(text: str) -> str:
    """A text in which nothing is a command; pandas does this for cells only."""
    return "".join(_SPECIAL.get(letter, letter) for letter in text)


def _is_long(table: pd.DataFrame) -> bool:
    return len(table) > 45  # rows on a page


def _text_columns(table: pd.DataFrame) -> int:
    return sum(name in ("size", "series", "alias") for name in table)
