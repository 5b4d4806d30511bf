"""k-NN, linear probe and profile of all 143 sizes of a small supernet: one sweep against a process per size.

`python -m benchmarks.sweep` makes a supernet with the paper's number of widths and depths, but small, and measures it
on the embedded digits. The naive way is a shell loop, `for spec in ...; do poa-bench evaluate ...; done`.
It is timed on every n-th size (`--every`, 1 for all), half of them before and half after the sweep, and scaled up to
all of them; both ways may use all cores. What they measured must be identical (the profile: parameters and MACs; its
latencies differ by nature). Nothing may run beside a profile, so that both ways spend the same time on it, which is
said: most of the sweep's. `--profile profile-b1-b32/1` takes the default protocol, of 1 s for each batch size.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

import torch

from poa_bench.elastic import SearchSpace, Supernet
from poa_bench.runs.results import Result, load_results
from poa_bench.sweep.plan import make_sweep

TASKS = ("knn", "linear", "profile")
PROFILE = "profile-b1-b32-s0.25/1"


def make_checkpoint(path: Path, widths: int, depths: int) -> SearchSpace:
    """A freshly initialised ViT supernet for 32 px images, stored as pre-training stores it."""
    space = SearchSpace("vit", range(16, 16 * widths + 1, 16), range(2, depths + 2), head_dim=16)
    torch.manual_seed(0)
    net = Supernet(space, image_size=32, patch_size=8, init_values=1e-5)
    tensors = {f"teacher.backbone.{name}": tensor for name, tensor in net.state_dict().items()}
    torch.save({"state_dict": tensors, "meta": {"poa_bench": net.describe()}}, path)
    return space


def time_sweep(checkpoint: Path, results: Path, profile: str) -> float:
    """Seconds of the whole sweep in a process of its own, its start included."""
    sweep = {"name": "benchmark", "checkpoints": [str(checkpoint)], "results": str(results)}
    tasks = [{"task": task, "dataset": "digits", "protocols": [profile] * (task == "profile")} for task in TASKS]
    program = "import sys, json; from poa_bench.sweep.plan import make_sweep; "
    program += "from poa_bench.sweep.scheduler import run_sweep; "
    program += "sys.exit(run_sweep(make_sweep(json.loads(sys.argv[1]))).exit_code)"
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", program, make_sweep({**sweep, "tasks": tasks}).model_dump_json()], check=True)
    return time.perf_counter() - start


def time_naive(checkpoint: Path, results: Path, profile: str, specs: Iterable[str]) -> float:
    """Seconds of one process for each size."""
    command = [sys.executable, "-m", "poa_bench.cli", "evaluate", str(checkpoint), "--data", "digits"]
    command += ["--tasks", ",".join(TASKS), "--protocols", profile, "-o", str(results)]
    start = time.perf_counter()
    for spec in specs:
        subprocess.run([*command, "--specs", spec], check=True, capture_output=True)
    return time.perf_counter() - start


def measured(result: Result) -> tuple:
    """What must not depend on the way."""
    metrics = result.metrics if result.task != "profile" else {}
    return result.run_id, result.task, result.parameters, result.macs, tuple(metrics.items())


def profile_seconds(results: Iterable[Result]) -> float:
    """Mean seconds that a size is profiled."""
    seconds = [result.seconds for result in results if result.task == "profile"]
    return sum(seconds) / len(seconds)


def main() -> None:
    """Print seconds of both ways, their ratio, and whether the results agree."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--every", type=int, default=24, help="time the naive way on every n-th size; default 24")
    parser.add_argument("--widths", type=int, default=11, help="default 11, as in the paper's ViT space")
    parser.add_argument("--depths", type=int, default=13, help="default 13")
    parser.add_argument("--profile", default=PROFILE, help=f"protocol; default {PROFILE}")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = Path(folder) / "supernet.pth"
        specs = [str(spec) for spec in make_checkpoint(checkpoint, args.widths, args.depths)]
        sample = specs[:: args.every]
        naive = time_naive(checkpoint, Path(folder) / "naive", args.profile, sample[::2])
        together = time_sweep(checkpoint, Path(folder) / "sweep", args.profile)
        naive += time_naive(checkpoint, Path(folder) / "naive", args.profile, sample[1::2])
        ours, theirs = (load_results(Path(folder) / name)[0] for name in ("sweep", "naive"))
    expected = naive / len(sample) * len(specs)
    print(f"a process per size: {naive:.0f} s for {len(sample)} sizes, scaled to {expected:.0f} s for {len(specs)}")
    print(f"one sweep: {together:.0f} s for {len(specs)} sizes, all of them measured")
    print(f"ratio: {expected / together:.1f}")
    shared = f"{profile_seconds(theirs):.1f} s a size in a process per size, {profile_seconds(ours):.1f} s in the sweep"
    print(f"of this {args.profile}, which both ways spend: {shared}")
    ours, theirs = ({measured(result) for result in results} for results in (ours, theirs))
    print(f"identical: {len(theirs & ours)} of the {len(theirs)} results measured in both ways")
    sys.exit(0 if theirs <= ours else 1)


if __name__ == "__main__":
    main()
