"""Runs chunks as processes of this machine, packed on its GPUs or cores."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import time
from collections.abc import Sequence
from multiprocessing.process import BaseProcess
from typing import Literal, NamedTuple

from poa_bench.errors import InputError
from poa_bench.machine import cores
from poa_bench.sweep.worker import Chunk, run_as_process

LOG_TAIL = 4000  # characters kept of a dead worker's log
GRACE = 20  # seconds from SIGTERM to SIGKILL; clusters give 30 or more


class Ended(NamedTuple):
    """A chunk whose process is gone.

    Attributes:
        death: how it died; None if it came to its own end.
        killed: it died by a signal, so that any one of its runs may be the cause.
        log_tail: the last that it printed.
    """

    chunk: Chunk
    death: str | None
    killed: bool
    log_tail: str


def tail(chunk: Chunk) -> str:
    """The end of what a chunk's process printed."""
    return chunk.log.read_text(errors="replace")[-LOG_TAIL:] if chunk.log.exists() else ""


def visible_gpus() -> list[str]:
    """The GPUs that this process may use, each as `CUDA_VISIBLE_DEVICES` names it."""
    import torch

    count = torch.cuda.device_count()
    named = [name.strip() for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name.strip()]
    return (named or [str(number) for number in range(count)])[:count]


def _choose_gpus(wanted: int) -> list[str]:
    found = visible_gpus() if wanted else []
    if wanted > len(found):
        advice = f"--gpus {len(found)}" if found else "--jobs N for N processes on the CPU"
        raise InputError(f"--gpus {wanted}, but torch finds {len(found)} usable GPUs here: give {advice}")
    return found[:wanted]


class LocalExecutor:
    """Starts as many chunks at once as GPUs or jobs allow.

    Args:
        jobs: processes at a time on the CPU; by default one for each two cores, at least two where there are two.
        gpus: GPUs to use; with any, each process gets its own ones and `jobs` is not looked at.
        preload: modules that every process will need.
        start: how processes start. `forkserver` imports the libraries once, in a process that does nothing else, and
            copies it; `fork` copies this one, which is safe only if it has computed nothing.

    Raises:
        InputError: `jobs` or `gpus` is out of range, or there are fewer GPUs.
    """

    def __init__(
        self,
        jobs: int | None = None,
        gpus: int = 0,
        preload: Sequence[str] = (),
        start: Literal["forkserver", "fork"] = "forkserver",
    ) -> None:
        if (jobs is not None and jobs < 1) or gpus < 0:
            raise InputError(f"jobs {jobs} must be at least 1 and gpus {gpus} at least 0")
        self._free_gpus = _choose_gpus(gpus)
        self.gpus = gpus
        self.jobs = gpus or jobs or max(min(cores(), 2), cores() // 2)
        self._context = multiprocessing.get_context(start)
        self._context.set_forkserver_preload([run_as_process.__module__, *preload])
        self._queue: list[Chunk] = []
        self._running: list[tuple[Chunk, BaseProcess, list[str]]] = []

    @property
    def busy(self) -> bool:
        """Whether anything is running or queued."""
        return bool(self._queue or self._running)

    @property
    def in_flight(self) -> list[Chunk]:
        """Chunks that are queued or running."""
        return self._queue + [chunk for chunk, _, _ in self._running]

    def parts(self, runs: int) -> int:
        """How many chunks to make of this many light runs: one for each process that can run beside the others."""
        return min(self.jobs, runs)

    def submit(self, chunks: list[Chunk]) -> None:
        """Queue chunks: light ones before all others, and then those last that must be alone.

        Raises:
            InputError: a run needs more GPUs than there are.
        """
        for chunk in chunks:
            if chunk.gpus > max(self.gpus, 1):
                raise InputError(
                    f"{chunk.runs[0].task} wants {chunk.gpus} GPUs for each run and there are {self.gpus}: "
                    "give --gpus, or change `gpus` and the batch size in the sweep config"
                )
        self._queue = sorted(self._queue + chunks, key=lambda chunk: chunk.turn)
        self._start()

    def poll(self) -> list[Ended]:
        """Chunks that ended since the last call; starts what now has room."""
        ended = []
        for entry in list(self._running):
            chunk, process, gpus = entry
            if (code := process.exitcode) is not None:
                self._running.remove(entry)
                self._free_gpus += gpus
                _kill_group(process)
                ended.append(Ended(chunk, _death(code), code < 0, tail(chunk)))
        self._start()
        return ended

    def stop(self) -> None:
        """End everything that runs; finished runs are on disk, trainings have some seconds to save what they have."""
        self._queue.clear()
        for _, process, _ in self._running:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
        deadline = time.monotonic() + GRACE
        for _, process, _ in self._running:
            process.join(max(deadline - time.monotonic(), 0))
            _kill_group(process)
            process.join()
        self._running.clear()

    def _start(self) -> None:
        for chunk in list(self._queue):
            if self._running and (chunk.alone or self._running[0][0].alone):
                return  # nothing starts beside a chunk that must be alone
            wanted = min(chunk.gpus, self.gpus)
            if len(self._running) >= self.jobs or wanted > len(self._free_gpus):
                return
            self._queue.remove(chunk)
            taken, self._free_gpus = self._free_gpus[:wanted], self._free_gpus[wanted:]
            self._running.append((chunk, self._launch(chunk, taken), taken))

    def _launch(self, chunk: Chunk, gpus: list[str]) -> BaseProcess:
        threads = str(cores() if chunk.alone else max(1, cores() // self.jobs))
        environment = {
            "OMP_NUM_THREADS": threads,
            "MKL_NUM_THREADS": threads,
            "CUDA_VISIBLE_DEVICES": ",".join(gpus),
        }
        chunk = chunk.model_copy(update={"gpus": len(gpus)})
        chunk.log.parent.mkdir(parents=True, exist_ok=True)
        process = self._context.Process(target=run_as_process, args=(chunk, environment))
        process.start()
        return process


def _kill_group(process: BaseProcess) -> None:
    process.kill()
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)  # with whatever it has started


def _death(code: int) -> str | None:
    if code == 0:
        return None
    return f"worker killed by {signal.Signals(-code).name}" if code < 0 else f"worker ended with exit code {code}"
