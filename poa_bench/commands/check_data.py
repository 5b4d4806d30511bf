"""Check the data of a config, as training and metric will see them: files, annotations, pipeline, batches, splits.

Examples: poa-bench check-data mask-rcnn_sfp_digits.py
          poa-bench check-data my_pictures.py --all
"""

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("config", help="path of a config, or the base name of one of this project's")
    parser.add_argument("--cfg-options", nargs="+", default=[], metavar="KEY=VALUE", help="override config values")
    parser.add_argument(
        "--all", action="store_true", help="decode every picture and label map, on all cores, instead of a sample"
    )


def run(args: argparse.Namespace) -> None:
    from poa_bench.checks.table import check_and_print

    check_and_print(args.config, args.cfg_options, args.all)
