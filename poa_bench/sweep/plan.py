"""A sweep config becomes the list of its runs: checkpoints x specs x tasks x protocols x seeds, each with its id.

A sweep config is a mmengine text-style Python file (`_base_` works, no imports). Its names are the fields of `Sweep`,
those of each entry of `tasks` the fields of `TaskEntry`; names with a leading underscore are the file's own helpers:

    checkpoints = ['work_dirs/poa/iter_1000.pth']
    results = 'results/digits'
    tasks = [
        dict(task='knn', dataset='digits', protocols=['knn-k20-T0.07/1'], specs='all',
             initialisations=['pretrained', 'random', 'pixels']),
        dict(task='detection', settings=dict(config='mask-rcnn_sfp_digits.py'), specs=['smallest', 'intact'],
             seeds=[0, 1]),
    ]
    networks = [  # beside the checkpoints' sizes
        dict(timm='vit_small_patch14_dinov2.lvd142m', weights='dinov2_vits14.pth', name='DINOv2', image_size=224),
    ]
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from poa_bench.config_files import read_config
from poa_bench.elastic.branch import DEFAULT_BRANCH
from poa_bench.elastic.limits import MOST_SEED
from poa_bench.errors import InputError
from poa_bench.runs.provenance import canonical_hash
from poa_bench.runs.run import Initialisation, Run
from poa_bench.sweep.planned import Networks, OutsideEntry, fields_of, of_checkpoint, of_outside
from poa_bench.tasks import find_task
from poa_bench.tasks.resolve import resolve

Seed = Annotated[int, Field(ge=0, le=MOST_SEED)]


class TaskEntry(BaseModel):
    """One entry of a sweep's `tasks`; it expands to specs x protocols x initialisations x seeds runs per checkpoint.

    `dataset`, `protocols`: a light task (`poa_bench.tasks`) needs the first and has defaults for the second; any
    other task names a config in `settings`, whose `measurement` says both.
    `specs`: 'all', 'named' (those with an alias), or a list of specs, aliases, 'smallest', 'middle', 'intact'.
    `families`: only for checkpoints of these; any if empty. A network from outside counts as `vit` where all its maps
    have one resolution, else as `swin` and `resnet`.
    `settings`: goes to the task's code and into the run's hash.
    `gpus`: of one run, where there are any; more than 1 is a must. `alone`: nothing beside it on the machine, the
    default for what measures latency.
    """

    model_config = ConfigDict(extra="forbid")

    task: str
    dataset: str | None = None
    protocols: list[str] = []
    specs: Literal["all", "named"] | list[str] = "all"
    families: list[str] = []
    initialisations: list[Initialisation] = ["pretrained"]
    seeds: list[Seed] | None = None
    settings: dict[str, Any] = {}
    gpus: int = Field(default=1, ge=0)
    alone: bool | None = None


class Slurm(BaseModel):
    """What a cluster wants to know; None leaves the cluster's default. `setup` are shell lines run before each job."""

    model_config = ConfigDict(extra="forbid")

    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    time: int = Field(default=60, ge=1, description="minutes; a job that runs out of it is requeued and goes on")
    gpus: int | None = Field(default=None, ge=0, description="of a job, in place of the tasks' own")
    cpus: int = Field(default=4, ge=1)
    memory: str | None = None
    max_jobs: int = Field(default=100, ge=1, description="jobs of the array that run at the same time")
    requeues: int = Field(default=10, ge=0, description="times that one job may time out and go on")
    runs_per_job: int = Field(default=64, ge=1, description="light runs that share one job")
    setup: list[str] = []


class Sweep(BaseModel):
    """A sweep config, checked. `results` is the folder that everything is written to.

    `networks` are measured beside the sizes of `checkpoints`: networks from outside, see `OutsideEntry`.
    `seeds` are measurement seeds. `series`: a name under which the report shows the sizes of all `checkpoints` as one
    line, such as networks that were each trained alone, or repeats of a pre-training with other seeds; without one,
    every checkpoint is a line of its own.
    """

    model_config = ConfigDict(extra="forbid")

    name: str
    checkpoints: list[str]
    networks: list[OutsideEntry] = []
    results: str
    tasks: list[TaskEntry] = Field(min_length=1)
    seeds: list[Seed] = Field(default=[0], min_length=1)
    series: str | None = Field(default=None, min_length=1)
    retries: int = Field(default=1, ge=0, description="how often a failed run is tried again")
    slurm: Slurm = Slurm()


def load_sweep(
    path: str | Path, checkpoints: Sequence[str] | None = None, results: str | None = None, options: dict | None = None
) -> Sweep:
    """Read a sweep config; `checkpoints` and `results`, when given, replace the file's.

    Args:
        path: of the file, or the name of one in `downstream/sweeps/`.
        options: further values that replace the file's, `{'tasks.0.seeds': [1, 2]}`.

    Raises:
        InputError: no such file, or a field is unknown, missing or of the wrong kind; the sentence names it.
    """
    config = read_config(path, options)
    path = Path(config.filename)
    written = {name: value for name, value in config.to_dict().items() if not name.startswith("_")}
    values = {"name": path.stem, "checkpoints": [], "results": f"results/{path.stem}", **written}
    values |= {key: value for key, value in (("checkpoints", checkpoints), ("results", results)) if value}
    return make_sweep(values, source=str(path))


def make_sweep(values: dict[str, Any], source: str = "sweep") -> Sweep:
    """Check a sweep given as a dict.

    Raises:
        InputError: a field is unknown, missing or of the wrong kind.
    """
    try:
        return Sweep.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise InputError(
            f"{source}: {where}: {first['msg']} (found {first['input']!r:.80}); "
            "the fields are listed in poa_bench/sweep/plan.py"
        ) from error


def expand(sweep: Sweep) -> list[Run]:
    """All runs of a sweep, each once, by checkpoint, size, initialisation and task: neighbours share their features.

    Raises:
        InputError: a checkpoint or a network from outside cannot be read, a spec is outside its space, or neither is
            given.
    """
    if not sweep.checkpoints and not sweep.networks:
        raise InputError(
            f"sweep {sweep.name} has no checkpoint: give --checkpoint PATH, or `checkpoints` (or `networks`) in the "
            "config"
        )
    pretrained = any("pretrained" in task.initialisations for task in sweep.tasks)
    planned = [of_checkpoint(checkpoint, sweep.series, pretrained) for checkpoint in sweep.checkpoints]
    planned += [of_outside(entry, pretrained) for entry in sweep.networks]
    runs: dict[str, Run] = {}
    for networks in planned:
        for run in _runs_of(sweep, networks):
            runs.setdefault(run.id, run)  # controls without a checkpoint are shared by all checkpoints
    return list(runs.values())


def _runs_of(sweep: Sweep, networks: Networks) -> list[Run]:
    tasks = [task for task in sweep.tasks if not task.families or networks.families & {*task.families}]
    runs = [run for task in tasks for run in _runs_of_task(sweep, task, networks)]
    order = {name: position for position, name in enumerate(networks.sizes)}
    return sorted(runs, key=lambda run: (order.get(run.spec, -1), run.initialisation, run.seed))


def _runs_of_task(sweep: Sweep, task: TaskEntry, networks: Networks) -> Iterator[Run]:
    training, description, names = networks.training, networks.description, networks.chosen(task.specs)
    for initialisation in task.initialisations:
        if networks.outside and initialisation == "pixels" and sweep.checkpoints:
            continue  # they see pictures as each network does: one control is enough
        measured = _of_initialisation(task, initialisation)
        taken = networks.branch if initialisation == "pretrained" else DEFAULT_BRANCH
        dataset, protocols, config, said = resolve(measured, training, networks.image_size, taken)
        built = initialisation == "random" or (networks.outside and initialisation == "pretrained")
        drawn = {"architecture": description} if built else {}
        settings = {**measured.settings, **drawn}
        if initialisation == "pixels" and training:  # they have no checkpoint that says it
            settings["preprocessing"] = training.to_dict()
        network = {} if initialisation == "pixels" else {"architecture": canonical_hash(description)[:8]}
        for spec in [None] if initialisation == "pixels" else names:
            for protocol in protocols:
                for seed in task.seeds or sweep.seeds:
                    yield Run(
                        **fields_of(networks, initialisation),
                        spec=spec,
                        task=task.task,
                        protocol=protocol,
                        dataset=dataset,
                        seed=seed,
                        initialisation=initialisation,
                        settings=settings,
                        config_hash=canonical_hash({**config, **drawn}),
                        config={**said, **network},
                        gpus=task.gpus,
                        alone=find_task(task.task).is_cost if task.alone is None else task.alone,
                    )


def _of_initialisation(task: TaskEntry, initialisation: Initialisation) -> TaskEntry:
    """The task without what only a checkpoint has: a control measured for the student is that of the teacher."""
    if initialisation == "pretrained" or "branch" not in task.settings:
        return task
    settings = {name: value for name, value in task.settings.items() if name != "branch"}
    return task.model_copy(update={"settings": settings})
