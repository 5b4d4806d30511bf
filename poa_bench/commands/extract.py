"""Cut one size out of a pre-trained supernet into a safetensors file that plain timm loads.

Examples: poa-bench extract work_dirs/run/iter_1000.pth vit-w384-d12 -o vit_s.safetensors
          poa-bench extract work_dirs/detector/epoch_36.pth -o detectors_backbone.safetensors
"""

import argparse

from poa_bench.argument_types import add_branch


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "checkpoint", help="training checkpoint (.pth) of a pre-training, or of a dense or fine-tuned model"
    )
    parser.add_argument("spec", nargs="?", help="size to cut: vit-w384-d12, or an alias such as vit-s; a model has one")
    parser.add_argument("-o", "--output", required=True, help="file to write (.safetensors)")
    add_branch(parser)


def run(args: argparse.Namespace) -> None:
    from poa_bench.downstream.fine_tuned import extract

    print(extract(args.checkpoint, args.spec, args.output, args.branch))
