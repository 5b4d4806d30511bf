"""Print the path of a config file, or list all of them.

Commands of other packages take it: mim train mmdetection $(poa-bench config-path NAME)
"""

from argparse import ArgumentParser, Namespace


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("name", nargs="?", help="base name of a config, with or without .py (default: list all)")


def run(args: Namespace) -> None:
    from poa_bench.config_files import find_config, named_configs

    print(find_config(args.name) if args.name else "\n".join(named_configs()))
