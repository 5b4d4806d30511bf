"""List every size of a search space: parameters, multiply-accumulates, how often it is drawn in training.

Examples: poa-bench sizes vit
          poa-bench sizes work_dirs/run/iter_1000.pth --json
"""

import argparse

from poa_bench.argument_types import positive


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", help="vit, swin or resnet for the paper's space, or a training checkpoint (.pth)")
    parser.add_argument("--image-size", type=positive, help="pixels for the MACs; default: as in pre-training")
    parser.add_argument("--json", action="store_true", help="print a JSON list")


def run(args: argparse.Namespace) -> None:
    from poa_bench.downstream.sizes import format_sizes

    print(format_sizes(args.source, args.image_size, args.json))
