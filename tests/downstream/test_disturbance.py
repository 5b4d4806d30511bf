"""A busy machine is noticed, a quiet one is not: hand-made cases, made-up clocks, and a real busy loop beside it."""

import os
import subprocess
import sys
import time

import numpy as np
import pytest
import torch

from poa_bench.downstream import disturbance
from poa_bench.downstream.disturbance import Clock, Reference, Span, disturbances, seconds_waiting, watched
from poa_bench.downstream.profile import disturbance_facts, profile_module
from poa_bench.tasks.profile import ProfileProtocol
from tests.downstream.networks import tiny_supernet

QUIET = (Reference(1.0), Reference(1.0))
CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("span", "references", "on_gpu", "expected"),
    [
        (Span(1.0, 1.0), QUIET, False, []),
        (Span(1.0, 0.91), QUIET, False, []),
        (Span(1.0, 0.89), QUIET, False, ["waited for a processor 11% of the time"]),
        (Span(2.0, 1.0), QUIET, False, ["waited for a processor 50% of the time"]),
        # two threads that share one processor get as much as time goes by: only Linux tells
        (Span(1.0, 1.0, 0.05), QUIET, False, []),
        (Span(1.0, 1.0, 1.0), QUIET, False, ["waited for a processor 100% of the time"]),
        (Span(1.0, 2.0, None), QUIET, False, []),
        # a process that waits for a GPU may sleep, but not be kept from running
        (Span(1.0, 0.1, 0.01), QUIET, True, []),
        (Span(1.0, 0.1, 0.3), QUIET, True, ["waited for a processor 30% of the time"]),
        (Span(1.0, 1.0), (Reference(1.2), Reference(1.0)), False, []),
        (
            Span(1.0, 1.0),
            (Reference(1.0), Reference(1.5)),
            False,
            ["a fixed product of matrices took 1.5 times as long as at its quickest"],
        ),
        (Span(1.0, 1.0), (Reference(1.0, 1980.0), Reference(1.0, 1800.0)), True, []),
        (
            Span(1.0, 1.0),
            (Reference(1.0, 1980.0), Reference(1.0, 1410.0)),
            True,
            ["the GPU's clock went from 1980 to 1410 MHz"],
        ),
        (Span(1.0, 1.0), (Reference(1.0, None), Reference(1.0, 1410.0)), True, []),
    ],
)
def test_signs_by_hand(span, references, on_gpu, expected):
    assert disturbances(span, references, 1.0, on_gpu) == expected


class MadeUp:
    """A clock on which each call of `call` takes a millisecond, of which it has the processor for a given share."""

    def __init__(self, *shares: float):
        self.shares, self.now, self.used, self.measured = list(shares), 0.0, 0.0, 0
        self.clock = Clock(self.tick, lambda: self.used, lambda: None)

    def tick(self) -> float:
        self.now, self.used = self.now + 1e-3, self.used + 1e-3  # so that the fixed product always takes as long
        return self.now

    def measure(self) -> np.ndarray:
        share = self.shares[min(self.measured, len(self.shares) - 1)]
        self.measured += 1
        self.now, self.used = self.now + 1.0, self.used + share
        return np.full(10, 0.1 / share)


@pytest.fixture(autouse=True)
def no_memory(monkeypatch):
    monkeypatch.setattr(disturbance, "_quickest", {})


def test_a_quiet_machine_is_measured_once_and_not_marked():
    made = MadeUp(1.0)
    found = watched(made.measure, CPU, made.clock)
    assert (found.signs, found.tries, made.measured) == ([], 1, 1) and found.waited == 0
    assert disturbance_facts({1: found}) == {"waited_percent": 0.0, "most_tries": 1}


def test_what_is_disturbed_is_measured_again():
    made = MadeUp(0.5, 1.0)
    found = watched(made.measure, CPU, made.clock)
    assert (found.signs, found.tries, made.measured) == ([], 2, 2) and found.times[0] == 0.1


def test_what_stays_disturbed_is_marked_and_the_quickest_kept():
    made = MadeUp(0.25, 0.5, 0.4)
    found = watched(made.measure, CPU, made.clock)
    assert (found.tries, made.measured, found.times[0]) == (3, 3, 0.2) and found.waited == pytest.approx(0.5, abs=2e-3)
    quiet = MadeUp(1.0)
    facts = disturbance_facts({1: watched(quiet.measure, CPU, quiet.clock), 32: found})
    assert facts["disturbed"] == "batch 32: waited for a processor 50% of the time" and facts["most_tries"] == 3


def test_a_slower_machine_than_before_is_noticed(monkeypatch):
    """Nothing waits, but the fixed product takes twice as long as for the network before."""
    pace = iter([1.0] * 4 + [2.0] * 6)
    monkeypatch.setattr(disturbance, "reference", lambda device, clock: Reference(next(pace)))
    first, second, third = (watched(made.measure, CPU, made.clock) for made in (MadeUp(1.0), MadeUp(1.0), MadeUp(1.0)))
    assert first.signs == second.signs == []
    assert third.signs == ["a fixed product of matrices took 2.0 times as long as at its quickest"]


def test_clocks_of_a_gpu(monkeypatch):
    """NVML's numbers go into the signs; without NVML, or without its permission, there are none."""
    device = torch.device("cuda", 0)
    monkeypatch.setattr(disturbance, "find_spec", lambda name: object())
    monkeypatch.setattr(torch.cuda, "clock_rate", lambda device: 1755)
    assert disturbance.gpu_clock(device) == 1755.0 and disturbance.gpu_clock(CPU) is None
    monkeypatch.setattr(torch.cuda, "clock_rate", lambda device: (_ for _ in ()).throw(RuntimeError("not supported")))
    assert disturbance.gpu_clock(device) is None
    monkeypatch.setattr(disturbance, "find_spec", lambda name: None)
    monkeypatch.setattr(torch.cuda, "clock_rate", lambda device: pytest.fail("NVML is not there"))
    assert disturbance.gpu_clock(device) is None
    pace = iter([1980.0, 1200.0] * 3)
    monkeypatch.setattr(disturbance, "reference", lambda device, clock: Reference(1.0, next(pace)))
    made = MadeUp(1.0)
    found = watched(made.measure, device, made.clock)
    assert found.signs == ["the GPU's clock went from 1980 to 1200 MHz"]
    assert disturbance_facts({1: found})["gpu_clock_mhz"] == 1200.0


@pytest.fixture
def one_processor():
    """This thread on one processor, with one torch thread, and a busy loop of another process on the same."""
    if not hasattr(os, "sched_setaffinity"):
        pytest.skip("this system cannot pin a process to a processor")
    allowed, threads = os.sched_getaffinity(0), torch.get_num_threads()
    os.sched_setaffinity(0, {min(allowed)})
    torch.set_num_threads(1)
    busy = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    time.sleep(0.3)
    yield
    busy.kill()
    busy.wait()
    os.sched_setaffinity(0, allowed)
    torch.set_num_threads(threads)


def test_a_busy_loop_beside_it_is_noticed(one_processor):
    net = tiny_supernet("vit")
    metrics, facts = profile_module(net.extract(net.space.smallest), 32, ProfileProtocol((8,), seconds=0.2))
    assert "batch 8: waited for a processor" in facts["disturbed"] and facts["most_tries"] == 3
    assert facts["waited_percent"] > 30 and all(value > 0 for value in metrics.values())


def test_waiting_is_what_a_thread_lacks_of_the_processor(one_processor):
    if seconds_waiting() is None:
        pytest.skip("this kernel does not say how long a thread waits")
    start = time.perf_counter(), time.process_time(), seconds_waiting()
    while time.perf_counter() - start[0] < 0.5:
        pass
    clocks = (time.perf_counter, time.process_time, seconds_waiting)
    wall, used, waited = (now() - then for now, then in zip(clocks, start, strict=True))
    assert waited > 0.1 and used + waited == pytest.approx(wall, rel=0.15)
