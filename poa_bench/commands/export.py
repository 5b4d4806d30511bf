"""Write one size of a pre-trained supernet, or all, as files for timm, mmpretrain, the Hugging Face hub or ONNX.

Without --to it is a safetensors file that plain timm loads. `extract` is another name for the same command.

Examples: poa-bench export work_dirs/run/iter_1000.pth vit-w384-d12 -o vit_s.safetensors
          poa-bench export work_dirs/run/iter_1000.pth vit-w384-d12 --to onnx -o vit_s.onnx
          poa-bench export work_dirs/run/iter_1000.pth --all -o all_sizes
          poa-bench export work_dirs/detector/epoch_36.pth -o detectors_backbone.safetensors
"""

import argparse

from poa_bench.argument_types import add_branch, positive

ALIASES = ("extract",)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "checkpoint", help="training checkpoint (.pth) of a pre-training, or of a dense or fine-tuned model"
    )
    parser.add_argument(
        "spec",
        nargs="?",
        help="size to cut: vit-w384-d12, or an alias such as vit-s; not needed for a dense or fine-tuned model",
    )
    parser.add_argument("--all", action="store_true", help="write every size of the space; goes on where it stopped")
    targets = ["timm", "mmpretrain", "hf", "onnx"]
    parser.add_argument("--to", default="timm", choices=targets, help="target library [%(default)s]")
    parser.add_argument("-o", "--output", required=True, help="file to write; a folder for hf and with --all")
    add_branch(parser)
    parser.add_argument(
        "--image-size",
        type=positive,
        metavar="PIXELS",
        help="image size, for a network that takes any, such as a ResNet; default: that of the training",
    )
    for name in ("mean", "std"):
        text = "of the training images, from 0 to 1; only for old checkpoints, which do not record it"
        parser.add_argument(f"--{name}", nargs=3, type=float, metavar="X", help=text)


def run(args: argparse.Namespace) -> int | None:
    from poa_bench.downstream.fine_tuned import export
    from poa_bench.elastic.export import export_all
    from poa_bench.errors import InputError

    if args.all and args.spec is not None:
        raise InputError(f"--all and the size {args.spec} are given: leave one of them out")
    if args.all and args.to != "timm":
        raise InputError(f"--all writes files for timm only, not for {args.to}: name the sizes one by one")
    inputs = {"image_size": args.image_size, "mean": args.mean, "std": args.std}
    if not args.all:
        print(export(args.checkpoint, args.spec, args.to, args.output, args.branch, **inputs))
        return None
    try:
        print(export_all(args.checkpoint, args.output, args.branch, **inputs))
    except KeyboardInterrupt:
        print("interrupted; what is written is kept, run the same command again to go on")
        return 130
