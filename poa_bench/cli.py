"""The `poa-bench` command: finds its sub-commands in `poa_bench/commands/`, one file each.

A sub-command module has a docstring (its first line is the help text), `add_arguments(parser)` and
`run(args) -> int | None`; `ALIASES` are other names of the command. It imports torch and the like inside `run`, so that
`-h` answers at once.
"""

import argparse
import importlib
import pkgutil
import sys
from collections.abc import Sequence
from types import ModuleType

from poa_bench import __version__, commands
from poa_bench.entry import run_guarded

DEBUG = "show the whole trace of an error"


def _command_modules() -> dict[str, ModuleType]:
    names = sorted(module.name for module in pkgutil.iter_modules(commands.__path__))
    return {name.replace("_", "-"): importlib.import_module(f"{commands.__name__}.{name}") for name in names}


def build_parser() -> argparse.ArgumentParser:
    """The parser of `poa-bench` with every sub-command found."""
    parser = argparse.ArgumentParser(prog="poa-bench", description=sys.modules["poa_bench"].__doc__)
    parser.add_argument("--version", action="version", version=f"poa_bench {__version__}")
    parser.add_argument("--debug", action="store_true", help=DEBUG)
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, module in _command_modules().items():
        summary = module.__doc__.strip().splitlines()[0]
        subparser = subparsers.add_parser(
            name,
            aliases=getattr(module, "ALIASES", ()),
            help=summary,
            description=module.__doc__,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        subparser.add_argument("--debug", action="store_true", default=argparse.SUPPRESS, help=DEBUG)
        module.add_arguments(subparser)
        subparser.set_defaults(run=module.run)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one sub-command.

    Returns:
        The exit status: what the sub-command returned, or see `run_guarded`.
    """
    args = build_parser().parse_args(arguments)
    return run_guarded(f"poa-bench {args.command}", lambda: args.run(args), args.debug)


if __name__ == "__main__":
    sys.exit(main())
