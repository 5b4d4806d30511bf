"""Show where a sweep stands: counts, what is running, time left, failures by cause, stale results."""

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `poa-bench status`."""
    from poa_bench.sweep.options import add_sweep_arguments

    add_sweep_arguments(parser)
    parser.add_argument("--watch", action="store_true", help="keep refreshing until everything is done or has failed")


def run(args: argparse.Namespace) -> int | None:
    """Print the status once, or until the sweep has ended."""
    from poa_bench.sweep.options import sweep_of
    from poa_bench.sweep.status import show_status

    try:
        show_status(sweep_of(args), args.watch)
    except KeyboardInterrupt:  # how one leaves --watch; the sweep itself goes on
        return 130
