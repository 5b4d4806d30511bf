"""Time and memory of one POA step against a plain one, and its share of the machine's matrix-product rate.

    python -m benchmarks.pretrain_step                # both steps, each in its own process
    python -m benchmarks.pretrain_step --profile      # where the time of our step goes

The plain step is the same mathematics written down directly: all logits of all rows and heads, their log-softmax and
all targets are stored, and autograd does the rest. Times on a CPU are processor seconds, so that other programs matter
little; memory is the allocator's peak during the step.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from poa_bench.elastic import SubnetSpec
from poa_bench.pretraining.losses import koleo
from poa_bench.pretraining.objective import Crops
from poa_bench.pretraining.objectives.poa import POA, loss_table
from poa_bench.pretraining.rows import places_of_masked
from poa_bench.pretraining.terms import pairing_matrix

SPACE = {"family": "vit", "widths": [192, 256, 320, 384], "depths": [4, 6, 8], "head_dim": 64}


def make_model(prototypes: list[int]) -> POA:
    """A ViT supernet of width 384 and depth 8 with patches of 16 px, training a sub-network of middle size."""
    torch.manual_seed(0)
    backbone = {"type": "poa_bench.Supernet", "space": SPACE, "image_size": 96, "init_values": 0.1}
    model = POA(backbone, {"type": "poa_bench.ProjectionHead", "prototypes": prototypes}).train()
    model.decide(sizes=(SubnetSpec.parse("vit-w256-d6"),))
    return model


def make_crops(images: int, local_views: int) -> Crops:
    """Noise: 96 px global and 48 px local crops, 30 % of the patches masked."""
    generator = torch.Generator().manual_seed(0)
    masks = torch.rand(2 * images, 36, generator=generator) < 0.3
    sizes = ((2 * images, 96), (local_views * images, 48))
    return Crops(*(torch.randn(n, 3, side, side, generator=generator) for n, side in sizes), masks)


def our_step(model: POA, crops: Crops) -> Tensor:
    """The project's step."""
    return model.loss(crops, model.settings)["loss"]


def plain_step(model: POA, crops: Crops) -> Tensor:
    """The same loss, everything stored."""
    images = len(crops.global_crops) // 2
    masked = places_of_masked(crops.masks)
    students = model.run_students(crops, masked, model.settings)
    teacher = model.run_teachers({"teacher"}, crops, masked, model.settings)["teacher"]
    counts = crops.masks.sum(dim=1, keepdim=True).expand_as(crops.masks)[crops.masks]
    patch_weights = 1 / (counts * 2 * images)
    total = 0.0
    logits = {name: plain_logits(model.student.head, rows) for name, rows in students.items()}
    with torch.no_grad():
        teacher_logits = plain_logits(model.teacher.head, teacher)
    temperature = model.settings.teacher_temperature
    temperature = model.settings.teacher_temperature
    for head in range(model.student.head.count):
        q = {kind: plain_sinkhorn(rows, temperature) for kind, rows in teacher_logits[head].items()}
        log_p = {
            name: {kind: F.log_softmax(rows / 0.1, dim=-1) for kind, rows in heads[head].items()}
            for name, heads in logits.items()
        }
        for term in loss_table(model.loss_weights, local_views=len(crops.local_crops) // images):
            rows = log_p[term.student][term.rows]
            target = log_p["intact"][term.rows].detach().exp() if term.teacher == "intact" else q[term.target_rows]
            pairs = pairing_matrix(term.pairing, len(rows), len(target)).nonzero().tolist()
            losses = torch.stack([-(target[view] * rows[row]).sum(dim=-1) for row, view in pairs])
            value = (losses * patch_weights).sum() if term.rows == "patch" else losses.mean()
            total = total + term.weight * value / model.student.head.count
    spread = sum(koleo(view) for rows in students.values() for view in rows["global"])
    return total + model.loss_weights.koleo * spread / 2


def plain_logits(head: torch.nn.Module, rows: dict[str, Tensor]) -> list[dict[str, Tensor]]:
    """All logits of a pass, head by head."""
    prototypes = head.prototypes()
    found: list[dict[str, Tensor]] = [{} for _ in prototypes]
    for kind, features in rows.items():
        for index, projected in enumerate(head(features.flatten(0, 1))):
            found[index][kind] = F.linear(projected, prototypes[index]).unflatten(0, features.shape[:2])
    return found


def plain_sinkhorn(logits: Tensor, temperature: float) -> Tensor:
    """Three iterations of Sinkhorn-Knopp on the stored matrix (V, B, K)."""
    q = (logits.flatten(0, 1) / temperature).exp().t()
    q = q / q.sum()
    for _ in range(3):
        q = q / q.sum(dim=1, keepdim=True) / len(q)
        q = q / q.sum(dim=0, keepdim=True) / q.shape[1]
    return (q * q.shape[1]).t().unflatten(0, logits.shape[:2])


STEPS: dict[str, Callable[[POA, Crops], Tensor]] = {"ours": our_step, "plain": plain_step}


def measure(arguments: argparse.Namespace) -> dict[str, float]:
    """Seconds, peak bytes and operations of one kind of step, in this process."""
    torch.set_num_threads(arguments.threads)
    model, crops = prepare(arguments)

    def step() -> Tensor:
        with torch.autocast(arguments.device, torch.bfloat16, enabled=arguments.amp):
            loss = STEPS[arguments.step](model, crops)
        loss.backward()
        return loss

    seconds, rates = [], []
    for _ in range(arguments.repeat + 1):
        model.zero_grad()
        seconds.append(seconds_of(step, arguments.device))
        rates.append(matmul_rate(arguments.device, arguments.amp))
    model.zero_grad()
    facts = {"seconds": min(seconds[1:]), "rate": max(rates), "peak": peak_bytes(step, arguments.device)}
    facts["gradient"] = model.student.backbone.network.blocks[0].mlp.fc1.weight.grad.norm().item()
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:  # it does not see into fused kernels
        facts["loss"] = step().item()
    return {**facts, "flops": counter.get_total_flops()}


def prepare(arguments: argparse.Namespace) -> tuple[POA, Crops]:
    """Model and batch on the device."""
    model = make_model(arguments.prototypes).to(arguments.device)
    crops = make_crops(arguments.images, arguments.local_views)
    return model, Crops(*(tensor.to(arguments.device) for tensor in crops))


def seconds_of(function: Callable[[], object], device: str) -> float:
    """Processor seconds on a CPU, wall-clock seconds on a GPU."""
    if device == "cpu":
        start = time.process_time()
        function()
        return time.process_time() - start
    torch.cuda.synchronize()
    start = time.perf_counter()
    function()
    torch.cuda.synchronize()
    return time.perf_counter() - start


def peak_bytes(function: Callable[[], object], device: str = "cpu") -> int:
    """The most that a call has allocated at once, beyond what was there before it."""
    if device != "cpu":
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        function()
        return torch.cuda.max_memory_allocated() - before
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profiler:
        function()
    with tempfile.TemporaryDirectory() as folder:
        trace = Path(folder, "trace.json")
        profiler.export_chrome_trace(str(trace))
        events = [event for event in json.loads(trace.read_text())["traceEvents"] if event.get("name") == "[memory]"]
    level = peak = 0
    for event in sorted(events, key=lambda event: event["ts"]):
        level += event["args"]["Bytes"]
        peak = max(peak, level)
    return peak


def matmul_rate(device: str, amp: bool, side: int = 1024) -> float:
    """Floating-point operations per second of a square product."""
    side *= 8 if device != "cpu" else 1
    left, right = torch.randn(2, side, side, device=device, dtype=torch.bfloat16 if amp else torch.float32)
    return 2 * side**3 / seconds_of(lambda: left @ right, device)


def profile(arguments: argparse.Namespace) -> None:
    """Print the operations that take most of our step."""
    torch.set_num_threads(arguments.threads)
    model, crops = prepare(arguments)
    our_step(model, crops).backward()
    print(profile_table(lambda: our_step(model, crops).backward(), arguments.device))


def profile_table(function: Callable[[], object], device: str) -> str:
    """The operations that take most of a call: on a GPU by its time, then by the CPU's."""
    orders = ["self_cpu_time_total"] if device == "cpu" else ["self_device_time_total", "self_cpu_time_total"]
    with torch.profiler.profile() as profiler:  # of all devices that there are
        seconds_of(function, device)
    averages = profiler.key_averages()
    return "\n".join(averages.table(sort_by=order, row_limit=20, max_name_column_width=60) for order in orders)


def parse_arguments() -> argparse.Namespace:
    """The sizes to run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=16)
    parser.add_argument("--local-views", type=int, default=8)
    parser.add_argument("--prototypes", type=int, nargs="+", default=[1024, 2048, 4096, 8192])
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--amp", action="store_true", help="bfloat16 autocast")
    parser.add_argument("--profile", action="store_true")
    parser.add_argument("--step", choices=STEPS, help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    """Measure both steps in processes of their own and print the ratios."""
    arguments = parse_arguments()
    if arguments.profile:
        return profile(arguments)
    if arguments.step:
        return print(json.dumps(measure(arguments)))
    found = {}
    for name in STEPS:
        line = [sys.executable, "-m", "benchmarks.pretrain_step", *sys.argv[1:], "--step", name]
        found[name] = json.loads(subprocess.run(line, check=True, capture_output=True, text=True).stdout)
    ours, plain = found["ours"], found["plain"]
    for name, facts in found.items():
        share = facts["flops"] / facts["seconds"] / facts["rate"]
        print(
            f"{name:6} {facts['seconds']:7.2f} s, peak {facts['peak'] / 2**20:6.0f} MiB, "
            f"{facts['flops'] / 1e9:7.1f} GFLOP, {share:4.0%} of the matmul rate ({facts['rate'] / 1e9:.0f} GFLOP/s)"
        )
    print(f"ours / plain: time {ours['seconds'] / plain['seconds']:.2f}, ", end="")
    print(f"memory {ours['peak'] / plain['peak']:.2f}")
    print(f"loss {ours['loss']:.6f} and {plain['loss']:.6f}, a gradient's norm ", end="")
    print(f"{ours['gradient']:.6f} and {plain['gradient']:.6f}")


if __name__ == "__main__":
    main()
