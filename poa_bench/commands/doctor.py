"""Show what is installed, whether it works together, and how to repair what does not.

The exit status is 1 if something needed is missing or broken.
"""

from argparse import ArgumentParser, Namespace


def add_arguments(parser: ArgumentParser) -> None:
    pass


def run(args: Namespace) -> int:
    from poa_bench import doctor

    return doctor.main()
