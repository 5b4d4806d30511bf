"""Print the path of a config file, or list all of them.

Commands of other packages take it: mim train mmdetection $(poa-bench config-path NAME)
Configs of your own inherit it:     _base_ = "..."        (building blocks: poa-bench config-path --blocks)
"""

import re
from argparse import ArgumentParser, Namespace
from itertools import takewhile
from pathlib import Path


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("name", nargs="?", help="base name of a config, with or without .py (default: list all)")
    parser.add_argument("--blocks", action="store_true", help="list what configs are put together from")


def run(args: Namespace) -> None:
    from poa_bench.config_files import building_blocks, find_config, named_configs

    if args.name:
        print(find_config(args.name, building_blocks() | named_configs()))
    elif args.blocks:
        for name, path in building_blocks().items():
            print(f"{path.parent.name}/{name}\n    {_first_sentence(path)}")
    else:
        print("\n".join(named_configs()))


def _first_sentence(path: Path) -> str:
    """What the comment at the head of a config says first."""
    comment = takewhile(lambda line: line.startswith("#"), path.read_text(encoding="utf-8").splitlines())
    return re.split(r"(?<=\.) |:$", " ".join(line.lstrip("# ") for line in comment))[0]
