"""Do the missing runs of a sweep, on this machine or on a SLURM cluster."""

import argparse

from poa_bench.argument_types import not_negative, positive


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `poa-bench run`."""
    from poa_bench.sweep.options import add_sweep_arguments

    add_sweep_arguments(parser)
    parser.add_argument("--executor", choices=("local", "slurm"), default="local", help="where the runs go")
    amount = parser.add_mutually_exclusive_group()
    amount.add_argument("--gpus", type=not_negative, default=0, metavar="N", help="local: use N GPUs")
    amount.add_argument("--jobs", type=positive, metavar="N", help="local, without GPUs: N processes at a time")
    parser.add_argument("--retries", type=not_negative, metavar="N", help="how often a failed run is tried again")
    parser.add_argument("--quiet", action="store_true", help="no progress display")


def run(args: argparse.Namespace) -> int | None:
    """Run the sweep; the exit status is 0 only if every run has its result."""
    from poa_bench.sweep.local import visible_gpus
    from poa_bench.sweep.options import sweep_of
    from poa_bench.sweep.scheduler import run_sweep

    if args.executor == "local" and args.jobs is None and not args.gpus and (unused := len(visible_gpus())):
        print(f"{unused} usable GPUs are here, but the runs go to the CPU: --gpus {unused} uses them")
    try:
        summary = run_sweep(sweep_of(args), args.executor, args.jobs, args.gpus, args.retries, not args.quiet)
    except KeyboardInterrupt:
        print("interrupted; finished runs are kept, run the same command again to go on")
        return 130
    print(summary)
    return summary.exit_code
