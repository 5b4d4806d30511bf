"""All light tasks of many sizes in one process, against k-NN, linear probe and profile.

`python -m benchmarks.light_tasks` takes `--sizes` of the 143 sizes, evenly spread, of a supernet with the paper's
number of widths and depths, but small; the data are the embedded digits, and the tasks all that take pictures with
classes. Both ways run in this process, one after the other, with one thread; seconds are those of the processor, so
that a busy machine changes little. The claim: what is not the added tasks' own arithmetic stays within 1.3 times
the time of the three (features are extracted once, a probe is fitted once for all tasks that use it). A table says
where the time goes. The profile is a short one; beside that of 1 s for each batch size nothing would be seen. The
exit status is 1 where the claim fails.

All 143 sizes in minutes, since pictures and views are few (`--protocols` takes the place of a task's defaults):
`python -m benchmarks.light_tasks --sizes 143 --pictures 10 --protocols profile-b1-b32-s0.01/1
robustness-logreg-shuffle-draws1/1`
"""

import argparse
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

import torch

from benchmarks.sweep import make_checkpoint
from poa_bench.datasets.digits import SPLITS
from poa_bench.runs.results import write_result
from poa_bench.runs.run import Run
from poa_bench.sweep.light import STANDARD, plan_light
from poa_bench.tasks import light, light_tasks, task_of_protocol
from poa_bench.tasks.session import Session

PROFILE = "profile-b1-b32-s0.05/1"
MOST = 1.3  # times the three tasks
REST = "the rest: planning, reading the supernet, cutting, counting, writing"


class TimedSession(Session):
    """A session that keeps how long each part took, and how often something was made."""

    seconds: defaultdict[str, float] = defaultdict(float)
    counts: Counter = Counter()

    def _features(self, *args):
        self.counts["extractions of features"] += 1
        start = time.process_time()
        found = super()._features(*args)
        self.seconds["features"] += time.process_time() - start
        return found

    def _of_features(self, runs, features):
        made = features.once

        def once(key, make):
            self.counts["shared fits"] += key not in features._made
            self.counts["uses of them"] += 1
            return made(key, make)

        features.once = once
        yield from self._timed(runs, super()._of_features(runs, features))
        del features.once

    def _on_views(self, runs):
        yield from self._timed(runs, super()._on_views(runs))

    def _on_patches(self, runs):
        yield from self._timed(runs, super()._on_patches(runs))

    def _of_pictures(self, runs):
        yield from self._timed(runs, super()._of_pictures(runs))

    def _of_network(self, runs):
        yield from self._timed(runs, super()._of_network(runs))

    def _timed(self, runs: list[Run], outcomes: Iterator) -> Iterator:
        """What `outcomes` yields, the time until then booked to the task of the run that it is of."""
        start, task = time.process_time(), runs[-1].task if runs else ""
        for run, outcome in outcomes:
            self.seconds[run.task] += time.process_time() - start
            yield run, outcome
            start = time.process_time()
        if task:
            self.seconds[task] += time.process_time() - start


def few_pictures(of_each_class: int, config: Path) -> str:
    """The path of an evaluation config of so many digits of each class in every split."""
    indices = {"shots": of_each_class, "seed": 0}
    splits = {split: dict(type="poa_bench.DigitsClassification", split=split, indices=indices) for split in SPLITS}
    config.write_text(f"evaluation = {dict(name='digits', **splits)!r}\n", encoding="utf-8")
    return str(config)


def measure(
    checkpoint: Path, data: str, tasks: list[str], specs: list[str], protocols: list[str], folder: Path
) -> tuple[float, dict[str, float], Counter]:
    """Seconds in all, those of each part and what was counted, of one evaluation; its results are written."""
    light.Session = TimedSession
    TimedSession.seconds, TimedSession.counts = defaultdict(float), Counter()
    named = [name for name in protocols if task_of_protocol(name) in tasks]
    start = time.process_time()
    for run, outcome in light.run_light(plan_light(str(checkpoint), data, tasks, specs, protocols=named)):
        if isinstance(outcome, Exception):
            raise SystemExit(f"{run}: {outcome!r}")
        write_result(outcome, folder)
    return time.process_time() - start, dict(TimedSession.seconds), TimedSession.counts


def table(
    few: tuple[float, dict[str, float], Counter], many: tuple[float, dict[str, float], Counter], sizes: int
) -> str:
    """Seconds a size of each part, in both ways."""
    lines = [f"{'processor seconds a size':72} {'three':>8} {'all':>8}"]
    for part in ["features", *(name for name in light_tasks() if name in many[1])]:
        cells = [f"{seconds[part] / sizes:8.3f}" if part in seconds else f"{'':8}" for _, seconds, _ in (few, many)]
        lines.append(f"{part:72} {cells[0]} {cells[1]}")
    rests = [(total - sum(seconds.values())) / sizes for total, seconds, _ in (few, many)]
    lines.append(f"{REST:72} {rests[0]:8.3f} {rests[1]:8.3f}")
    lines.append(f"{'in all':72} {few[0] / sizes:8.3f} {many[0] / sizes:8.3f}")
    return "\n".join(lines)


def main() -> int:
    """Print the table and the ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, default=12, help="of the 143; default 12")
    parser.add_argument("--pictures", type=int, metavar="N", help="of each class in every split; default: all")
    named = f"of tasks that are not measured by their defaults; default {PROFILE}"
    parser.add_argument("--protocols", nargs="*", default=[PROFILE], metavar="NAME", help=named)
    parser.add_argument("--leave-out", nargs="*", default=[], metavar="TASK", help="light tasks that are not measured")
    args = parser.parse_args()
    torch.set_num_threads(1)
    fitting = [name for name, task in light_tasks().items() if task.defaults[0].truth in (None, "classes")]
    tasks = [name for name in fitting if name not in args.leave_out]
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = Path(folder) / "supernet.pth"
        space = [str(spec) for spec in make_checkpoint(checkpoint, 11, 13)]
        specs = space[:: len(space) // args.sizes][: args.sizes]
        data = few_pictures(args.pictures, Path(folder) / "few_digits.py") if args.pictures else "digits"
        measure(checkpoint, data, tasks, specs[:1], args.protocols, Path(folder) / "warm")  # imports and first calls
        few = measure(checkpoint, data, list(STANDARD), specs, args.protocols, Path(folder) / "few")
        many = measure(checkpoint, data, tasks, specs, args.protocols, Path(folder) / "many")
    own = sum(seconds for part, seconds in many[1].items() if part in tasks and part not in STANDARD)
    ratio = (many[0] - own) / few[0]
    pictures = f"{args.pictures} pictures of each class in every split" if args.pictures else "all pictures"
    print(f"{len(specs)} of {len(space)} sizes; {', '.join(STANDARD)}, and {', '.join(tasks)}; {pictures}")
    print(", ".join(args.protocols))
    print(table(few, many, len(specs)))
    counts = ", ".join(f"{count} {name}" for name, count in sorted(many[2].items()))
    print(f"with all tasks: {counts} for {len(specs)} sizes")
    print(f"without the {own / len(specs):.3f} s a size of the added tasks: {ratio:.2f} times the three (aim: {MOST})")
    return int(ratio > MOST)


if __name__ == "__main__":
    sys.exit(main())
