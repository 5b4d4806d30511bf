"""List what a sweep consists of: runs with their ids, how many are done, how long the rest takes."""

import argparse

from poa_bench.argument_types import positive


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `poa-bench plan`."""
    from poa_bench.sweep.options import add_sweep_arguments

    add_sweep_arguments(parser)
    parser.add_argument("--ids", action="store_true", help="print every run with its id and state")
    parser.add_argument("--jobs", type=positive, default=1, help="processes at a time, for the time estimate")


def run(args: argparse.Namespace) -> int | None:
    """Print the plan."""
    from poa_bench.sweep.options import sweep_of
    from poa_bench.sweep.status import describe_plan

    print(describe_plan(sweep_of(args), args.jobs, args.ids))
