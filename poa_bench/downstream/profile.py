"""What a size costs: latency and memory, measured here on the stock network that would be deployed."""

import os
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.profiler import ProfilerActivity

from poa_bench.downstream.features import AMP_DTYPES, autocast
from poa_bench.downstream.protocols import ProfileProtocol


def profile_module(
    module: nn.Module,
    image_size: int,
    protocol: ProfileProtocol,
    device: torch.device | str = "cpu",
    amp: str = "off",
) -> tuple[dict[str, float], dict[str, str]]:
    """Measure one network on random images.

    Args:
        module: runs on (B, 3, image_size, image_size); in evaluation mode.
        image_size: side in pixels.
        protocol: batch sizes and how often.
        device: where it runs.
        amp: `off`, `bf16` or `fp16`.

    Returns:
        Metrics `latency_p50_ms_batch1`, `latency_p95_ms_batch1`, `images_per_second_batch1`, `memory_mb_batch1`
        (activations at their peak, without weights), the same for each batch size; and their units.
    """
    module = module.to(device).eval()
    metrics: dict[str, float] = {}
    units: dict[str, str] = {}
    for batch_size in protocol.batch_sizes:
        images = torch.randn(batch_size, 3, image_size, image_size, device=device)

        @torch.no_grad()
        def forward(images: Tensor = images) -> None:
            with autocast(device, amp):
                module(images)

        times = time_calls(forward, device, protocol)
        measured = {
            "latency_p50_ms": (1000 * float(np.percentile(times, 50)), "ms"),
            "latency_p95_ms": (1000 * float(np.percentile(times, 95)), "ms"),
            "images_per_second": (batch_size / float(np.median(times)), "images/s"),
            "memory_mb": (peak_activation_bytes(forward, device) / 1e6, "MB"),
        }
        metrics |= {f"{name}_batch{batch_size}": value for name, (value, _) in measured.items()}
        units |= {f"{name}_batch{batch_size}": unit for name, (_, unit) in measured.items()}
    return metrics, units


def time_calls(call: Callable[[], None], device: torch.device | str, protocol: ProfileProtocol) -> np.ndarray:
    """Seconds of each call after warm-up, the device's queue empty before and after."""
    for _ in range(protocol.warm_up):
        call()
    times: list[float] = []
    _wait(device)
    while len(times) < protocol.least_runs or sum(times) < protocol.seconds:
        start = time.perf_counter()
        call()
        _wait(device)
        times.append(time.perf_counter() - start)
    return np.array(times)


def peak_activation_bytes(call: Callable[[], None], device: torch.device | str) -> int:
    """Most memory that a call holds at once, beyond what was there before: activations and workspaces."""
    if torch.device(device).type == "cuda":
        _wait(device)
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        call()
        _wait(device)
        return torch.cuda.max_memory_allocated(device) - before
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # it reports an error on every machine without a GPU
    with torch.profiler.profile(activities=[ProfilerActivity.CPU], profile_memory=True, acc_events=True) as trace:
        call()
    events = [event for event in trace.profiler.kineto_results.events() if event.name() == "[memory]"]
    sizes = [event.nbytes() for event in sorted(events, key=lambda event: event.start_ns())]
    return max(0, int(np.cumsum(sizes).max(initial=0)))


def hardware_facts(device: torch.device | str, amp: str = "off") -> dict[str, Any]:
    """What a latency must be read with: `device`, `dtype`, `threads`."""
    device = torch.device(device)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else _cpu_name()
    return {
        "device": name,
        "dtype": str(AMP_DTYPES[amp] or torch.float32).removeprefix("torch."),
        "threads": torch.get_num_threads(),
    }


def _cpu_name() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            names = [line.split(":", 1)[1].strip() for line in file if line.startswith("model name")]
    except OSError:  # not Linux
        names = []
    return f"CPU {names[0] if names else os.uname().machine}"


def _wait(device: torch.device | str) -> None:
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize(device)
