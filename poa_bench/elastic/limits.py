"""How large numbers may be: a file or a command line that asks for more would stop the machine."""

import itertools
import math
from collections.abc import Iterable, Sequence
from typing import Any

from poa_bench.errors import InputError

MOST_WIDTH, MOST_DEPTH, MOST_SIZES = 1 << 16, 1000, 100_000  # far beyond what anybody trains
MOST_SEED = 2**32 - 1  # numpy's


def check_number(name: str, value: Any) -> None:
    """Raise InputError unless this is a finite number."""
    if type(value) not in (int, float) or not math.isfinite(value):
        raise InputError(f"{name} is {value!r:.80}: it must be a number")


def ascending(name: str, values: int | Sequence[int], most: int) -> tuple[int, ...]:
    """Whole numbers from 1 to `most`, in order and each once; raises InputError for anything else."""
    # more than there can be are not even looked at
    values = tuple(itertools.islice(values, most + 1)) if isinstance(values, Iterable) else (values,)
    if not values or any(type(value) is not int for value in values) or list(values) != sorted({*values}):
        raise InputError(f"{name} {_few(values)} must be ascending positive whole numbers without repetition")
    if not 1 <= values[0] <= values[-1] <= most:
        raise InputError(f"{name} {_few(values)} must lie between 1 and {most}")
    return values


def _few(values: tuple) -> str:
    shown = [value if type(value) is int and abs(value) < 10**20 else f"{value!r:.40}" for value in values[:10]]
    return f"[{', '.join(map(str, shown))}{', ...' if len(values) > 10 else ''}]"
