"""Cut one size out of a pre-trained supernet into a safetensors file that plain timm loads.

Example: poa-bench extract work_dirs/run/iter_1000.pth vit-w384-d12 -o vit_s.safetensors
"""

import argparse

from poa_bench.argument_types import add_branch


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("checkpoint", help="training checkpoint (.pth) of a poa_bench pre-training")
    parser.add_argument("spec", help="size to cut: vit-w384-d12, or an alias such as vit-s")
    parser.add_argument("-o", "--output", required=True, help="file to write (.safetensors)")
    add_branch(parser)


def run(args: argparse.Namespace) -> None:
    from poa_bench.elastic.checkpoint import extract_file

    print(extract_file(args.checkpoint, args.spec, args.output, args.branch))
