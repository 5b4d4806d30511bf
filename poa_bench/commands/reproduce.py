"""Reproduce a published comparison at a size of your choice: every training, every measurement, one table.

`seed-table` is the paper's Table 4: POA, SEED from a dedicated large network, sizes trained alone, and an elastic
student of that network, at the roles S, B and L. What is finished is not repeated: start it again after a break.

Examples:
  poa-bench reproduce seed-table --scale tiny --jobs 2
  poa-bench reproduce seed-table --scale small --jobs 2                    # CIFAR-10, hours
  poa-bench reproduce seed-table --scale paper --print --launch "torchrun --nproc_per_node=8"
"""

import argparse
import shlex

from poa_bench.argument_types import positive, seeds


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `poa-bench reproduce`."""
    parser.add_argument("comparison", choices=("seed-table",))
    parser.add_argument(
        "--scale",
        choices=("tiny", "small", "paper"),
        default="tiny",
        help="tiny (default): embedded digits, minutes; small: CIFAR-10, hours on 2 cores; paper: ImageNet configs",
    )
    parser.add_argument("--out", metavar="DIR", help="folder for everything it makes [work_dirs/seed-table-SCALE]")
    parser.add_argument("--jobs", type=positive, default=1, metavar="N", help="trainings at a time [1]")
    parser.add_argument("--seeds", type=seeds, default="", metavar="N,N", help="of pre-training [0,1,2]")
    parser.add_argument(
        "--launch",
        default="",
        metavar="COMMAND",
        help="what starts a training's processes: 'torchrun --nproc_per_node=8'",
    )
    parser.add_argument("--print", action="store_true", help="only print the commands, for a cluster of your own")


def run(args: argparse.Namespace) -> None:
    """Do it, or print how."""
    from poa_bench.seed_table import SeedTable

    table = SeedTable(args.scale, args.out, args.jobs, args.seeds, shlex.split(args.launch))
    if args.print:
        print("\n".join(table.commands()))
        return
    print(f"the table is {table.run()}")
