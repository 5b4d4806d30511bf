"""SIGTERM, which clusters send before they take a machine away, and children that end with their parent."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_PARENT_DEATH = 1  # PR_SET_PDEATHSIG of Linux's prctl


class Terminated(BaseException):
    """This process was told to stop by SIGTERM: raised where it happened to be, so that what is open is closed."""


@contextmanager
def on_sigterm(act: Callable[[], None]) -> Iterator[None]:
    """Within the block SIGTERM calls `act` in this process; processes that are copied from it end as ever.

    Only the main thread can listen; in another one nothing changes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    owner = os.getpid()

    def hear(number: int, _frame: object) -> None:
        if os.getpid() != owner:  # a process that loads pictures has a copy of this
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        act()

    before = signal.signal(signal.SIGTERM, hear)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def raise_terminated() -> None:
    """What commands do: unwind."""
    raise Terminated


def end_with_parent() -> None:
    """For `subprocess.Popen(preexec_fn=...)`: SIGTERM for the child when its parent is gone, however that went."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PARENT_DEATH, signal.SIGTERM)
