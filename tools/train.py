"""Train a config with mmengine's Runner, with the arguments of OpenMMLab's ``tools/train.py``."""

import argparse
import os
import sys
from pathlib import Path


def parse_arguments() -> argparse.Namespace:
    """Read the command line; nothing slow is imported before, because mim asks for ``-h`` first."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_common_arguments(parser)
    parser.add_argument(
        "--resume",
        nargs="?",
        const="auto",
        help="go on from the latest checkpoint in the work directory (no value, or auto), or from the one named here",
    )
    parser.add_argument(
        "--amp",
        nargs="?",
        const="bfloat16",
        choices=("bfloat16", "float16"),
        help="mixed precision: bfloat16 on any device (the default of --amp), or float16 with loss scaling on a GPU",
    )
    parser.add_argument(
        "--auto-scale-lr", action="store_true", help="scale the learning rate with the batch, where the config says how"
    )
    return parser.parse_args()


def add_common_arguments(parser: argparse.ArgumentParser) -> None:
    """What training and testing have in common."""
    parser.add_argument("config", help="path of a config, or the base name of one of this project's")
    parser.add_argument("--work-dir", help="where logs and checkpoints go (default: work_dirs/CONFIG)")
    parser.add_argument("--cfg-options", nargs="+", default=[], metavar="KEY=VALUE", help="override config values")
    parser.add_argument("--launcher", choices=("none", "pytorch", "slurm", "mpi"), default="none", help="job launcher")
    parser.add_argument("--debug", action="store_true", help="show the whole trace of an error")
    parser.add_argument("--local_rank", "--local-rank", type=int, default=0, help="set by old launchers")


def run(task: str, arguments: argparse.Namespace) -> int:
    """Call a function of ``poa_bench.launch``; return the exit status, see ``poa_bench.entry.run_guarded``."""
    os.environ.setdefault("LOCAL_RANK", str(arguments.local_rank))
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # a checkout works without being installed

    from poa_bench.entry import run_guarded

    def command() -> None:
        from poa_bench import launch

        getattr(launch, task)(arguments)

    return run_guarded("error", command, arguments.debug, arguments.launcher, lambda: arguments.work_dir)


if __name__ == "__main__":
    sys.exit(run("train", parse_arguments()))
