"""One writer for a folder: a lock that the kernel releases however its holder ends, and who that is."""

from __future__ import annotations

import fcntl
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from pydantic import BaseModel, ConfigDict

LOCK = "lock"  # the file in the folder


class Owner(BaseModel):
    """Who writes into a folder: written into its lock."""

    model_config = ConfigDict(extra="forbid")

    host: str
    pid: int
    started: float


@contextmanager
def hold(folder: Path, patience: float = 0.5) -> Iterator[Callable[[], None] | None]:
    """Hold a folder's lock (flock); yields a function that releases it early, or None where another process holds it.

    Args:
        folder: made if missing.
        patience: seconds to wait for somebody who only looks (see `owner`).
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / LOCK).open("a+") as file:
        if not _lock(file, patience):
            yield None
            return
        file.truncate(0)
        file.write(Owner(host=socket.gethostname(), pid=os.getpid(), started=time.time()).model_dump_json())
        file.flush()
        yield file.close


def owner(folder: Path) -> Owner | None:
    """Who holds the folder right now, on whatever machine that shares it; None if nobody does."""
    try:
        file = (folder / LOCK).open()
    except FileNotFoundError:
        return None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return None
        except BlockingIOError:
            try:
                return Owner.model_validate_json(file.read())
            except ValueError:  # locked this very moment, not written yet
                return Owner(host="?", pid=0, started=time.time())


def _lock(file: TextIO, patience: float) -> bool:
    deadline = time.monotonic() + patience
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.05)
