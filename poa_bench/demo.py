"""The demo: pre-training, a sweep over every size and a report, on the embedded digits."""

from __future__ import annotations

import re
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from poa_bench.config_files import find_config
from poa_bench.errors import InputError
from poa_bench.trainings import finished_checkpoint, make_startable, run_training, training_command

_TRAINING_LINE = re.compile(r"Iter\(train\) \[\s*(\d+)/(\d+)\].*? loss: ([\d.]+)")


@dataclass
class Demo:
    """One demo in one folder; every part that is finished there is not repeated.

    Args:
        family: `vit`, `swin` or `resnet`.
        quick: the short schedules.
        seed: of pre-training and evaluation.
        out: folder of everything it makes.
        distill: whether the intact network then teaches a second supernet, and both are compared.

    Raises:
        InputError: there is no distillation of this family.
    """

    family: str = "vit"
    quick: bool = False
    seed: int = 0
    out: str | None = None
    distill: bool = False

    def __post_init__(self) -> None:
        suffix = "-quick" if self.quick else ""
        seeded = f"-seed{self.seed}" if self.seed else ""
        kind = "-distill" if self.distill else ""
        self.console = Console()
        # as given: results name files in it
        self.folder = Path(self.out or f"work_dirs/demo-{self.family}{kind}{suffix}{seeded}")
        self.pretraining = f"poa_{self.family}-digits{suffix}.py"
        self.distillation = f"distill_{self.family}-digits{suffix}.py"
        if self.distill and self.family != "vit":
            raise InputError(
                f"the demo distils --family vit only, found {self.family}: leave --family or --distill out"
            )
        self.sweep = f"sweep_digits{kind or suffix}.py"

    def run(self) -> int:
        """Do all parts. Returns the exit status: 0 only if everything was measured."""
        start = time.monotonic()
        self._say(f"1/3 pre-training one {self.family} supernet ({self.pretraining}) in {self.folder}/pretrain")
        checkpoint = self.pretrain()
        series = {None: checkpoint}
        if self.distill:
            self._say(f"its intact network teaches another one ({self.distillation}) in {self.folder}/distill")
            series = {"POA": checkpoint, "distilled": self._train(self.distillation, "distill", checkpoint)}
        self._say(f"2/3 measuring every size ({self.sweep})")
        summaries = [self.measure(one, name) for name, one in series.items()]
        self._say("3/3 writing the report")
        self.report()
        minutes = (time.monotonic() - start) / 60
        said = "\n".join(map(str, summaries))
        self._say(f"{said}\nthe report is {self.folder / 'report' / 'index.html'} (this took {minutes:.1f} minutes)")
        return max(summary.exit_code for summary in summaries)

    def pretrain(self) -> Path:
        """Train in a process of its own, resuming what is there; returns the last checkpoint."""
        return self._train(self.pretraining, "pretrain")

    def _train(self, config: str, name: str, teacher: Path | None = None) -> Path:
        work_dir, log = self.folder / name, self.folder / f"{name}.log"
        if said := make_startable(work_dir, self.seed):
            self._say(said)
        if (checkpoint := finished_checkpoint(work_dir)) is not None:
            return checkpoint
        options = [f"randomness.seed={self.seed}"]
        options += [] if teacher is None else [f"model.teacher.checkpoint={teacher}"]
        command = training_command(config, work_dir, options)
        return run_training(command, work_dir, log, lambda process: self._follow(process, log))

    def _follow(self, process: subprocess.Popen, log: Path) -> None:
        """A progress bar with an ETA, read from the log."""
        columns = (
            TextColumn("iterations"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[loss]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(elapsed_when_finished=True),
        )
        with Progress(*columns, console=self.console, transient=not self.console.is_terminal) as progress:
            bar = progress.add_task("", total=None, loss="starting")
            while process.poll() is None:
                time.sleep(1)
                if lines := _TRAINING_LINE.findall(log.read_text(errors="replace")):
                    done, total, loss = lines[-1]
                    progress.update(bar, completed=int(done), total=int(total), loss=f"loss {loss}")

    def measure(self, checkpoint: Path, series: str | None = None):
        """Every task of the demo's sweep, under this name in the report; returns the sweep's summary."""
        from poa_bench.sweep.plan import load_sweep
        from poa_bench.sweep.scheduler import run_sweep

        sweep = load_sweep(find_config(self.sweep), [str(checkpoint)], str(self.folder / "results"))
        sweep = sweep.model_copy(update={"seeds": [self.seed], "series": series})
        return run_sweep(sweep)

    def report(self) -> None:
        """Tables, plots and the page in `report/`."""
        from poa_bench.report.build import write_report

        title = f"POA {self.family} supernet on the embedded digits"
        title += ", and one that learned from it" if self.distill else ""
        title += " (quick demo)" if self.quick else ""
        write_report(str(self.folder / "results"), str(self.folder / "report"), title)

    def _say(self, text: str) -> None:
        self.console.print(text, highlight=False)
