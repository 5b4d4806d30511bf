"""Cut sizes out of a network that was trained alone, as controls without training: docs/rules.md.

Writes a checkpoint of which every other command measures and cuts the sizes.

Examples:
  poa-bench slice work_dirs/alone/iter_670.pth --widths 96,112,128 --depths 2,3 -o sliced.pth
  poa-bench slice vit_s.safetensors --widths 192,256 --depths 6,8 --order importance --data digits -o subcloned.pth
"""

import argparse

from poa_bench.argument_types import add_branch, numbers_by_stage, positive, positive_numbers


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `poa-bench slice`."""
    parser.add_argument("checkpoint", help="training checkpoint (.pth), or an extracted ViT (.safetensors)")
    parser.add_argument("-o", "--output", required=True, metavar="FILE", help="the checkpoint to write (.pth)")
    parser.add_argument(
        "--widths", type=positive_numbers, metavar="N,N", help="narrower widths; default: those of the checkpoint"
    )
    parser.add_argument(
        "--depths",
        type=numbers_by_stage,
        metavar="N,N",
        help="smaller depths, of ResNets as 2,3/4,6; default: those of the checkpoint",
    )
    parser.add_argument(
        "--depth-rule",
        choices=("floor", "pairs", "first"),
        default="floor",
        help="which blocks are kept: spread over all (default), pairs of neighbours, or the first",
    )
    parser.add_argument(
        "--alpha", action="store_true", help="multiply slices by full width / width, as POA does while it trains"
    )
    parser.add_argument(
        "--order",
        choices=("as-trained", "importance"),
        default="as-trained",
        help="importance: channels, heads and neurons are first put in order of their mean activations on images of "
        "--data (weight subcloning)",
    )
    parser.add_argument("--data", metavar="NAME", help="an evaluation data set, or its config; for --order importance")
    parser.add_argument("--images", type=positive, default=256, metavar="N", help="how many of its train images [256]")
    add_branch(parser)


def run(args: argparse.Namespace) -> None:
    """Write the checkpoint."""
    from poa_bench.downstream.sliced import slice_network

    print(
        slice_network(
            args.checkpoint,
            args.output,
            data=args.data,
            images=args.images,
            by_importance=args.order == "importance",
            widths=args.widths,
            depths=args.depths,
            depth_rule=args.depth_rule,
            alpha=args.alpha,
            branch=args.branch,
        )
    )
