"""Evaluate a checkpoint with mmengine's Runner, with the arguments of OpenMMLab's ``tools/test.py``."""

import argparse
import os
import sys
from pathlib import Path


def parse_arguments() -> argparse.Namespace:
    """Read the command line; nothing slow is imported before, because mim asks for ``-h`` first."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", help="path of a config, or the base name of one of this project's")
    parser.add_argument("checkpoint", help="checkpoint of the trained model")
    parser.add_argument("--work-dir", help="where logs go (default: work_dirs/CONFIG)")
    parser.add_argument("--cfg-options", nargs="+", default=[], metavar="KEY=VALUE", help="override config values")
    parser.add_argument("--launcher", choices=("none", "pytorch", "slurm", "mpi"), default="none", help="job launcher")
    parser.add_argument("--local_rank", "--local-rank", type=int, default=0, help="set by old launchers")
    return parser.parse_args()


def main() -> int:
    """Test; return the exit status."""
    arguments = parse_arguments()
    os.environ.setdefault("LOCAL_RANK", str(arguments.local_rank))
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # a checkout works without being installed

    from poa_bench.errors import InputError
    from poa_bench.launch import test

    try:
        test(arguments)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
