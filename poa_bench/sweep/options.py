"""Command-line arguments that the sweep commands share."""

import argparse


def add_sweep_arguments(parser: argparse.ArgumentParser) -> None:
    """SWEEP, `--checkpoint`, `--results`, `--set`."""
    parser.add_argument("sweep", metavar="SWEEP", help="a sweep config: a file, or a name in downstream/sweeps/")
    parser.add_argument(
        "--checkpoint", action="append", metavar="PATH", help="in place of the config's `checkpoints`; may be repeated"
    )
    parser.add_argument("--results", metavar="DIR", help="in place of the config's `results`")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="replace a value: --set tasks.0.seeds=[1,2]"
    )


def sweep_of(args: argparse.Namespace):
    """The `Sweep` that the arguments describe."""
    from poa_bench.sweep.plan import load_sweep

    return load_sweep(args.sweep, args.checkpoint, args.results, dict(_assignment(text) for text in args.set))


def _assignment(text: str) -> tuple[str, object]:
    from poa_bench.errors import InputError
    from poa_bench.printed import read_value

    key, found, value = text.partition("=")
    if not found:
        raise InputError(f"--set {text}: write KEY=VALUE, for example --set retries=2")
    return key, read_value(value)
