"""Prints what :mod:`poa_bench.datasets.check` finds."""

from rich.console import Console
from rich.table import Column, Table

from poa_bench.config_files import read_config
from poa_bench.datasets.check import Checked, check_config
from poa_bench.errors import InputError
from poa_bench.launch import override


def check_and_print(config: str, cfg_options: list[str], every_picture: bool = False) -> None:
    """Check the data of a config and print one line per data set.

    Raises:
        InputError: no such config, or problems with the data, one sentence each.
    """
    found = read_config(config)
    override(found, cfg_options)
    rows = check_config(found, every_picture)
    Console().print(_table(rows))
    if problems := [problem for row in rows for problem in row.problems]:
        raise InputError("\n  ".join([f"{len(problems)} problems:", *problems]) if len(problems) > 1 else problems[0])


def _table(rows: list[Checked]) -> Table:
    table = Table(Column("where", overflow="fold"), Column("data set", overflow="fold"), "pictures", "annotations")
    for name in ("classes decoded", "notes", "ok"):
        table.add_column(name)
    for row in rows:
        annotations = "" if row.annotations is None else str(row.annotations)
        seen = f"{len(row.seen)}/{row.classes}"
        ok = "no" if row.problems else "yes"
        table.add_row(row.where, row.kind, str(row.pictures), annotations, seen, "; ".join(row.notes), ok)
    return table
