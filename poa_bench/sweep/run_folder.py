"""The state of runs on disk. A run's folder `<results>/<run id>/` holds

- `result.json`, once it is finished,
- `failure-<n>.json`, one for each failed attempt, with the whole traceback,
- `lock`, held (flock) by the process that works on the run: released by the kernel however that process ends.
"""

from __future__ import annotations

import socket
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from poa_bench import locks
from poa_bench.errors import InputError
from poa_bench.files import atomic_path, remove_leftovers
from poa_bench.locks import Owner
from poa_bench.machine import allow_open_files
from poa_bench.runs.galleries import GALLERY_FILE
from poa_bench.runs.outcome_files import OUTCOMES_FILE
from poa_bench.runs.results import RESULT_FILE, read_result
from poa_bench.runs.run import Run

State = Literal["done", "running", "failed", "waiting"]


class Failure(BaseModel):
    """One failed attempt. `cause` is one line, by which failures are grouped; `error` the whole text."""

    model_config = ConfigDict(extra="forbid")

    run_id: str
    run: str
    attempt: int
    cause: str
    error: str
    host: str
    created: AwareDatetime


def is_done(directory: Path, run_id: str) -> bool:
    """Whether the run has left a result (a file under that name is always whole)."""
    return (directory / run_id / RESULT_FILE).exists()


def set_broken_aside(directory: Path, run_ids: Iterable[str]) -> None:
    """Results that cannot be read become `broken-result.json`: their runs are simply done again."""
    for path in (directory / run_id / RESULT_FILE for run_id in run_ids):
        try:
            if path.exists():
                read_result(path)
        except InputError:
            path.rename(path.with_name("broken-result.json"))


@contextmanager
def hold(directory: Path, run_id: str, patience: float = 0.5) -> Iterator[Callable[[], None] | None]:
    """Hold the run's lock, see `locks.hold`; what a process that was killed has left half-written is removed."""
    folder = directory / run_id
    with locks.hold(folder, patience) as release:
        if release is not None:
            for name in (RESULT_FILE, OUTCOMES_FILE, GALLERY_FILE):
                remove_leftovers(folder, name)
        yield release


@contextmanager
def hold_missing(directory: Path, runs: Iterable[Run]) -> Iterator[dict[str, Callable[[], None]]]:
    """Hold the runs that are neither done nor in other hands: yields a function for each that releases it early.

    Raises:
        InputError: the machine does not allow as many open files.
    """
    runs, releases = list(runs), {}
    allow_open_files(len(runs))
    with ExitStack() as held:
        for run in runs:
            release = held.enter_context(hold(directory, run.id))
            # asked after locking: somebody may have finished the run a moment ago
            if release is not None and not is_done(directory, run.id):
                releases[run.id] = release
        yield releases


def owner(directory: Path, run_id: str) -> Owner | None:
    """Who works on the run right now, see `locks.owner`."""
    return locks.owner(directory / run_id)


def record_failure(directory: Path, run: Run, error: Exception | str, cause: str | None = None) -> Failure:
    """Keep a failed attempt in full.

    Args:
        error: the exception with its traceback, or a text.
        cause: one line by which failures are grouped; the exception's own by default.
    """
    text = error if isinstance(error, str) else "".join(traceback.format_exception(error))
    if cause is None:
        cause = f"{type(error).__name__}: {error}".splitlines()[0]
    attempt = count_failures(directory, run.id) + 1
    failure = Failure(
        run_id=run.id,
        run=str(run),
        attempt=attempt,
        cause=cause[:300],
        error=text,
        host=socket.gethostname(),
        created=datetime.now(timezone.utc),
    )
    with atomic_path(directory / run.id / f"failure-{attempt}.json") as temporary:
        temporary.write_text(failure.model_dump_json(indent=1) + "\n", encoding="utf-8")
    return failure


def count_failures(directory: Path, run_id: str) -> int:
    """How many attempts have failed so far."""
    return len(list((directory / run_id).glob("failure-*.json")))


def last_failure(directory: Path, run_id: str) -> Failure | None:
    """The latest failed attempt."""
    attempt = count_failures(directory, run_id)
    if attempt == 0:
        return None
    path = directory / run_id / f"failure-{attempt}.json"
    try:
        return Failure.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):  # the disk was full, or somebody has changed it
        what = f"{path} cannot be read: its log is all that is known"
        now = datetime.now(timezone.utc)
        return Failure(run_id=run_id, run=run_id, attempt=attempt, cause=what, error=what, host="?", created=now)


def state_of(directory: Path, run_id: str) -> State:
    """Where a run stands; running is asked before failed, since a failed run may be tried again."""
    if is_done(directory, run_id):
        return "done"
    if owner(directory, run_id) is not None:
        return "running"
    return "failed" if count_failures(directory, run_id) else "waiting"


def causes(failures: Iterable[Failure]) -> dict[str, list[Failure]]:
    """Failures grouped by cause, the most frequent first."""
    groups: dict[str, list[Failure]] = {}
    for failure in failures:
        groups.setdefault(failure.cause, []).append(failure)
    return dict(sorted(groups.items(), key=lambda item: -len(item[1])))
