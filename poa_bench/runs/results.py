"""What a run leaves behind: one schema-checked `result.json`, and the table read back from many of them.

A *run* is one (checkpoint with its pre-training seed, spec, task, protocol, dataset, measurement seed, initialisation,
resolved config). Its id is a hash of exactly those, so the same inputs always land in the same folder and gathering
results from several machines is copying folders. This module imports neither torch nor pandas until a function needs
them.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, PrivateAttr, ValidationError, model_validator

from poa_bench.errors import InputError
from poa_bench.files import atomic_path
from poa_bench.runs.galleries import GALLERY_FILE, GalleryFile, write_galleries
from poa_bench.runs.outcome_files import OUTCOMES_FILE, OutcomeFile, write_outcomes
from poa_bench.runs.provenance import canonical_hash

if TYPE_CHECKING:
    import pandas

    from poa_bench.runs.galleries import Gallery
    from poa_bench.runs.outcomes import Outcome

SCHEMA_VERSION = 1
RESULT_FILE = "result.json"
SIGNS = {True: 1, False: -1, None: 0}  # of `higher_is_better`: of numbers times it, the larger is the better one
VALIDATION = "val_"  # begins the name of a metric of the validation split, which sizes are chosen by

# the fields that define a run, in the order in which they are hashed
IDENTITY = (
    "checkpoint_sha256", "spec", "task", "protocol", "dataset", "seed", "initialisation", "config_hash",
    "pretraining_seed",
)  # fmt: skip

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Text = Annotated[str, Field(min_length=1)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Count = Annotated[int, Field(ge=0)]


def run_id(
    *,
    checkpoint_sha256: str | None,
    spec: str | None,
    task: str,
    protocol: str,
    dataset: str,
    seed: int,
    initialisation: str,
    config_hash: str,
    pretraining_seed: int | None = None,
) -> str:
    """The 16 hex digits that name a run: a hash of exactly its arguments, of the last one only where it is known."""
    parts = [checkpoint_sha256, None if spec is None else str(spec), task, protocol, dataset, seed]
    known = [] if pretraining_seed is None else [pretraining_seed]
    return canonical_hash([*parts, initialisation, config_hash, *known])[:16]


class Result(BaseModel):
    """One finished run. `run_id` is derived from the other fields when left out, and checked against them when given.

    Quantities: `macs` per image at `image_size`, `seconds` of wall clock, `peak_memory_bytes` of the process (host) or
    of the GPU where one was used. The first entry of `metrics` is the primary one; `units` names a metric's unit,
    and `higher_is_better` its direction (None: neither); results of earlier versions do not say it.
    The raw-pixel control has no `spec` and no checkpoint, random initialisation no `checkpoint_sha256`.

    There are two seeds. `pretraining_seed` is the one that the checkpoint was trained with, None for controls and where
    the checkpoint does not say it. `seed` is the measurement's: of a validation split that is held out and of a dense
    task's training; of the weights too, where these are random. `config` holds the values that `config_hash` stands
    for, long ones as hashes, and a hash of the supernet's `architecture`; results of earlier versions have none.

    `outcomes_sha256` is of the file beside it that says what happened on each picture (`outcome_files.py`), None where
    there is none; `outcomes` reads it. So are `gallery_sha256` and `galleries` (`galleries.py`).
    """

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())

    schema_version: Literal[1] = SCHEMA_VERSION
    run_id: Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]
    created: AwareDatetime = Field(default_factory=lambda: datetime.now(timezone.utc))
    spec: Text | None
    family: Text | None
    initialisation: Literal["pretrained", "random", "pixels"]
    checkpoint: Text | None
    checkpoint_sha256: Sha256 | None
    task: Text
    protocol: Annotated[str, Field(pattern=r"^\S+/\d+$", description="name/version, as in knn-k20-T0.07/1")]
    dataset: Text
    split: Text
    seed: int
    metrics: Annotated[dict[Text, Finite], Field(min_length=1)]
    units: dict[Text, str] = {}
    higher_is_better: dict[Text, bool | None] = {}
    parameters: Count | None = None
    macs: Count | None = None
    image_size: Count | None = None
    config_hash: Sha256
    pretraining_seed: int | None = None
    config: dict[Text, str | int | Finite] = {}
    git_sha: Text
    git_dirty: bool
    versions: dict[Text, str]
    seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    peak_memory_bytes: Count
    tensors_loaded: Count | None = None
    tensors_total: Count | None = None
    facts: dict[Text, str | int | Finite] = {}
    outcomes_sha256: Sha256 | None = None
    gallery_sha256: Sha256 | None = None
    _outcomes: Mapping[str, Any] = PrivateAttr(default_factory=dict)
    _galleries: Sequence[Any] = PrivateAttr(default=())

    @model_validator(mode="before")
    @classmethod
    def _name_the_run(cls, values: Any) -> Any:
        if not isinstance(values, Mapping) or not values.keys() >= set(IDENTITY) - {"pretraining_seed"}:
            return values  # the field checks say what is missing
        return {"run_id": run_id(**{name: values[name] for name in IDENTITY if name in values}), **values}

    @model_validator(mode="after")
    def _consistent(self) -> Result:
        if (self.spec is None) != (self.initialisation == "pixels"):
            raise ValueError(f"spec is {self.spec!r} with initialisation {self.initialisation!r}; only pixels has none")
        if (self.checkpoint_sha256 is not None) != (self.initialisation == "pretrained"):
            raise ValueError(f"checkpoint_sha256 belongs to pretrained runs exactly, not to {self.initialisation!r}")
        if self.pretraining_seed is not None and self.initialisation != "pretrained":
            raise ValueError(f"pretraining_seed belongs to pretrained runs, not to {self.initialisation!r}")
        if self.tensors_loaded != self.tensors_total and self.initialisation == "pretrained":
            raise ValueError(f"only {self.tensors_loaded} of {self.tensors_total} backbone tensors were loaded")
        for field in ("units", "higher_is_better"):
            if unknown := getattr(self, field).keys() - self.metrics.keys():
                raise ValueError(f"{field} for metrics that are not there: {sorted(unknown)}")
        if self.run_id != (expected := run_id(**{name: getattr(self, name) for name in IDENTITY})):
            raise ValueError(f"run_id is {self.run_id}, but the fields that define the run hash to {expected}")
        return self

    @property
    def outcomes(self) -> Mapping[str, Outcome]:
        """What happened on each picture, by metric: of the measurement, or read from the file when it is asked for."""
        return self._outcomes

    @property
    def galleries(self) -> Sequence[Gallery]:
        """What the numbers mean, in pictures: of the measurement, or read from the file when it is asked for."""
        return self._galleries

    def with_outcomes(self, outcomes: Mapping[str, Outcome], galleries: Sequence[Gallery] = ()) -> Result:
        """The same result with its outcomes and galleries, which `write_result` writes beside it."""
        kept = self.model_copy()
        kept._outcomes, kept._galleries = outcomes, galleries
        return kept

    @property
    def primary(self) -> float:
        """The value of the primary metric, which is the first one."""
        return next(iter(self.metrics.values()))


def write_result(result: Result, directory: str | os.PathLike) -> Path | None:
    """Write `<directory>/<run_id>/result.json` so that it is either whole or not there at all.

    Its outcomes and galleries are written first, as `outcomes.npz` and `gallery.json`. Only rank 0 of a distributed run
    writes; other ranks get None. A temporary file in the same folder is moved over the name, hence a reader and a
    second writer of the same run always see one complete file.
    """
    if _rank() != 0:
        return None
    # values set by model_copy or model_construct skip validation: check what is about to be kept
    checked = Result.model_validate(result.model_dump())
    path = Path(directory) / checked.run_id / RESULT_FILE
    said = write_outcomes(result.outcomes, path.with_name(OUTCOMES_FILE))
    drawn = write_galleries(result.galleries, path.with_name(GALLERY_FILE))
    checked = checked.model_copy(update={"outcomes_sha256": said, "gallery_sha256": drawn})
    with atomic_path(path) as temporary:
        temporary.write_text(checked.model_dump_json(indent=1) + "\n", encoding="utf-8")
    return path


def read_result(path: str | os.PathLike) -> Result:
    """Read and check one `result.json`.

    Raises:
        InputError: the file cannot be read, is no JSON, or does not fit the schema; the sentence names it.
    """
    try:
        result = Result.model_validate_json(Path(path).read_bytes())
        said, drawn, beside = result.outcomes_sha256, result.gallery_sha256, Path(path).with_name
        return result.with_outcomes(
            OutcomeFile(beside(OUTCOMES_FILE), said) if said else {},
            GalleryFile(beside(GALLERY_FILE), drawn) if drawn else (),
        )
    except (OSError, ValidationError) as error:
        raise InputError(f"{path} is not a valid result: {first_reason(error)}; delete it and run again") from error


def load_results(directory: str | os.PathLike, on_broken: Literal["raise", "aside"] = "raise"):
    """All results below `directory` (any depth) as `(list of Result, {path of a broken file: why})`.

    The same run found twice (copies gathered from several machines) counts once: the latest `created` wins.

    Raises:
        InputError: `directory` does not exist, or a file is broken and `on_broken` is 'raise'.
    """
    directory = Path(directory)
    if not directory.is_dir():
        raise InputError(f"there is no results folder {directory}; give the folder that holds <run_id>/{RESULT_FILE}")
    results: dict[str, Result] = {}
    broken: dict[str, str] = {}
    for path in sorted(directory.rglob(RESULT_FILE)):
        try:
            result = read_result(path)
        except InputError as error:
            if on_broken == "raise":
                raise
            broken[str(path)] = str(error)
            continue
        other = results.get(result.run_id)
        if other is not None and other.metrics != result.metrics:
            logging.getLogger("poa_bench").warning(
                f"{path} and another copy of run {result.run_id} differ: the one is taken that was measured later by "
                f"the clock of its machine ({max(result.created, other.created):%Y-%m-%d %H:%M:%S %Z})"
            )
        if other is None or other.created < result.created:
            results[result.run_id] = result
    return list(results.values()), broken


def read_results(directory: str | os.PathLike, on_broken: Literal["raise", "aside"] = "raise") -> pandas.DataFrame:
    """The long table below `directory`: one row per run and metric.

    Columns: the fields of `Result`, with `metric`, `value`, `unit`, `sign` (1 where more is better, -1 where less is, 0
    where neither is), `primary` in place of `metrics`, `units` and `higher_is_better`, and `config.<name>`,
    `versions.<name>`, `facts.<name>` in place of the three dicts. What a run lacks is missing (NaN/None), never 0. With
    `on_broken='aside'` broken files are left out and listed in `frame.attrs['broken']` ({path: why}).

    Raises:
        InputError: as `load_results`.
    """
    results, broken = load_results(directory, on_broken)
    frame = results_frame(results)
    frame.attrs["broken"] = broken
    return frame


def results_frame(results: list[Result]) -> pandas.DataFrame:
    """The long table of results in memory; columns as in `read_results`."""
    import pandas

    rows = [row for result in results for row in _rows(result)]
    fixed = [name for name in Result.model_fields if name not in _DICTS]
    extra = sorted({name for row in rows for name in row if name.split(".")[0] in ("config", "versions", "facts")})
    frame = pandas.DataFrame(rows, columns=[*fixed, "metric", "value", "unit", "sign", "primary", *extra])
    integers = ["sign", "pretraining_seed", "parameters", "macs", "image_size", "tensors_loaded", "tensors_total"]
    return frame.astype(dict.fromkeys(integers, "Int64"))


_DICTS = ("metrics", "units", "higher_is_better", "config", "versions", "facts")


def _rows(result: Result) -> list[dict[str, Any]]:
    fields = {name: value for name, value in result if name not in _DICTS}
    for group in ("config", "versions", "facts"):
        fields |= {f"{group}.{name}": value for name, value in getattr(result, group).items()}
    signs = {metric: SIGNS[said] for metric, said in result.higher_is_better.items()}
    primary = next(iter(result.metrics))
    return [
        {
            **fields,
            "metric": metric,
            "value": value,
            "unit": result.units.get(metric),
            "sign": signs.get(metric),
            "primary": metric == primary,
        }
        for metric, value in result.metrics.items()
    ]


def _rank() -> int:
    return int(os.environ.get("RANK", "0"))  # torchrun and mmengine's launchers both set it


def first_reason(error: Exception) -> str:
    """The first thing that is wrong with a value, with its place."""
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        return f"{where}: {first['msg']}" if where else first["msg"]
    return str(error)
