"""Write one size of a pre-trained supernet, or all, for timm, mmpretrain, the Hugging Face hub or onnx.

Examples: poa-bench export work_dirs/run/iter_1000.pth vit-w384-d12 --to onnx -o vit_s.onnx
          poa-bench export work_dirs/run/iter_1000.pth --all --to timm -o all_sizes
"""

import argparse

from poa_bench.argument_types import positive

_IMAGENET = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("checkpoint", help="training checkpoint (.pth) of a poa_bench pre-training")
    parser.add_argument("spec", nargs="?", help="size to cut: vit-w384-d12, or an alias such as vit-s")
    parser.add_argument("--all", action="store_true", help="write every size of the space; goes on where it stopped")
    parser.add_argument("--to", required=True, choices=["timm", "mmpretrain", "hf", "onnx"], help="target library")
    parser.add_argument("-o", "--output", required=True, help="file to write; a folder for hf and with --all")
    parser.add_argument("--branch", default="teacher", choices=["teacher", "student"], help="default: teacher")
    parser.add_argument(
        "--image-size",
        type=positive,
        metavar="PIXELS",
        help="of the images (onnx and hf) of a network that takes any size, as a ResNet does; default: 224",
    )
    for name, default in _IMAGENET.items():
        text = f"of the training images, from 0 to 1 (hf only); default: ImageNet's {default}"
        parser.add_argument(f"--{name}", nargs=3, type=float, default=default, metavar="X", help=text)


def run(args: argparse.Namespace) -> int | None:
    from poa_bench.elastic.export import export_all, export_file
    from poa_bench.errors import InputError

    if args.all == (args.spec is not None):
        raise InputError("give either one size or --all")
    if args.all and args.to != "timm":
        raise InputError(f"--all writes files for timm only, not for {args.to}: name the sizes one by one")
    if not args.all:
        mean, std = tuple(args.mean), tuple(args.std)
        source = (args.checkpoint, args.spec, args.to, args.output)
        print(export_file(*source, args.branch, mean, std, args.image_size))
        return None
    try:
        print(export_all(args.checkpoint, args.output, args.branch))
    except KeyboardInterrupt:
        print("interrupted; what is written is kept, run the same command again to go on")
        return 130
