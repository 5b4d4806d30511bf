"""Exceptions of libraries whose cause is the user's input or machine, in a sentence.

Asked after a failure, so it may look at the traceback; imports nothing that a broken installation lacks.
"""

from __future__ import annotations

import re
import sys
import traceback

from poa_bench.errors import InputError, StoppedError


def explain(error: Exception) -> str | None:
    """The sentence for an exception; None if nobody knows what happened."""
    if "Original Traceback" in str(error):  # of a worker that reads data: its own exception is the last line
        error_type, _, text = str(error).rstrip().splitlines()[-1].partition(": ")
        return text if error_type.rpartition(".")[2] in ("InputError", "OSError") else None
    if isinstance(error, InputError | StoppedError | OSError):
        return str(error)
    rules = (_missing_library, _unknown_type, _memory, _no_home, _file_name, _silence, _data, _not_built)
    return next((said for rule in rules if (said := rule(error)) is not None), None)


def _missing_library(error: Exception) -> str | None:
    if isinstance(error, ImportError):
        return f"{error}: `poa-bench doctor` says how to install what is missing"
    return None


def _unknown_type(error: Exception) -> str | None:
    """mmengine's: 'KnnHok is not in the mmengine::hook registry. Please check ...'."""
    found = re.search(r"([\w.]+) is not in the (?:(\w+)::)?.* registry", str(error))
    if isinstance(error, KeyError) and found:
        from poa_bench.config_values import near_types

        return f"type={found[1]!r}: there is no such type{near_types(found[1], found[2] or 'mmengine')}"
    return None


def _memory(error: Exception) -> str | None:
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        text = str(error).split(". ")[0]
        return f"out of memory ({text}): train in smaller batches (train_dataloader.batch_size) or with --amp"
    return None


def _no_home(error: Exception) -> str | None:
    if isinstance(error, RuntimeError) and "home directory" in str(error):
        return f"{error}: set HOME, or write the path in full instead of ~"
    return None


def _file_name(error: Exception) -> str | None:
    if isinstance(error, UnicodeEncodeError) and "surrogates" in error.reason:
        name = error.object.encode("utf-8", "surrogateescape")
        return f"the name {name!r:.200} is not UTF-8: rename it (`convmv -f latin1 -t utf8` renames whole folders)"
    return None


def _silence(error: Exception) -> str | None:
    if not isinstance(error, RuntimeError) or "torch" not in sys.modules:
        return None
    from poa_bench.patience import explain_silence

    return explain_silence(error)


def _data(error: Exception) -> str | None:
    """A data set, or the annotations that an evaluator compares with, which could not be read."""
    for frame, _ in traceback.walk_tb(error.__traceback__):
        code, names = frame.f_code, frame.f_locals
        if code.co_name == "full_init" and "self" in names:
            place = getattr(names["self"], "ann_file", "") or getattr(names["self"], "data_root", "")
            what = f"the data set {type(names['self']).__name__}{f' ({place})' if place else ''}"
        elif code.co_name == "__init__" and isinstance(names.get("annotation_file"), str):
            what = f"the annotation file {names['annotation_file']}"
        else:
            continue
        said = " ".join(str(error).split())
        return (
            f"{what} cannot be read: {type(error).__name__}: {said}; `poa-bench check-data CONFIG` looks at all of it"
        )
    return None


def _not_built(error: Exception) -> str | None:
    """What a library says of the arguments that a config gives it."""
    if not isinstance(error, TypeError | ValueError | AssertionError | KeyError):
        return None
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    building = [frame.f_locals for frame in frames if re.fullmatch("build(_scheduler)?_from_cfg", frame.f_code.co_name)]
    built = next(
        (names[key] for names in reversed(building) for key in ("obj_cls", "scheduler_cls") if key in names), None
    )
    if built is None:
        return None
    said, name = " ".join(str(error).split()), getattr(built, "__name__", built)
    given = {key: value for key, value in building[-1]["cfg"].items() if key != "params"}  # all weights
    return f"{name} cannot be made of what the config gives it ({type(error).__name__}: {said}): {given!r:.300}"
