"""Files of a report that are written on request only: for papers, for other programs and for model hubs.

Nothing heavy is imported before a kind is written, so that the command line can list the kinds at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from poa_bench.errors import InputError
from poa_bench.files import atomic_path, file_name, write_text

if TYPE_CHECKING:
    import pandas as pd

    from poa_bench.report.frame import ReportData

# kind -> what it is
KINDS = {
    "cards": "a model card of every pre-trained network",
    "metafile": "OpenMMLab's metafile.yml and model-index.yml",
    "latex": "the table of sizes as report.tex",
    "parquet": "the long table with its types",
    "png": "the figures as PNG",
    "pdf": "the figures as PDF",
}
FIGURE_KINDS = ("png", "pdf")
_PATTERNS = ("figures/*.*", "cards/*.md", "metafile.yml", "model-index.yml", "report.tex", "results_long.parquet")


def check_kinds(kinds: Iterable[str]) -> list[str]:
    """The kinds in the order of `KINDS`, each once.

    Raises:
        InputError: there is no such kind, or the library that it needs is not installed.
    """
    kinds = set(kinds)
    if unknown := sorted(kinds - KINDS.keys()):
        raise InputError(f"a report has no {', '.join(map(repr, unknown))}: choose from {', '.join(KINDS)}")
    if "parquet" in kinds and find_spec("pyarrow") is None:
        raise InputError("writing parquet needs pyarrow, which is not installed: pip install 'poa_bench[parquet]'")
    return [kind for kind in KINDS if kind in kinds]


def write_on_request(kinds: Iterable[str], data: ReportData, title: str, out: Path) -> list[Path]:
    """Write the kinds of files, which `check_kinds` let pass, below `out`; figures are not among them.

    Returns:
        The files written.
    """
    return [path for kind in kinds if kind not in FIGURE_KINDS for path in _WRITERS[kind](data, title, out)]


def left_over(out: Path, written: Iterable[Path]) -> list[Path]:
    """Files below `out` that an earlier report with more kinds or figures has left: their numbers may be old."""
    found = {path for pattern in _PATTERNS for path in out.glob(pattern)}
    return sorted(found - set(written))


def _cards(data: ReportData, _title: str, out: Path) -> list[Path]:
    from poa_bench.report.cards import card_contexts
    from poa_bench.report.page import render

    cards = card_contexts(data).items()
    return [write_text(out / "cards" / f"{file_name(name)}.md", render("card.md", card)) for name, card in cards]


def _metafile(data: ReportData, _title: str, out: Path) -> list[Path]:
    from poa_bench.report.cards import metafile_texts

    return [write_text(out / name, text) for name, text in metafile_texts(data).items()]


def _latex(data: ReportData, title: str, out: Path) -> list[Path]:
    from poa_bench.report.latex import latex_table

    return [write_text(out / "report.tex", latex_table(data, title))]


def _parquet(data: ReportData, _title: str, out: Path) -> list[Path]:
    return [write_parquet(data.long, out / "results_long.parquet")]


def write_parquet(table: pd.DataFrame, path: Path) -> Path:
    """The long table with its types; facts and config, numbers in one run and words in another, as texts."""
    mixed = [name for name in table if name.startswith(("facts.", "config."))]
    texts = {name: table[name].map(str, na_action="ignore").astype("string") for name in mixed}
    with atomic_path(path) as temporary:
        table.assign(**texts).to_parquet(temporary, index=False)
    return path


_WRITERS: dict[str, Callable[..., list[Path]]] = {
    "cards": _cards,
    "metafile": _metafile,
    "latex": _latex,
    "parquet": _parquet,
}
