"""What defines one run, before it is done."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from poa_bench.elastic.branch import DEFAULT_BRANCH
from poa_bench.errors import InputError
from poa_bench.outside.name import family_of
from poa_bench.runs.galleries import checked
from poa_bench.runs.outcome_files import check_outcomes
from poa_bench.runs.provenance import peak_memory_bytes, stamp
from poa_bench.runs.results import IDENTITY, Result, first_reason, run_id

if TYPE_CHECKING:
    from poa_bench.runs.galleries import Gallery
    from poa_bench.runs.outcomes import Outcome

Initialisation = Literal["pretrained", "random", "pixels"]


class Run(BaseModel):
    """Everything that defines one run, resolved. Two runs are the same run exactly if their ids are equal.

    `settings` is what the task's code gets beside the identity; `config_hash` is the hash of its resolved form,
    `config` what of it a result says in words. `seed` and `pretraining_seed` are those of `Result`.
    `gpus` and `alone` say what the run needs, `series` which line of the report it belongs to and `network` what is
    known of the network (what it has cost; of one from outside licence and training data), not what it is: they are
    not part of the id.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    checkpoint: str | None
    checkpoint_sha256: str | None
    spec: str | None
    task: str
    protocol: str
    dataset: str
    seed: int
    initialisation: Initialisation
    settings: dict[str, Any]
    config_hash: str
    pretraining_seed: int | None = None
    config: dict[str, str | int | float] = {}
    gpus: int = 1
    alone: bool = False
    series: str | None = None
    network: dict[str, str | int | float] = {}

    @cached_property
    def id(self) -> str:
        """The same 16 hex digits as the `run_id` of the result."""
        return run_id(**{name: getattr(self, name) for name in IDENTITY})

    @property
    def family(self) -> str | None:
        """First part of the spec; `timm` of a network from outside."""
        return self.spec and family_of(self.spec)

    def __str__(self) -> str:
        words = [self.task, self.spec or "raw pixels", self.protocol, self.dataset, f"measurement seed {self.seed}"]
        words += [] if self.pretraining_seed is None else [f"pre-training seed {self.pretraining_seed}"]
        words += [branch] if (branch := self.config.get("branch", DEFAULT_BRANCH)) != DEFAULT_BRANCH else []
        return " ".join(words + ([] if self.initialisation == "pretrained" else [self.initialisation]))

    def check_source(self, sha256: str | None) -> None:
        """Raise InputError if the weights that were loaded are not those that the run was planned for.

        Args:
            sha256: of the file that they were read from; None of random ones.
        """
        if sha256 != self.checkpoint_sha256:
            raise InputError(
                f"{self.checkpoint} has changed since the run was planned (SHA-256 {str(sha256)[:12]}..., not "
                f"{str(self.checkpoint_sha256)[:12]}...): plan again"
            )

    def result(
        self,
        outcomes: Mapping[str, Outcome] | None = None,
        rounding: float = 0.0,
        galleries: Sequence[Gallery] = (),
        **measured: Any,
    ) -> Result:
        """The `Result` of this run: its identity, where the code comes from, and what was measured.

        Args:
            outcomes: of the metrics.
            rounding: how much metrics may be rounded, in which outcomes then differ from them.
            galleries: what the numbers mean, in pictures.
            measured: fields of the result.

        Raises:
            InputError: a value is none that a result may hold, such as NaN, or outcomes are not those of the metrics.
        """
        check_outcomes(outcomes or {}, measured.get("metrics", {}), rounding)
        own = {name: getattr(self, name) for name in ("checkpoint", "config", *IDENTITY)}
        said = {"series": self.series, "config": self.settings.get("config")}
        measured["facts"] = {**measured.get("facts", {}), **{name: text for name, text in said.items() if text}}
        measured["facts"] |= self.network
        galleries = checked(galleries, measured["facts"])
        values = {"peak_memory_bytes": peak_memory_bytes(), **own, "family": self.family, **stamp(), **measured}
        try:
            return Result(**values).with_outcomes(outcomes or {}, galleries)
        except ValidationError as error:
            raise InputError(f"{self}: what was measured is no result: {first_reason(error)}") from error
