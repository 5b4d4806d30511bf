"""Measure sizes of a pre-trained supernet with light tasks, such as k-NN and linear probe, all sizes in one process.

Or a network from outside, any of timm's: docs/outside.md.

Examples:
  poa-bench evaluate work_dirs/run/iter_1000.pth --data digits -o results
  poa-bench evaluate CKPT --data digits --tasks knn --specs vit-w64-d4,intact --initialisation random -o results
  poa-bench evaluate CKPT --data digits --initialisation pixels -o results
  poa-bench evaluate timm:vit_small_patch14_dinov2.lvd142m --weights dinov2_vits14_pretrain.pth --image-size 224 \\
    --data digits -o results
  poa-bench evaluate CKPT --data imagenet --tasks linear --protocols linear-sgd-i12500-b2048-testsplit/1 -o results
"""

import argparse

from poa_bench.argument_types import add_branch, json_object, names, positive, seeds, specs


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `poa-bench evaluate`."""
    parser.add_argument(
        "checkpoint",
        help="training checkpoint (.pth); for the controls, a pre-training config (.py) will do; or a network from "
        "outside: timm:NAME, timm:local-dir:FOLDER",
    )
    parser.add_argument("--data", required=True, help="an evaluation data set (digits) or the path of its config")
    parser.add_argument(
        "-o", "--output", required=True, metavar="DIR", help="results folder; results that are already there are kept"
    )
    parser.add_argument(
        "--tasks",
        type=names,
        default="knn,linear,profile",
        help="light tasks, such as kmeans,retrieval,rank; default: knn,linear,profile",
    )
    parser.add_argument("--specs", type=specs, default="all", help="all (default) or vit-w64-d4,smallest,middle,intact")
    parser.add_argument(
        "--protocols", type=names, default="", help="protocols, such as knn-k20-T0.07/1; each task has a default"
    )
    parser.add_argument("--initialisation", choices=("pretrained", "random", "pixels"), default="pretrained")
    parser.add_argument(
        "--series",
        metavar="NAME",
        help="show several checkpoints as one line of the report: sizes 'trained alone', or repeats with other seeds; "
        "the name of a network from outside",
    )
    parser.add_argument(
        "--seeds",
        type=seeds,
        default="0",
        metavar="N,N",
        help="measurement seeds, for random initialisation and for a held-out validation split; default: 0",
    )
    parser.add_argument("--amp", choices=("off", "bf16", "fp16"), default="off", help="autocast of the network")
    add_branch(parser)
    outside = parser.add_argument_group("networks from outside")
    outside.add_argument("--weights", metavar="FILE", help=".safetensors or .pth; default: what timm has for the name")
    outside.add_argument("--image-size", type=positive, metavar="PX", help="default: what timm says of the name")
    outside.add_argument("--licence", metavar="TEXT", help="for its card; default: what timm says of the weights")
    outside.add_argument("--training-data", metavar="TEXT", help="for its card")
    outside.add_argument(
        "--timm-arguments",
        type=json_object,
        metavar="JSON",
        help="""of timm.create_model, such as '{"window_size": 8}'""",
    )
    parser.add_argument("--device", choices=("cpu", "cuda"), help="default: cuda where there is one")


def run(args: argparse.Namespace) -> None:
    """Write the results that are missing."""
    from poa_bench.sweep.light import evaluate_checkpoint

    results = evaluate_checkpoint(
        args.checkpoint,
        args.data,
        args.output,
        args.device,
        tasks=args.tasks,
        specs=args.specs,
        initialisation=args.initialisation,
        protocols=args.protocols,
        seeds=args.seeds,
        settings={"amp": args.amp, **({"branch": args.branch} if args.branch else {})},
        series=args.series,
        outside={
            "weights": args.weights,
            "image_size": args.image_size,
            "licence": args.licence,
            "training_data": args.training_data,
            "arguments": args.timm_arguments,
        },
    )
    print(f"{len(results)} new results in {args.output}")
