"""What the `measurement` of a config says: how the evaluator's numbers of a trained model become a result.

Every runnable config in `downstream/` has one::

    measurement = dict(
        task='landmarks', protocol='heatmap-faces/1', dataset='faces', split='val',
        metrics={'pck': 'points/PCK', 'rmse': 'points/RMSE'},  # our name: the evaluator's; the main one first
        scale={'pck': 100},  # a factor for what the evaluator says; one number is for all metrics
        units={'rmse': 'px'},  # default: what a registered task of this name says, else '%'
        higher_is_better={'rmse': False},  # the same, else True; None where neither more nor less is better
    )
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StrictBool, ValidationError, model_validator

from poa_bench.errors import InputError
from poa_bench.runs.results import VALIDATION, Finite, Text, first_reason
from poa_bench.tasks import find_task
from poa_bench.tasks.base import Metric


class ConfigMeasurement(BaseModel):
    """The fields of `measurement`, checked; `units` and others may name the metrics of `metrics` only."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    task: Text
    protocol: Annotated[str, Field(pattern=r"^\S+/\d+$")]
    dataset: Text
    split: Text
    metrics: Annotated[dict[Text, Text], Field(min_length=1)]
    scale: Finite | dict[Text, Finite] = 1.0
    units: dict[Text, str] = {}
    higher_is_better: dict[Text, StrictBool | None] = {}

    @model_validator(mode="after")
    def _of_known_metrics(self) -> ConfigMeasurement:
        for field in ("scale", "units", "higher_is_better"):
            named = getattr(self, field)
            if unknown := sorted(set(named) - set(self.metrics)) if isinstance(named, Mapping) else []:
                raise ValueError(f"{field} names {', '.join(unknown)}, but the metrics are {', '.join(self.metrics)}")
        return self

    def metric(self, name: str) -> Metric:
        """Unit and direction of a metric; one of the validation split has those of the metric that it stands for."""
        plain = name.removeprefix(VALIDATION)
        known = find_task(self.task).metric(name)
        unit = self.units.get(name, self.units.get(plain, known.unit))
        return Metric(unit, self.higher_is_better.get(name, self.higher_is_better.get(plain, known.higher_is_better)))

    @property
    def _factors(self) -> dict[str, float]:
        said = self.scale if isinstance(self.scale, dict) else dict.fromkeys(self.metrics, self.scale)
        return dict.fromkeys(self.metrics, 1.0) | said

    def outcomes(self, found: Mapping[str, Any]) -> dict[str, Any]:
        """Outcomes by our names, from those by the evaluator's; metrics of which there are none are left out."""
        return {
            ours: replace(found[theirs], scale=found[theirs].scale * self._factors[ours])
            for ours, theirs in self.metrics.items()
            if theirs in found
        }

    def recorded(self, found: Mapping[str, float]) -> dict[str, Any]:
        """`metrics`, `units`, `higher_is_better` and `split` of a `Result`, from what the evaluator says.

        mmdet says nothing at all where nothing was detected; all metrics are 0 then.
        """
        found = found or dict.fromkeys(self.metrics.values(), 0.0)
        factors = self._factors
        about = {name: self.metric(name) for name in self.metrics}
        return {
            "metrics": {ours: factors[ours] * float(found[theirs]) for ours, theirs in self.metrics.items()},
            "units": {name: metric.unit for name, metric in about.items() if metric.unit},
            "higher_is_better": {name: metric.higher_is_better for name, metric in about.items()},
            "split": self.split,
        }


def read_measurement(config: Mapping[str, Any], name: str) -> ConfigMeasurement:
    """The `measurement` of a config that is called `name`.

    Raises:
        InputError: the config has none, or what it says does not fit.
    """
    said = config.get("measurement")
    if said is None:
        raise InputError(f"config {name} does not say what it measures: it needs `measurement`")
    try:
        return ConfigMeasurement.model_validate(said.to_dict() if hasattr(said, "to_dict") else said)
    except ValidationError as error:
        raise InputError(f"config {name}: its `measurement` is wrong: {first_reason(error)}") from error
