"""The comparison of the paper's Table 4: POA, SEED, sizes trained alone, and distillation into an elastic student."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from poa_bench.elastic.space import SubnetSpec
from poa_bench.errors import InputError
from poa_bench.report.build import write_report
from poa_bench.report.frame import load_report_data
from poa_bench.report.seed_table import table_text
from poa_bench.trainings import finished_checkpoint, make_startable, run_training, training_command

TEACHER = "alone-L"
_LAST = "LAST_CHECKPOINT"  # stands for a name in printed commands


@dataclass(frozen=True)
class Scale:
    """How large the comparison is.

    Attributes:
        poa, seed, distill: pre-training configs, of one space and equally many pictures.
        data: evaluation data set.
        roles: size of each role; L is the intact one and the teacher.
        options: `--cfg-options` of every training.
        poa_options: of those by POA's config.
        teacher_options: of those with a teacher.
        seeds: of the pre-trainings.
        tasks: light tasks.
    """

    poa: str
    seed: str
    distill: str
    data: str
    roles: dict[str, str]
    options: tuple[str, ...] = ()
    poa_options: tuple[str, ...] = ()
    teacher_options: tuple[str, ...] = ()
    seeds: tuple[int, ...] = (0, 1, 2)
    tasks: tuple[str, ...] = ("knn", "linear")


SCALES = {
    "tiny": Scale(
        "poa_vit-digits.py",
        "seed_vit-digits.py",
        "distill_vit-digits.py",
        "digits",
        {"S": "vit-w96-d2", "B": "vit-w128-d3", "L": "vit-w144-d4"},
        ("train_cfg.max_epochs=3", "param_scheduler.0.end=0.6", "param_scheduler.1.begin=0.6"),
        ("default_hooks.patch_weight.begin=0.3",),  # masked patches after a tenth, as in the long run
    ),
    "small": Scale(
        "poa_vit_cifar10.py",
        "seed_vit_cifar10.py",
        "distill_vit_cifar10.py",
        "cifar10-10k",
        {"S": "vit-w64-d6", "B": "vit-w128-d6", "L": "vit-w192-d6"},
    ),
    "paper": Scale(
        "poa_vit_imagenet.py",
        "seed_vit_imagenet.py",
        "distill_vit_from-dinov2.py",
        "imagenet",
        {"S": "vit-s", "B": "vit-b", "L": "vit-l"},
        teacher_options=("model.teacher.timm_name=None",),
    ),
}


@dataclass(frozen=True)
class Training:
    """One pre-training of one seed.

    Attributes:
        name: of its folder.
        series: its name in the report.
        config: of the scale.
        options: `--cfg-options`.
        roles: whose sizes are measured.
        teacher: the training that it learns from; None: none.
    """

    name: str
    series: str
    config: str
    options: tuple[str, ...]
    roles: tuple[str, ...]
    teacher: str | None = None


def trainings(scale: Scale) -> list[Training]:
    """Those of one seed, teachers first."""

    def one_size(role: str) -> tuple[str, ...]:
        spec = SubnetSpec.parse(scale.roles[role])
        space = "model.backbone.space"
        return (f"{space}.widths=[{spec.width}]", f"{space}.depths=[{spec.depths[0]}]")

    alone = [
        Training(f"alone-{role}", "alone", scale.poa, ("model.variant=intact", *one_size(role)), (role,))
        for role in ("L", "B", "S")
    ]
    seed = [
        Training(f"seed-{role}", "SEED", scale.seed, ("model.students=intact", *one_size(role)), (role,), TEACHER)
        for role in ("B", "S")
    ]
    elastic = [
        Training("poa", "POA", scale.poa, (), tuple(scale.roles)),
        Training("distilled", "elastic distillation", scale.distill, (), tuple(scale.roles), TEACHER),
    ]
    return alone[:1] + elastic + alone[1:] + seed


@dataclass
class SeedTable:
    """All trainings, measurements and the table, in one folder; every part that is finished there is not repeated.

    Args:
        scale: a key of `SCALES`.
        out: the folder; default `work_dirs/seed-table-SCALE`.
        jobs: how many trainings at a time; each has an equal share of the cores.
        seeds: of the pre-trainings; default: the scale's.
        launch: what starts the processes of a training, such as `torchrun --nproc_per_node=8`.

    Raises:
        InputError: an unknown scale.
    """

    scale: str
    out: str | None = None
    jobs: int = 1
    seeds: Sequence[int] = ()
    launch: Sequence[str] = ()
    console: Console = field(default_factory=Console)

    def __post_init__(self) -> None:
        if self.scale not in SCALES:
            raise InputError(f"unknown scale {self.scale!r}: use one of {', '.join(SCALES)}")
        self.settings = SCALES[self.scale]
        self.folder = Path(self.out or f"work_dirs/seed-table-{self.scale}")
        self.seeds = tuple(self.seeds) or self.settings.seeds
        self.threads = max(1, len(os.sched_getaffinity(0)) // self.jobs)

    def commands(self) -> list[str]:
        """Everything that `run` would start for its trainings and measurements, in order, for a shell."""
        found = []
        for seed in self.seeds:
            for training in trainings(self.settings):
                work_dir = self._work_dir(training.name, seed)
                teacher = training.teacher and self._work_dir(training.teacher, seed) / _LAST
                found.append(self._train_command(training, seed, teacher))
                found.append(self._evaluate_command(training, work_dir / _LAST))
        return [" ".join(map(_shell_word, line)) for line in found]

    def run(self) -> Path:
        """Train, measure and write the report; returns the file with the table."""
        with ThreadPoolExecutor(self.jobs) as pool, Progress(console=self.console) as progress:
            waiting: dict[tuple[str, int], Future] = {}
            for seed in self.seeds:
                for training in trainings(self.settings):  # teachers are started before who waits for them
                    teacher = waiting.get((training.teacher, seed))
                    waiting[training.name, seed] = pool.submit(self._one, training, seed, teacher)
            bar = progress.add_task("trainings", total=len(waiting))
            try:
                for done in as_completed(waiting.values()):
                    progress.print(done.result(), highlight=False)
                    progress.advance(bar)
            finally:
                pool.shutdown(wait=True, cancel_futures=True)
        return self.report()

    def report(self) -> Path:
        """The report of all results, and the table beside it."""
        out, title = self.folder / "report", f"POA, SEED, sizes alone and elastic distillation, {self.scale}"
        write_report(str(self.folder / "results"), str(out), title)
        path = out / "seed_table.md"
        path.write_text(table_text(load_report_data(self.folder / "results"), self.settings.roles, title))
        return path

    def _one(self, training: Training, seed: int, teacher: Future | None) -> str:
        """Train and measure; a sentence on it."""
        if teacher is not None:
            teacher.result()
        work_dir = self._work_dir(training.name, seed)
        lost = make_startable(work_dir, seed)
        checkpoint = finished_checkpoint(work_dir)
        said = "was there" if checkpoint else f"trained ({lost})" if lost else "trained"
        environment = {"OMP_NUM_THREADS": str(self.threads)}
        if checkpoint is None:
            of = training.teacher and finished_checkpoint(self._work_dir(training.teacher, seed))
            command = self._train_command(training, seed, of)
            checkpoint = run_training(command, work_dir, work_dir.with_suffix(".log"), environment=environment)
        line = self._evaluate_command(training, checkpoint)
        ended = subprocess.run(line, capture_output=True, text=True, env={**os.environ, **environment})
        if ended.returncode:
            raise InputError(f"measuring {checkpoint} ended with status {ended.returncode}: {ended.stderr[-2000:]}")
        return f"{training.name}, seed {seed}: {said} and measured"

    def _work_dir(self, name: str, seed: int) -> Path:
        return self.folder / f"{name}-seed{seed}"

    def _train_command(self, training: Training, seed: int, teacher: Path | None) -> list[str]:
        options = [*self.settings.options, *training.options, f"randomness.seed={seed}"]
        options += self.settings.poa_options if training.config == self.settings.poa else ()
        if teacher is not None:
            options += [*self.settings.teacher_options, f"model.teacher.checkpoint={teacher}"]
        return training_command(training.config, self._work_dir(training.name, seed), options, self.launch)

    def _evaluate_command(self, training: Training, checkpoint: Path) -> list[str]:
        specs = ",".join(str(SubnetSpec.parse(self.settings.roles[role])) for role in training.roles)
        command = [sys.executable, "-m", "poa_bench.cli", "evaluate", str(checkpoint), "--data", self.settings.data]
        command += ["--tasks", ",".join(self.settings.tasks), "--specs", specs, "--series", training.series]
        return [*command, "-o", str(self.folder / "results")]


def _shell_word(word: str) -> str:
    """Quoted for a shell; what a training writes in the end is not known before: its `last_checkpoint` says it."""
    if not word.endswith(_LAST):
        return shlex.quote(word)
    option, equals, path = word.removesuffix(_LAST).rpartition("=")
    return f'{option}{equals}"$(cat {shlex.quote(f"{path}last_checkpoint")})"'
