"""What `argparse` makes of the words of a command line; a word that does not fit ends in one sentence.

`argparse` prints the message of an `ArgumentTypeError` behind the name of the argument.
"""

import json
import math
from argparse import ArgumentParser, ArgumentTypeError
from typing import Any

from poa_bench.elastic.branch import BRANCHES
from poa_bench.elastic.limits import MOST_SEED

UNITS = {"K": 1e3, "M": 1e6, "G": 1e9, "B": 1e9}


def add_branch(parser: ArgumentParser) -> None:
    """`--branch`: which network of a training checkpoint."""
    text = "which network (default: the one its objective evaluates, POA: teacher); -unaveraged: without EMAHook"
    parser.add_argument("--branch", choices=BRANCHES, help=text)


def names(text: str) -> list[str]:
    """`a,b` -> `["a", "b"]`; of nothing at all, the default of some arguments, `[]`."""
    found = [name for name in map(str.strip, text.split(",")) if name]
    if text and not found:
        raise ArgumentTypeError(f"{text!r} names nothing: write names with commas between them")
    return found


def specs(text: str) -> str | list[str]:
    """`all`, or a list of sizes."""
    return text if text == "all" else names(text)


def positive(text: str) -> int:
    """A whole number from 1 on."""
    return _whole(text, 1)


def not_negative(text: str) -> int:
    """A whole number from 0 on."""
    return _whole(text, 0)


def seed(text: str) -> int:
    """A seed, as numpy takes it."""
    if (value := _whole(text, 0)) > MOST_SEED:
        raise ArgumentTypeError(f"{text!r} does not fit: a seed is a whole number from 0 to {MOST_SEED}")
    return value


def positive_numbers(text: str) -> list[int]:
    """`1,32` -> `[1, 32]`."""
    return [positive(word) for word in names(text)]


def numbers_by_stage(text: str) -> list[list[int]]:
    """`2,3/4,6` -> `[[2, 3], [4, 6]]`."""
    return [positive_numbers(stage) for stage in text.split("/")]


def seeds(text: str) -> list[int]:
    """`0,1` -> `[0, 1]`."""
    return [seed(word) for word in names(text)]


def json_object(text: str) -> dict[str, Any]:
    """`{"a": 1}` -> `{"a": 1}`."""
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise ArgumentTypeError(f'{text!r} is no JSON object: write it like {{"global_pool": "avg"}}')
    return found


def share(text: str) -> float:
    """A part of a whole: above 0, at most 1."""
    value = _float(text)
    if value is None or not 0 < value <= 1:
        raise ArgumentTypeError(f"{text!r} is no share: write a number above 0 and at most 1, such as 0.3")
    return value


def amount(text: str) -> float:
    """`30M` -> 30e6, `4.5G` -> 4.5e9, `1200` -> 1200."""
    unit = UNITS.get(text[-1:].upper())
    value = _float(text[:-1] if unit else text)
    if value is None or not 0 < value * (unit or 1) < math.inf:
        raise ArgumentTypeError(
            f"{text!r} is no amount: write a positive number, if you like with K, M, G or B, such as 30M"
        )
    return value * (unit or 1)


def _whole(text: str, least: int) -> int:
    try:
        value = int(text)
    except ValueError:
        value = least - 1
    if value < least:
        raise ArgumentTypeError(f"{text!r} does not fit: write a whole number from {least} on")
    return value


def _float(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
