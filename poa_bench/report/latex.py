"""LaTeX tables for papers: booktabs, the best of each score in bold, deviation over seeds, 95 % intervals."""

from __future__ import annotations

import re
from textwrap import wrap

import pandas as pd

from poa_bench.report.frame import ReportData
from poa_bench.report.intervals import row_intervals
from poa_bench.report.tables import DASH, main_scores, narrow_table, row_keys, size_table
from poa_bench.report.ties import score_of
from poa_bench.report.verdict import standing

_SPECIAL = {letter: f"\\{letter}" for letter in "&%$#_{}"} | {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
}
_BOLD = "Bold: the highest of each score and what is within the noise of it, controls included."
_BRACKETS = " In brackets: 95 % intervals of the bootstrap over test pictures and repeats."
_WITH_INTERVAL = re.compile(r"(-?[\d.]+(?: ± [\d.]+)?) (\[-?[\d.]+, -?[\d.]+\])")
_ROWS = 45  # on a page, of one line each
_HEADING_WIDTH = 12  # letters
_NARROW = r"\ifdim\width>\linewidth\linewidth\else\width\fi"


def latex_table(data: ReportData, caption: str, scores: list[str] | None = None) -> str:
    """A `tabular` of every size, or a `longtable` where it is longer than a page; its first line names the packages.

    It has the costs of `main_costs` and `main_scores`, unless `scores` names others: more do not fit on paper. Bold
    marks the highest of each score column and what is within the noise of it, see `marked`; the caption says so. Below
    a score stands its 95 % interval, where it is known.
    """
    scores = main_scores(data) if scores is None else scores
    numbers, shown = size_table(data, scores), _with_intervals(data, scores)
    known = bool(shown[scores].map(_WITH_INTERVAL.search).notna().any(axis=None))
    is_long = len(shown) > (_ROWS // 2 if known else _ROWS)
    styler = shown.style.hide(axis="index").format(escape="latex").format_index(_stacked, axis=1)
    for column in scores:
        best = marked(data, column, numbers)
        styler = styler.apply(
            lambda _, best=best: ["textbf:--rwrap;" if mark else "" for mark in best], subset=[column]
        )
    text = styler.to_latex(
        hrules=True,
        caption=_escaped(f"{caption.rstrip('.')}. {_BOLD}{_BRACKETS * known}"),
        label="tab:sizes",
        position_float=None if is_long else "centering",
        environment="longtable" if is_long else None,
        column_format="l" * _text_columns(shown) + "r" * (shown.shape[1] - _text_columns(shown)),
    )
    text = _WITH_INTERVAL.sub(r"\\shortstack[r]{\1\\\\{\\scriptsize \2}}", text)
    text = text.replace("±", r"$\pm$").replace(DASH, "--").replace("·", r"$\cdot$").replace("†", r"$\dagger$")
    if is_long:
        small = r"\footnotesize\setlength{\tabcolsep}{3pt}"
        return f"% needs \\usepackage{{booktabs,longtable}}\n{{{small}\n{text}}}\n"
    # as wide as the page at most
    start, end = r"\begin{tabular}", r"\end{tabular}"
    text = text.replace(start, rf"\resizebox{{{_NARROW}}}{{!}}{{{start}").replace(end, end + "}")
    return f"% needs \\usepackage{{booktabs,graphicx}}\n{text}"


def _with_intervals(data: ReportData, scores: list[str]) -> pd.DataFrame:
    """`narrow_table` with `[low, high]` behind the scores; the series is left out where there is one."""
    shown, numbers = narrow_table(data, scores), size_table(data, scores)
    for column in scores:
        texts = row_intervals(data, column, numbers)
        shown[column] = [f"{cell} {text}".rstrip() for cell, text in zip(shown[column], texts, strict=True)]
    return shown.drop(columns=["series"]) if shown.series.nunique() == 1 else shown


def marked(data: ReportData, column: str, rows: pd.DataFrame) -> list[bool]:
    """Which rows of `size_table` have the best score of a column or one within the noise of it.

    Controls compete like anybody; nothing is marked where no score is above zero and chance.
    """
    scores = [score_of(data, column, *key) for key in row_keys(rows)]
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


def _text_columns(table: pd.DataFrame) -> int:
    return sum(name in ("size", "series", "alias") for name in table)
