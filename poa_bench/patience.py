"""Nothing waits for ever without a word: limits for processes that train together or read data, and who is silent."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import socket
import threading
import time
from datetime import timedelta
from types import FrameType
from typing import Any, NamedTuple

from mmengine import dist
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.runner import Runner

from poa_bench.registry import HOOKS

LOADER_SECONDS = 600  # for a batch
PROCESS_SECONDS = 1800  # for another process of the run; one of them may evaluate while the others wait
BEAT_SECONDS = 2.0
_LOADER = re.compile(r"DataLoader timed out|DataLoader worker|unable to open shared memory|bus error", re.I)
_SILENCE = re.compile(r"timed? ?out|connection (closed|reset)|broken pipe", re.I)


def set_limits(config: Config) -> None:
    """Give data loaders with processes and groups of processes a limit, where the config has none."""
    for name in ("train_dataloader", "val_dataloader", "test_dataloader"):
        if (loader := config.get(name)) and loader.get("num_workers", 0) > 0:
            loader.setdefault("timeout", LOADER_SECONDS)
    settings = dict(config.get("env_cfg") or {})
    group = {"backend": "nccl", "timeout": PROCESS_SECONDS, **(settings.get("dist_cfg") or {})}
    config.env_cfg = {**settings, "dist_cfg": group}


def limit_of(config: Config) -> timedelta:
    """How long a process of the run waits for another one."""
    return timedelta(seconds=config.env_cfg.dist_cfg.timeout)


@HOOKS.register_module()
class LoaderAlarmHook(Hook):
    """Ends a training whose next batch does not come, where torch's own limit does not hold.

    A process that reads data and is stopped in the middle leaves torch waiting for a file descriptor, without limit.
    """

    priority = "LOWEST"  # the last word on a step; `before_train_iter` comes when its batch is there

    def __init__(self) -> None:
        self._seconds = 0.0
        self._dataset: Any = None
        self._waited = False  # at the last ring, for the batch that has not come yet
        self._before: Any = None

    def before_train(self, runner: Runner) -> None:
        """Listen; only the main thread can."""
        loader = runner.train_loop.dataloader
        if loader.timeout and threading.current_thread() is threading.main_thread():
            self._seconds, self._dataset = loader.timeout, loader.dataset
            self._before = signal.signal(signal.SIGALRM, self._ring)

    def after_train(self, runner: Runner) -> None:
        """Listen no longer."""
        if self._seconds:
            signal.alarm(0)
            signal.signal(signal.SIGALRM, self._before)

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """The batch has come."""
        signal.alarm(0)
        self._waited = False

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """The next one is awaited."""
        if self._seconds:
            signal.setitimer(signal.ITIMER_REAL, self._seconds)

    def _ring(self, _number: int, frame: FrameType | None) -> None:
        """The second ring in the same wait ends it; an evaluation in between reads data, too, and is no wait."""
        waits = self._is_fetching(frame)
        if waits and self._waited:
            raise RuntimeError(f"DataLoader timed out after {self._seconds:g} seconds")
        self._waited = waits
        signal.setitimer(signal.ITIMER_REAL, self._seconds)

    def _is_fetching(self, frame: FrameType | None) -> bool:
        """Whether the training's own loader is at work."""
        while frame is not None:
            if frame.f_code.co_filename.endswith("torch/utils/data/dataloader.py"):
                return getattr(frame.f_locals.get("self"), "_dataset", None) is self._dataset
            frame = frame.f_back
        return False


class Sign(NamedTuple):
    """What a process says of itself: how often it has done so, iterations done, and where it is."""

    beat: int
    iteration: int
    host: str
    pid: str


@HOOKS.register_module()
class RollCallHook(Hook):
    """Each of several processes gives a sign every two seconds, so that a silent one can be named."""

    def __init__(self) -> None:
        self._end = threading.Event()

    def before_train(self, runner: Runner) -> None:
        """Begin, in a thread of its own."""
        if dist.get_world_size() > 1:
            self._end.clear()
            threading.Thread(target=self._beat, args=(runner,), daemon=True).start()

    def after_train(self, runner: Runner) -> None:
        """End."""
        self._end.set()

    def _beat(self, runner: Runner) -> None:
        beat, name = 0, f"poa_bench/{dist.get_rank()}"
        while True:
            beat += 1
            try:
                _store().set(name, f"{beat} {runner.iter} {socket.gethostname()} {os.getpid()}")
            except RuntimeError:  # the process that keeps the signs is gone, which the training will notice itself
                return
            if self._end.wait(BEAT_SECONDS):
                return


def explain_silence(error: Exception) -> str | None:
    """A sentence where a data loader or another process did not answer; None for any other error."""
    said = " ".join(str(error).split())
    if _LOADER.search(said):
        free = f"{shutil.disk_usage('/dev/shm').free // 2**20} MB" if os.path.isdir("/dev/shm") else "unknown"
        return (
            f"a process that reads data gave no batch ({said:.200}): it was killed or stopped, its disk does not "
            f"answer, or /dev/shm (free: {free}) is too small (docker: --shm-size=8g); the limits are "
            "train_dataloader.timeout (seconds) and train_dataloader.num_workers"
        )
    if dist.is_distributed() and _SILENCE.search(said):
        return (
            f"another process of the run did not answer: {_who()}; its own log may say why, and the limit is "
            "env_cfg.dist_cfg.timeout (seconds). The same command with --resume goes on "
            f"({type(error).__name__}: {said:.200})"
        )
    return None


def _who() -> str:
    """Which processes give no sign any more, or else are behind the others."""
    found: list[dict[int, Sign | None]] = []
    # asking has no limit of its own where rank 0 is stopped, which keeps the signs
    asking = threading.Thread(target=_ask_twice, args=(found,), daemon=True)
    asking.start()
    asking.join(6 * BEAT_SECONDS)
    if len(found) < 2:
        return "rank 0, which keeps the others together, gives no sign"
    before, after = found
    silent = [rank for rank, sign in after.items() if sign == before[rank]]
    least = min(sign.iteration if sign else 0 for sign in after.values())
    behind = [rank for rank, sign in after.items() if not sign or sign.iteration == least]
    named = [f"rank {rank} (process {after[rank].pid} on {after[rank].host})" for rank in silent if after[rank]]
    if named:
        return f"{', '.join(named)} gives no sign"
    if len(behind) < len(after):
        return f"rank {', '.join(map(str, behind))} did not come further than iteration {least}"
    return f"all came to iteration {least}"


def _ask_twice(found: list[dict[int, Sign | None]]) -> None:
    with contextlib.suppress(RuntimeError):  # rank 0 is gone
        found.append(_signs())
        time.sleep(3 * BEAT_SECONDS)
        found.append(_signs())


def _signs() -> dict[int, Sign | None]:
    """The last sign of each rank."""
    found: dict[int, Sign | None] = {}
    for rank in range(dist.get_world_size()):
        name = f"poa_bench/{rank}"
        words = _store().get(name).decode().split() if _store().check([name]) else None
        found[rank] = words and Sign(int(words[0]), int(words[1]), *words[2:])
    return found


def _store() -> Any:
    from torch.distributed import distributed_c10d

    return distributed_c10d._get_default_store()  # there is no public way to the group's own
