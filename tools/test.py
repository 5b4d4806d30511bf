"""Evaluate a checkpoint with mmengine's Runner, with the arguments of OpenMMLab's ``tools/test.py``."""

import argparse
import sys

from train import add_common_arguments, run  # beside this file


def parse_arguments() -> argparse.Namespace:
    """Read the command line; nothing slow is imported before, because mim asks for ``-h`` first."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_common_arguments(parser)
    parser.add_argument("checkpoint", help="checkpoint of the trained model")
    parser.add_argument("--tta", action="store_true", help="test-time augmentation, where the config says how")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(run("test", parse_arguments()))
