"""What a size costs: latency and memory, measured here on the stock network that would be deployed."""

import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.profiler import ProfilerActivity

from poa_bench.downstream.architecture import choose_specs, read_architecture
from poa_bench.downstream.disturbance import Watched, watched
from poa_bench.downstream.features import AMP_DTYPES, autocast
from poa_bench.elastic import Supernet
from poa_bench.elastic.macs import count_macs, count_parameters
from poa_bench.errors import InputError

if TYPE_CHECKING:
    from poa_bench.tasks.profile import ProfileProtocol


def profile_module(
    module: nn.Module,
    image_size: int,
    protocol: "ProfileProtocol",
    device: torch.device | str = "cpu",
    amp: str = "off",
) -> tuple[dict[str, float], dict[str, str | int | float]]:
    """Measure one network on random images; what other work disturbs is measured again, see `disturbance.py`.

    Args:
        module: runs on (B, 3, image_size, image_size); in evaluation mode.
        image_size: side in pixels.
        protocol: batch sizes and how often.
        device: where it runs.
        amp: `off`, `bf16` or `fp16`.

    Returns:
        `latency_p50_ms_batch1`, `latency_p95_ms_batch1`, `images_per_second_batch1` and `memory_mb_batch1` (activations
        at their peak, without weights), the same for each batch size; and facts: `waited_percent` of the time for a
        processor, `gpu_clock_mhz` where it can be read, and `disturbed`, why, where no try was quiet.
    """
    module = module.to(device).eval()
    metrics: dict[str, float] = {}
    found: dict[int, Watched] = {}
    for batch_size in protocol.batch_sizes:
        images = torch.randn(batch_size, 3, image_size, image_size, device=device)

        @torch.no_grad()
        def forward(images: Tensor = images) -> None:
            with autocast(device, amp):
                module(images)

        found[batch_size] = watched(lambda call=forward: time_calls(call, device, protocol), device)
        times = found[batch_size].times
        measured = {
            "latency_p50_ms": 1000 * float(np.percentile(times, 50)),
            "latency_p95_ms": 1000 * float(np.percentile(times, 95)),
            "images_per_second": batch_size / float(np.median(times)),
            "memory_mb": peak_activation_bytes(forward, device) / 1e6,
        }
        metrics |= {f"{name}_batch{batch_size}": value for name, value in measured.items()}
    return metrics, disturbance_facts(found)


def disturbance_facts(found: Mapping[int, Watched]) -> dict[str, str | int | float]:
    """What a result says of the machine while its batch sizes were timed."""
    facts: dict[str, str | int | float] = {
        "waited_percent": round(100 * max(each.waited for each in found.values()), 2),
        "most_tries": max(each.tries for each in found.values()),
    }
    if clocks := [each.clock for each in found.values() if each.clock]:
        facts["gpu_clock_mhz"] = min(clocks)
    if signs := {size: each.signs for size, each in found.items() if each.signs}:
        facts["disturbed"] = "; ".join(f"batch {size}: {', '.join(said)}" for size, said in signs.items())
    return facts


def time_calls(call: Callable[[], None], device: torch.device | str, protocol: "ProfileProtocol") -> np.ndarray:
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


def choose_device(device: str | None) -> str:
    """The device of `--device`: by default a GPU where torch can use one.

    Raises:
        InputError: there is none, and it was asked for.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise InputError("--device cuda needs a GPU that torch can use, and there is none: see `poa-bench doctor`")
    return device or ("cuda" if torch.cuda.is_available() else "cpu")


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


def format_profile(
    source: str,
    protocol: "ProfileProtocol",
    specs: str | Sequence[str] = "all",
    image_size: int | None = None,
    device: torch.device | str = "cpu",
    amp: str = "off",
    as_json: bool = False,
) -> str:
    """The costs of sizes of a checkpoint or a pre-training config, as aligned text or JSON, with the machine's facts.

    Args:
        source: see `read_architecture`; its weights do not matter.
        protocol: batch sizes and how often.
        specs: see `choose_specs`.
        image_size: side in pixels; by default that of pre-training, or 224 where the network takes any.
        device: where to measure.
        amp: `off`, `bf16` or `fp16`.
        as_json: a list of objects instead of text.

    Raises:
        InputError: the source, a spec or `amp` is not among those allowed.
    """
    net = Supernet.from_description(read_architecture(source))
    image_size = image_size or net.image_size or 224
    rows = []
    for spec in choose_specs(net.space, specs):
        module = net.extract(spec)
        costs = {"parameters": count_parameters(module), "macs": count_macs(module, image_size)}
        metrics, said = profile_module(module, image_size, protocol, device, amp)
        rows.append({"spec": str(spec), **costs, **metrics, "disturbed": said.get("disturbed", "")})
    facts = {"image_size": image_size, **hardware_facts(device, amp)}
    if as_json:
        return json.dumps([{**row, **facts} for row in rows], indent=1)
    numbers = {"parameters": "{:,}".format, "macs": "{:,}".format}
    table = pd.DataFrame(rows)
    if (table.disturbed == "").all():
        table = table.drop(columns="disturbed")
    table = table.to_string(index=False, formatters=numbers, float_format="{:.2f}".format)
    return f"{table}\n" + ", ".join(f"{name} {value}" for name, value in facts.items())
