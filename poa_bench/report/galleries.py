"""The page's galleries: test pictures in rows; what is true, and what sizes and controls made of them, in columns.

Runs have drawn them (`runs/galleries.py`). Nothing is computed here, and no task is known by name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from poa_bench.errors import InputError
from poa_bench.report.frame import sort_specs
from poa_bench.runs.galleries import HANDFUL, MISSING

if TYPE_CHECKING:
    import pandas as pd

    from poa_bench.report.frame import ReportData
    from poa_bench.runs.galleries import Gallery, Picture, Row

PAGE_BYTES = 500_000  # of all pictures of a page, as they stand in it; what is more is left out
_LEGEND = 24  # names of a table's colours


@dataclass(frozen=True)
class Cell:
    """A picture on the page: its address, what it shows in words, and the line below it; empty where there is none."""

    uri: str = ""
    alt: str = ""
    caption: str = ""


@dataclass
class GalleryTable:
    """One gallery of the page.

    Attributes:
        name: of the gallery.
        about: how to read it.
        of: data set, and series where there are several.
        tasks, protocols: that measured it; several where all of their pictures are the same.
        columns: headings, the truth first.
        rows: the name of each test picture, and its cells.
        legend: what colours mean.
    """

    name: str
    about: str
    of: list[str]
    tasks: list[str]
    protocols: list[str]
    columns: list[str]
    rows: list[tuple[str, list[Cell]]]
    legend: dict[str, str] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """As in `patch-knn, patch-linear · ade20k · Label maps`."""
        return " · ".join([", ".join(self.tasks), *self.of, self.name])

    @property
    def size(self) -> int:
        """Bytes of the pictures in the page."""
        return sum(len(cell.uri) for _, cells in self.rows for cell in cells)

    def first(self, count: int) -> GalleryTable:
        """The same with at most so many rows."""
        return replace(self, rows=self.rows[:count])


@dataclass
class PageGalleries:
    """What the page shows.

    Attributes:
        tables: in the order of the report's columns.
        left_out: how many test pictures' rows were left out, so that the page stays small.
        unread: gallery files that could not be read, `{run id: why}`.
        undrawn: why runs have none though their task draws them, each reason once.
    """

    tables: list[GalleryTable] = field(default_factory=list)
    left_out: int = 0
    unread: dict[str, str] = field(default_factory=dict)
    undrawn: list[str] = field(default_factory=list)


class _Reader:
    """Galleries of runs, each read once."""

    def __init__(self, galleries: Mapping[str, Sequence[Gallery]]) -> None:
        self.unread: dict[str, str] = {}
        self._galleries = galleries

    def of(self, run: str) -> list[Gallery]:
        if run in self.unread:
            return []
        try:
            return list(self._galleries.get(run, ()))
        except InputError as error:  # the report says it
            self.unread[run] = str(error)
            return []


def page_galleries(data: ReportData, limit: int = PAGE_BYTES) -> PageGalleries:
    """The galleries of a report, of every pre-trained series: its smallest, middle and largest size, and controls."""
    reader, tables = _Reader(data.galleries), []
    rows = _runs(data)
    for (task, dataset, protocol), group in rows.groupby(["task", "dataset", "protocol"], sort=False):
        for series in data.pretrained:
            of = [dataset, *[series] * (len(data.pretrained) > 1)]
            for found in _found(data, group, series, reader):
                table = _alike(tables, _table(found, of))
                table.tasks += [task] * (task not in table.tasks)
                table.protocols.append(protocol)
    undrawn = rows[f"facts.{MISSING}"].dropna().unique().tolist() if f"facts.{MISSING}" in rows else []
    shown, left_out = within(tables, limit)
    return PageGalleries(shown, left_out, reader.unread, undrawn)


def _alike(tables: list[GalleryTable], new: GalleryTable) -> GalleryTable:
    """The table that shows the same already, else the new one, which is added."""
    shown = ("name", "of", "columns", "rows")
    for table in tables:
        if all(getattr(table, each) == getattr(new, each) for each in shown):
            return table
    tables.append(new)
    return new


def _runs(data: ReportData) -> pd.DataFrame:
    """One row per run that is not stale, in the order of the report's columns; repeats by pre-training and seed."""
    fresh = data.long[data.long.stale == ""].drop_duplicates("run_id")
    place = {column: number for number, column in enumerate(data.columns.index)}
    order = fresh.assign(place=fresh.column.map(place)).sort_values("created", ascending=False)
    return order.sort_values(["place", "pretraining", "seed"], kind="stable")


def _found(data: ReportData, group: pd.DataFrame, series: str, reader: _Reader) -> Iterator[dict[str, Gallery]]:
    """Of one protocol and series, the columns of each table: galleries of one name by their headings."""
    columns = {heading: reader.of(run) for heading, run in _columns(data, group, series)}
    for name in dict.fromkeys(gallery.name for galleries in columns.values() for gallery in galleries):
        yield {
            heading: gallery for heading, galleries in columns.items() for gallery in galleries if gallery.name == name
        }


def _columns(data: ReportData, group: pd.DataFrame, series: str) -> list[tuple[str, str]]:
    """Headings and run ids: the first repeat of three sizes that have galleries, and of the controls of the largest."""
    first = group[group.run_id.isin(list(data.galleries))].drop_duplicates(["series", "spec"])
    own = first[first.series == series].set_index("spec").run_id
    sizes = sorted(own.index, key=lambda spec: _cost(first, spec))
    if not sizes:
        return []
    names = {sizes[0]: "smallest", sizes[len(sizes) // 2]: "middle", sizes[-1]: "largest"}
    chosen = dict.fromkeys([sizes[0], sizes[len(sizes) // 2], sizes[-1]])
    found = [(f"{names[spec]}: {spec}" if len(sizes) > 1 else spec, own[spec]) for spec in chosen]
    for control in data.controls:
        rows = first[(first.series == control) & first.spec.isin(["", sizes[-1]])]
        found += [(f"{control}{': ' * bool(row.spec)}{row.spec}", row.run_id) for row in rows.itertuples()]
    return found


def _cost(rows: pd.DataFrame, spec: str) -> tuple:
    known = rows[rows.spec == spec].parameters.dropna()
    return (known.iloc[0] if len(known) else 0, sort_specs(rows.spec).index(spec))


def _table(found: Mapping[str, Gallery], of: list[str]) -> GalleryTable:
    """Columns beside each other, rows by the name of the test picture; name and sentence are the first column's."""
    first = next(iter(found.values()))
    by_name = {heading: {row.name: row for row in gallery.rows} for heading, gallery in found.items()}
    names = dict.fromkeys(row.name for gallery in found.values() for row in gallery.rows)
    rows, legend = [], {}
    for name in list(names)[: 2 * HANDFUL]:
        own = {heading: of_heading.get(name) for heading, of_heading in by_name.items()}
        rows.append((name, _cells(first, name, own)))
        for row in filter(None, own.values()):
            legend |= row.truth.legend | row.found.legend
    legend = dict(list(legend.items())[:_LEGEND])
    return GalleryTable(first.name, first.about, of, [], [], [first.truth, *found], rows, legend)


def _cells(gallery: Gallery, name: str, own: Mapping[str, Row | None]) -> list[Cell]:
    truth = next(row.truth for row in own.values() if row is not None)
    cells = [_cell(truth, f"{name}, {gallery.truth}")]
    return cells + [
        Cell() if row is None else _cell(row.found, f"{gallery.name}, {name}, {heading}")
        for heading, row in own.items()
    ]


def _cell(picture: Picture, alt: str) -> Cell:
    return Cell(picture.uri, f"{alt}: {picture.caption}" if picture.caption else alt, picture.caption)


def within(tables: Sequence[GalleryTable], limit: int) -> tuple[list[GalleryTable], int]:
    """Tables with as many rows each as fit into so many bytes together, and how many rows that leaves out.

    Where even one row of each is too much, the last tables are left out.
    """
    count = max((len(table.rows) for table in tables), default=1)
    while count > 1 and sum(table.first(count).size for table in tables) > limit:
        count -= 1
    shown: list[GalleryTable] = []
    for table in (table.first(count) for table in tables):
        if table.size <= limit:
            shown.append(table)
            limit -= table.size
    return shown, sum(len(table.rows) for table in tables) - sum(len(table.rows) for table in shown)
