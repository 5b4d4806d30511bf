"""Did other work disturb what was timed? On a busy machine a network of 1 ms takes 10, and the number does not say so.

Three signs are looked for. Where there is one, the measurement is repeated; if no try is quiet, it is kept with a mark:

- The threads waited for a processor: the process got less of it than time went by, or Linux says how long they were
  ready and did not run (`/proc/self/task/*/schedstat`; where several threads share the work, processor time alone hides
  that).
- A fixed product of matrices, before and after, takes longer than at its quickest in this process: heat, another clock,
  a neighbour on the same core.
- The clock of the GPU is another one after than before (NVML, where it is installed).
"""

import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch

MOST_WAITED = 0.1  # share of the time
MOST_SLOWER = 1.25  # times the quickest
LEAST_CLOCK = 0.9  # of the higher one
TRIES = 3
_SIDE = 256  # of the matrices on a CPU: some tenths of a millisecond
_SIDE_GPU = 2048
_PRODUCTS, _SECONDS = 5, 0.02  # at least, of the fixed product
_quickest: dict[tuple[str, int], float] = {}  # seconds of the product, by device and threads


@dataclass(frozen=True)
class Clock:
    """Seconds since some moment, seconds of the processor in all threads, and those spent waiting for it (or None)."""

    wall: Callable[[], float] = time.perf_counter
    processor: Callable[[], float] = time.process_time
    waiting: Callable[[], float | None] = lambda: seconds_waiting()


@dataclass(frozen=True)
class Span:
    """A stretch of time in seconds, see `Clock`; `waiting` is the sum over threads."""

    wall: float
    processor: float
    waiting: float | None = None

    def waited(self, on_gpu: bool = False) -> float:
        """Which share of the time the work waited for a processor; a process that waits for a GPU may be asleep."""
        lacking = 0.0 if on_gpu else 1 - self.processor / self.wall
        return max(0.0, lacking, (self.waiting or 0.0) / self.wall)


@dataclass(frozen=True)
class Reference:
    """How quick the machine is at a moment: median seconds of the fixed product, MHz of the GPU's clock if known."""

    product: float
    clock: float | None = None


@dataclass(frozen=True)
class Watched:
    """What was timed, and how the machine did.

    Attributes:
        times: seconds of each call.
        signs: of a disturbance, each in words; none on a quiet machine.
        waited: share of the time.
        tries: how often it was measured.
        clock: MHz of the GPU's clock after it.
    """

    times: np.ndarray
    signs: list[str]
    waited: float
    tries: int = 1
    clock: float | None = None


def watched(
    measure: Callable[[], np.ndarray], device: torch.device | str = "cpu", clock: Clock | None = None
) -> Watched:
    """Measure until nothing disturbs it, at most `TRIES` times.

    Args:
        measure: returns the seconds of each call.
        device: where the calls compute.
        clock: by default the machine's.

    Returns:
        The first quiet measurement; if there is none, the quickest, since a disturbance only adds time.
    """
    clock, device, found = clock or Clock(), torch.device(device), []
    for number in range(1, TRIES + 1):
        before, start = reference(device, clock), _now(clock)
        times = measure()
        span, after = _since(start, clock), reference(device, clock)
        quickest = quickest_product(device, (before, after))
        signs = disturbances(span, (before, after), quickest, device.type == "cuda")
        found.append(Watched(times, signs, span.waited(device.type == "cuda"), number, after.clock))
        if not signs:
            return found[-1]
    best = min(found, key=lambda each: float(np.median(each.times)))
    return Watched(best.times, best.signs, best.waited, TRIES, best.clock)


def disturbances(span: Span, references: Sequence[Reference], quickest: float, on_gpu: bool = False) -> list[str]:
    """The signs of a disturbance in words: of what was timed, and of the references before and after it.

    Args:
        span: of what was timed.
        references: in order.
        quickest: seconds of the fixed product on a quiet machine.
        on_gpu: whether the work was a GPU's.
    """
    signs = []
    if (waited := span.waited(on_gpu)) > MOST_WAITED:
        signs.append(f"waited for a processor {waited:.0%} of the time")
    if (slower := max(each.product for each in references) / quickest) > MOST_SLOWER:
        signs.append(f"a fixed product of matrices took {slower:.1f} times as long as at its quickest")
    clocks = [each.clock for each in references if each.clock]
    if clocks and min(clocks) < LEAST_CLOCK * max(clocks):
        signs.append(f"the GPU's clock went from {clocks[0]:.0f} to {clocks[-1]:.0f} MHz")
    return signs


def reference(device: torch.device, clock: Clock) -> Reference:
    """Time the fixed product now; its first call, which may set something up, does not count."""
    side = _SIDE_GPU if device.type == "cuda" else _SIDE
    matrix = torch.full((side, side), 1 / side, device=device)
    wait = torch.cuda.synchronize if device.type == "cuda" else lambda: None
    times, start = [], 0.0
    while len(times) <= _PRODUCTS or sum(times[1:]) < _SECONDS:
        wait()
        start = clock.wall()
        matrix @ matrix
        wait()
        times.append(clock.wall() - start)
    return Reference(float(np.median(times[1:])), gpu_clock(device))


def quickest_product(device: torch.device, references: Sequence[Reference]) -> float:
    """The least seconds of the product so far in this process, with this device and number of threads."""
    key = (str(device), torch.get_num_threads())
    _quickest[key] = min([*(each.product for each in references), _quickest.get(key, float("inf"))])
    return _quickest[key]


def gpu_clock(device: torch.device) -> float | None:
    """MHz of a GPU's clock; None where it cannot be read, as without NVML."""
    if device.type != "cuda" or find_spec("pynvml") is None:
        return None
    try:
        return float(torch.cuda.clock_rate(device))
    except Exception:  # NVML's errors have a class only where it is installed: not supported, not permitted
        return None


def seconds_waiting() -> float | None:
    """How long the threads of this process have been ready and did not run, in all; None where Linux says nothing."""
    total = 0
    for file in Path("/proc/self/task").glob("*/schedstat"):
        with contextlib.suppress(OSError):  # a thread that has just ended
            total += int(file.read_text().split()[1])
    return total / 1e9 if total else None


def _now(clock: Clock) -> tuple[float, float, float | None]:
    return clock.wall(), clock.processor(), clock.waiting()


def _since(start: tuple[float, float, float | None], clock: Clock) -> Span:
    wall, processor, waiting = _now(clock)
    waited = None if waiting is None or start[2] is None else max(0.0, waiting - start[2])
    return Span(wall - start[0], processor - start[1], waited)
