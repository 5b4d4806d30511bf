"""Measure what sizes cost on this machine: parameters, multiply-accumulates, latency, memory.

Examples:
  poa-bench profile work_dirs/run/iter_1000.pth --specs smallest,intact
  poa-bench profile poa_vit-digits.py --batches 1,64 --device cuda --amp bf16

It prints a table; `poa-bench evaluate --tasks profile` keeps the numbers as results.
"""

import argparse

from poa_bench.argument_types import positive, positive_numbers, specs


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `poa-bench profile`."""
    parser.add_argument("source", help="training checkpoint (.pth) or pre-training config (.py)")
    parser.add_argument(
        "--specs", type=specs, default="all", help="all (default), or vit-w64-d4,smallest,middle,intact"
    )
    parser.add_argument("--batches", type=positive_numbers, default="1,32", help="batch sizes; default: 1,32")
    parser.add_argument("--image-size", type=positive, help="side in pixels; default: as in pre-training")
    parser.add_argument("--amp", choices=("off", "bf16", "fp16"), default="off")
    parser.add_argument("--device", choices=("cpu", "cuda"), help="default: cuda where there is one")
    parser.add_argument("--json", action="store_true", help="print a JSON list")


def run(args: argparse.Namespace) -> None:
    """Print one row per size."""
    from poa_bench.downstream.profile import choose_device, format_profile
    from poa_bench.tasks.profile import ProfileProtocol

    device = choose_device(args.device)
    protocol = ProfileProtocol(tuple(args.batches))
    print(format_profile(args.source, protocol, args.specs, args.image_size, device, args.amp, args.json))
