"""The whole pipeline on the embedded digits: pre-train a supernet, cut it, measure every size, write the report.

If it is interrupted, start it again with the same --out: it resumes where it stopped.
"""

import argparse

from poa_bench.argument_types import seed
from poa_bench.config_files import families_of_the_demo


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--quick", action="store_true", help="a few minutes: short schedules, to see that everything works"
    )
    parser.add_argument(
        "--distill", action="store_true", help="the intact network teaches a second supernet; both are compared"
    )
    parser.add_argument(
        "--out", metavar="DIR", help="folder for everything it makes [work_dirs/demo-FAMILY(-distill)(-quick)]"
    )
    parser.add_argument("--family", choices=families_of_the_demo(), default="vit", help="default: vit")
    parser.add_argument("--seed", type=seed, default=0, help="seed of pre-training and evaluation; default: 0")


def run(args: argparse.Namespace) -> int:
    from poa_bench.demo import Demo

    try:
        return Demo(args.family, args.quick, args.seed, args.out, args.distill).run()
    except KeyboardInterrupt:
        print("interrupted; what is finished is kept, run the same command again to go on")
        return 130
