"""One dense or fine-tuning run: train the config's stock model on one sub-network, evaluate it, say what was found.

The config's `measurement` says how its outcome is recorded, see `measurement.py`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmengine.hooks import Hook

from poa_bench.config_files import read_config
from poa_bench.downstream.evaluators import record_outcomes
from poa_bench.downstream.trained_galleries import PassingPictures
from poa_bench.elastic.preprocessing import Preprocessing
from poa_bench.errors import InputError
from poa_bench.files import atomic_path
from poa_bench.outside.name import is_outside
from poa_bench.runs.galleries import GALLERY_FILE, checked, read_galleries, write_galleries
from poa_bench.runs.outcome_files import OUTCOMES_FILE, read_outcomes, write_outcomes
from poa_bench.tasks.measurement import read_measurement

if TYPE_CHECKING:
    from mmengine.config import Config
    from mmengine.runner import Runner

    from poa_bench.runs.outcomes import Outcome
    from poa_bench.runs.results import Result
    from poa_bench.runs.run import Run

MEASURED_FILE = "measured.json"
ROUNDING = 0.051  # mmdet rounds shares to three decimals, mmseg percentages to two; outcomes are not rounded


def run_trained(run: Run, work_dir: str | Path, device: str) -> Result:
    """Train and evaluate one run with mmengine's stock Runner; goes on where an earlier attempt was interrupted.

    Only the last iteration is evaluated: nothing is selected on the evaluation split.

    Args:
        run: its `settings` hold `config` (name or path of a config in `downstream/`), and may hold `cfg_options` and,
            for random initialisation, `architecture` (a supernet's description).
        work_dir: of this run alone; holds logs and the last checkpoint.
        device: `cpu` or `cuda`; with `run.gpus` > 1 the run gets that many processes.

    Raises:
        InputError: the config is not the run's protocol or data set, or the weights do not fit.
    """
    work_dir = Path(work_dir)
    work_dir.mkdir(parents=True, exist_ok=True)
    if device == "cuda" and run.gpus > 1:
        measured = _in_several_processes(run, work_dir)
    else:
        measured = measure_trained(run, work_dir)
    return run.result(rounding=ROUNDING, **measured)


def measure_trained(run: Run, work_dir: Path) -> dict[str, Any]:
    """The fields of a `Result` beside the run's identity."""
    from poa_bench.launch import build_runner

    config = dense_config(run, work_dir)
    start = time.perf_counter()
    runner = build_runner(config)
    last = _LastEvaluation(run)
    measurement = read_measurement(config, run.settings["config"])
    runner.register_hook(last)
    runner.train()  # mmengine's loops evaluate after their last iteration
    if last.metrics is None:  # nothing was left to train; not `runner.val`, which would start moving averages anew
        runner.val_loop.run()
    measured = {"seconds": time.perf_counter() - start, **measurement.recorded(last.metrics)}
    measured |= {"outcomes": measurement.outcomes(last.outcomes), **_facts(runner, config)}
    galleries = last.pictures.galleries()
    measured["facts"] |= last.pictures.facts
    return measured | {"galleries": checked(galleries, measured["facts"])}


class _LastEvaluation(Hook):
    """Keeps the evaluator's numbers, what they are made of, and a handful of its pictures; stops for other weights."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.metrics: dict[str, float] | None = None
        self.outcomes: dict[str, Outcome] = {}
        self.pictures: PassingPictures | None = None

    def before_run(self, runner: Runner) -> None:
        record_outcomes(runner.val_loop.evaluator, self.outcomes)
        self.pictures = PassingPictures(runner.val_loop.dataloader.dataset)

    def before_train(self, runner: Runner) -> None:
        report = _model(runner).backbone.load_report  # also where a training goes on, weights are loaded anew
        self.run.check_source(report and report.sha256)

    def after_val_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        self.pictures.see(outputs or ())

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        self.metrics = metrics


def dense_config(run: Run, work_dir: Path) -> Config:
    """The run's config with size, weights, seed and folder filled in."""
    from poa_bench.downstream.normalisation import set_normalisation

    name = run.settings["config"]
    config = read_config(name, run.settings.get("cfg_options"))
    measurement = read_measurement(config, name)
    said = (measurement.task, measurement.protocol, measurement.dataset)
    if said != (run.task, run.protocol, run.dataset):
        raise InputError(
            f"{name} measures {' '.join(said)}, but the run is {run.task} {run.protocol} {run.dataset}: "
            "make the sweep and the config say the same"
        )
    backbone = config.model.backbone
    backbone.spec = run.spec
    description = _description(run)
    backbone.families[run.family] = _family_options(description)
    set_normalisation(config, Preprocessing.from_dict(description.get("preprocessing")))
    backbone.init_cfg = {"type": "Pretrained", "checkpoint": run.checkpoint}
    if is_outside(run.spec):
        config.model.normalisation = "config"  # which is now the description's; the file of the weights says none
    config.randomness = {**config.get("randomness", {}), "seed": run.seed}
    config.work_dir = str(work_dir)
    config.resume = True  # starts anew where the folder holds no checkpoint
    config.default_hooks.checkpoint.type = "poa_bench.SafeCheckpointHook"
    config.launcher = "pytorch" if int(os.environ.get("WORLD_SIZE", 1)) > 1 else "none"
    config.train_cfg.val_interval = sys.maxsize  # once, at the end
    return config


def _description(run: Run) -> dict[str, Any]:
    """`Supernet.describe()` of the run's networks, or the `Source.description` of one from outside."""
    from poa_bench.elastic.training_checkpoint import read_training_checkpoint

    return run.settings.get("architecture") or read_training_checkpoint(run.checkpoint)["meta"]["poa_bench"]


def _family_options(description: dict[str, Any]) -> dict[str, Any]:
    """How the supernet builds its networks, whatever the config takes as default; arguments of one from outside."""
    if "timm" in description:
        return dict(description["arguments"])
    options = {"head_dim": description["space"]["head_dim"], **description["options"]}
    options.pop("drop_path_rate", None)  # the config's own
    if description.get("position_std") is not None:  # random initialisation starts as pre-training does
        options["position_std"] = description["position_std"]
    return options


def _model(runner: Runner) -> Any:
    from mmengine.model import is_model_wrapper

    return runner.model.module if is_model_wrapper(runner.model) else runner.model


def _facts(runner: Runner, config: Config) -> dict[str, Any]:
    from mmengine.device import get_device
    from mmengine.dist import get_world_size

    from poa_bench.downstream.profile import hardware_facts

    model = _model(runner)
    backbone, report = model.backbone, model.backbone.load_report
    parameters = sum(parameter.numel() for parameter in backbone.parameters())
    tensors = len(backbone.network.state_dict())
    return {
        "parameters": parameters,
        "tensors_loaded": report.loaded if report else 0,
        "tensors_total": report.total if report else tensors,
        "facts": {
            **hardware_facts(get_device()),
            "batch": config.train_dataloader.batch_size * get_world_size(),
            "iterations": runner.max_iters,
            "test_images": len(runner.val_loop.dataloader.dataset),
            "head_parameters": sum(parameter.numel() for parameter in model.parameters()) - parameters,
        },
    }


def _in_several_processes(run: Run, work_dir: Path) -> dict[str, Any]:
    """The same through `torchrun`, one process for each GPU; rank 0 leaves what it measured in a file."""
    described, kept, drawn = (work_dir / name for name in ("run.json", OUTCOMES_FILE, GALLERY_FILE))
    for path in (kept, drawn):
        path.unlink(missing_ok=True)  # of an earlier attempt
    with atomic_path(described) as temporary:
        temporary.write_text(run.model_dump_json(), encoding="utf-8")
    launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={run.gpus}"]
    done = subprocess.run([sys.executable, *launcher, "-m", __name__, str(described)])
    if done.returncode:
        raise InputError(f"one of the run's {run.gpus} processes failed: its own message is above, or in {work_dir}")
    beside = {
        "outcomes": read_outcomes(kept) if kept.exists() else {},
        "galleries": read_galleries(drawn) if drawn.exists() else (),
    }
    return beside | json.loads((work_dir / MEASURED_FILE).read_text(encoding="utf-8"))


def main() -> None:
    """Entry of the processes that `torchrun` starts."""
    from poa_bench.runs.run import Run

    described = Path(sys.argv[1])
    measured = measure_trained(Run.model_validate_json(described.read_bytes()), described.parent)
    outcomes, galleries = measured.pop("outcomes"), measured.pop("galleries")
    if int(os.environ["RANK"]) == 0:
        write_outcomes(outcomes, described.with_name(OUTCOMES_FILE))
        write_galleries(galleries, described.with_name(GALLERY_FILE))
        with atomic_path(described.with_name(MEASURED_FILE)) as temporary:
            temporary.write_text(json.dumps(measured), encoding="utf-8")


if __name__ == "__main__":
    main()
