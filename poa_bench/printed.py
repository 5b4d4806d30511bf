"""Commands that are printed mean what they say, whatever is in the names: each is written here."""

from __future__ import annotations

import json
import shlex
from ast import literal_eval
from collections.abc import Mapping
from typing import Any


def command(name: str, *words: Any, **options: Any) -> str:
    """A line for a shell that calls `poa-bench NAME` with exactly these values.

    Args:
        words: what has no name, in order.
        options: by their names, `_` for `-`; None and empty values are left out, lists repeat the option, and of `set`
            each item becomes `--set KEY=VALUE`.

    >>> command("export", "my run/iter_9.pth", "vit-w64-d4", o="-x.safetensors", branch=None)
    "poa-bench export 'my run/iter_9.pth' vit-w64-d4 -o=-x.safetensors"
    >>> command("run", "digits", set={"series": "5", "retries": 0})
    'poa-bench run digits --set \\'series="5"\\' --set retries=0'
    """
    line = ["poa-bench", name]
    written = [word for option, value in options.items() for word in _option(option.replace("_", "-"), value)]
    words = [str(word) for word in words]
    if any(word.startswith("-") for word in words):  # after `--` nothing is an option
        return shlex.join([*line, *written, "--", *words])
    return shlex.join([*line, *words, *written])


def assignment(key: str, value: Any) -> str:
    """`KEY=VALUE` that `read_value` reads back as the value."""
    plain = isinstance(value, str) and read_value(value) == value and not value.startswith(('"', "'"))
    return f"{key}={value if plain else json.dumps(value)}"


def read_value(text: str) -> Any:
    """What a text on the command line stands for: JSON, a literal of Python, or itself."""
    for read in (json.loads, literal_eval):
        try:
            return read(text)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            continue
    return text  # plain words are strings


def _option(name: str, value: Any) -> list[str]:
    flag = f"-{name}" if len(name) == 1 else f"--{name}"
    if isinstance(value, Mapping):
        value = [assignment(key, one) for key, one in value.items()]
    values = value if isinstance(value, list) else [] if value in (None, "") else [value]
    # a value that looks like an option has to be tied to its own
    pairs = ([f"{flag}={one}"] if str(one).startswith("-") else [flag, str(one)] for one in values)
    return [word for pair in pairs for word in pair]
