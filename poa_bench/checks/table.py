"""Prints what :mod:`poa_bench.checks.check` finds."""

from rich.console import Console
from rich.table import Column, Table

from poa_bench.checks.check import Checked, check_config
from poa_bench.checks.result import CHECKS
from poa_bench.config_files import read_config
from poa_bench.errors import InputError
from poa_bench.launch import override


def check_and_print(config: str, cfg_options: list[str], every_picture: bool = False) -> None:
    """Check the data of a config and print one table, a column for each data set.

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
    table = Table("checked", *(Column(row.where, overflow="fold") for row in rows))
    facts = {
        "data set": [row.kind for row in rows],
        "pictures": [str(row.pictures) for row in rows],
        "looked at": [_looked_at(row) for row in rows],
        "annotations": ["" if row.annotations is None else str(row.annotations) for row in rows],
        "classes seen": [f"{len(row.seen)}/{row.classes}" for row in rows],
    }
    for name, cells in facts.items():
        if any(cells):
            table.add_row(name, *cells)
    table.add_section()
    for check in (one for one in CHECKS if any(one in row.fine for row in rows)):
        table.add_row(check, *(row.fine.get(check, "") for row in rows))
    table.add_section()
    table.add_row("to know", *("; ".join(row.notes) for row in rows))
    table.add_row("ok", *("no" if row.problems else "yes" for row in rows))
    return table


def _looked_at(row: Checked) -> str:
    return "all" if row.read == row.pictures else f"{row.read} (--all: every one)"
