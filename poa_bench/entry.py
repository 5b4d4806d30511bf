"""What the commands do with an exception: one sentence, an exit status, and where the whole trace is.

Imports nothing slow: `-h` answers at once.
"""

from __future__ import annotations

import hashlib
import os
import platform
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

from poa_bench.errors import InputError, StoppedError
from poa_bench.explanations import explain
from poa_bench.machine import complete_user
from poa_bench.signals import Terminated, on_sigterm, raise_terminated

BAD_INPUT, STOPPED, INTERRUPTED, BROKEN_PIPE, TERMINATED = 2, 1, 130, 141, 143
VERSIONED = ("poa_bench", "torch", "torchvision", "timm", "onedl-mmengine", "onedl-mmcv", "onedl-mmdetection")
# how a launcher tells a process its number
RANKS = {"pytorch": "RANK", "slurm": "SLURM_PROCID", "mpi": "OMPI_COMM_WORLD_RANK"}
AT_ONCE = 60  # seconds in which the processes of one run fail for one reason


def run_guarded(
    name: str,
    command: Callable[[], int | None],
    debug: bool = False,
    launcher: str = "none",
    folder: Callable[[], str | None] = lambda: None,
) -> int:
    """Call a command; an exception becomes a sentence on standard error.

    The processes of one run that fail alike say it once on each machine.

    Args:
        name: of the command, before the sentence.
        command: what it returns is the exit status (None: 0).
        debug: show the trace.
        launcher: what has started this process: `none`, `pytorch`, `slurm` or `mpi`.
        folder: where a trace is written; the system's temporary folder if there is none.

    Returns:
        The exit status: 2 for bad input, 1 for anything unexpected and for a run that had to stop, 130 after Ctrl-C,
        141 if nobody reads the output, 143 after SIGTERM.
    """
    complete_user()
    try:
        with on_sigterm(raise_terminated):
            status = command() or 0
        sys.stdout.flush()
        return status
    except Terminated:
        print(f"{name}: stopped by SIGTERM; what is finished is kept", file=sys.stderr)
        return TERMINATED
    except KeyboardInterrupt:
        print(f"{name}: interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # `poa-bench sizes vit | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    except Exception as error:
        said = explain(error)
        rank = os.environ.get(RANKS.get(launcher, ""))
        if rank is None or _is_first(said or _unexpected(error)):
            _say(name, said, error, debug, folder(), rank)
        _end_children()
        return STOPPED if said is None or isinstance(error, StoppedError) else BAD_INPUT


def _end_children() -> None:
    """One that is stopped ends by nothing else, and Python would wait for it."""
    if (processes := sys.modules.get("multiprocessing")) is not None:
        for child in processes.active_children():
            child.kill()


def _say(name: str, said: str | None, error: Exception, debug: bool, folder: str | None, rank: str | None) -> None:
    if debug:
        traceback.print_exception(error)
    sentence = said or (
        f"{_unexpected(error)}; this should not happen: see whether `poa-bench doctor` finds the cause, else report it "
        "with the file of the trace"
    )
    if not debug and (said is None or not isinstance(error, InputError | StoppedError | OSError)):
        sentence += f" (the whole trace: {_write_trace(error, folder, rank)})"
    print(f"{name}: {sentence}", file=sys.stderr)


def _unexpected(error: Exception) -> str:
    place = traceback.extract_tb(error.__traceback__)[-1]
    text = " ".join(str(error).split())
    return f"unexpected {type(error).__name__}: {text:.500} ({place.filename}, line {place.lineno})"


def _write_trace(error: Exception, folder: str | None, rank: str | None) -> str:
    """Write what a report needs; returns the file's name."""
    directory = folder if folder and os.path.isdir(folder) else None
    lines = [f"command: {sys.argv}", f"python {platform.python_version()} on {platform.platform()}"]
    for distribution in VERSIONED:
        try:
            lines.append(f"{distribution} {metadata.version(distribution)}")
        except metadata.PackageNotFoundError:
            continue
    prefix = f"poa_bench-error-{time.strftime('%Y%m%d-%H%M%S')}{f'-rank{rank}' if rank else ''}-"
    text = "\n".join([*lines, "", "".join(traceback.format_exception(error))])
    descriptor, path = tempfile.mkstemp(".txt", prefix, directory)
    with open(descriptor, "w", encoding="utf-8", errors="backslashreplace") as stream:
        stream.write(text)
    return path


def _is_first(said: str) -> bool:
    """Whether this process is the first of its run, on this machine, to say this.

    The processes that a launcher starts on one machine have the same parent. None of them can leave it to another: the
    launcher ends the others as soon as one has failed.
    """
    run = [os.getppid(), os.environ.get("MASTER_PORT"), os.environ.get("TORCHELASTIC_RESTART_COUNT"), said]
    name = hashlib.sha256(str(run).encode("utf-8", "backslashreplace")).hexdigest()[:24]
    marker = Path(tempfile.gettempdir(), f"poa_bench-said-{name}")
    try:
        marker.open("x").close()
    except FileExistsError:
        return time.time() - marker.stat().st_mtime > AT_ONCE  # of an earlier run, whose numbers came again
    except OSError:
        pass
    return True
