"""Check the data of a config: files, counts, one decoded picture per class, label ranges.

Example: poa-bench check-data mask-rcnn_sfp_digits.py
"""

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("config", help="path of a config, or the base name of one of this project's")
    parser.add_argument("--cfg-options", nargs="+", default=[], metavar="KEY=VALUE", help="override config values")


def run(args: argparse.Namespace) -> None:
    from poa_bench.datasets.check_table import check_and_print

    check_and_print(args.config, args.cfg_options)
