"""Predict operations, memory and hours of a pre-training config."""

import argparse

from poa_bench.argument_types import positive, share


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Config, GPUs and assumptions."""
    parser.add_argument("config", help="a pre-training config, by path or base name")
    parser.add_argument("--cfg-options", nargs="+", default=[], metavar="KEY=VALUE", help="override config values")
    parser.add_argument("--gpu", default="h200", type=str.lower, help="a100, h100 or h200")
    parser.add_argument("--gpus", type=positive, default=8, help="number of GPUs")
    parser.add_argument(
        "--utilisation",
        type=share,
        help="share of the data sheet's rate (default: 0.3 with compile_blocks, 0.2 without)",
    )
    parser.add_argument(
        "--images",
        type=positive,
        help="pictures of the data set (default: those of the config; ImageNet-1K if they are not here)",
    )


def run(arguments: argparse.Namespace) -> None:
    """Print the table."""
    from poa_bench.config_files import read_config
    from poa_bench.config_values import check_config
    from poa_bench.cost import predict
    from poa_bench.launch import override

    config = read_config(arguments.config)
    override(config, arguments.cfg_options)
    check_config(config)
    print(predict(config, arguments.gpu, arguments.gpus, arguments.utilisation, arguments.images))
