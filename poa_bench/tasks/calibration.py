"""Calibration: are the linear probe's probabilities true?"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar

from poa_bench.tasks.base import FeatureProtocol, FrozenFeatures, Measurement, Metric, Task
from poa_bench.tasks.linear import LinearProtocol, probe


@dataclass(frozen=True)
class CalibrationProtocol(FeatureProtocol):
    """Calibration of the default linear probe, see `poa_bench.downstream.calibration`.

    Attributes:
        bins: of the expected calibration error.
    """

    bins: int = 15

    version: ClassVar[int] = 1
    pattern: ClassVar[str] = r"calibration-logreg-bins(?P<bins>[1-9]\d*)"

    @classmethod
    def parse(cls, match: re.Match) -> CalibrationProtocol:
        """The protocol of a name that matches `pattern`."""
        return cls(int(match["bins"]))

    @property
    def settings(self) -> str:
        """As in `calibration-logreg-bins15`."""
        return f"calibration-logreg-bins{self.bins}"

    @property
    def description(self) -> str:
        """One sentence for the report."""
        return (
            f"Probabilities of the linear probe `{LinearProtocol().name}` on the test split: expected calibration "
            f"error of the top class ({self.bins} bins of equal width), negative log-likelihood and Brier score; "
            "scaled_...: the same after dividing the logits by a temperature fitted on validation pictures. Less is "
            "better."
        )

    def measure(self, features: FrozenFeatures) -> Measurement:
        """Scores of one size."""
        from poa_bench.downstream.calibration import calibration_scores, fit_temperature

        found, splits = probe(LinearProtocol(), features)
        temperature = fit_temperature(found.val_logits, splits["val"][1])
        labels = splits["test"][1]
        metrics, outcomes = calibration_scores(found.test_logits, labels, self.bins)
        scaled = calibration_scores(found.test_logits / temperature, labels, self.bins)
        for plain, own in zip((metrics, outcomes), scaled, strict=True):
            plain |= {f"scaled_{name}": value for name, value in own.items()}
        facts = {"temperature": temperature, "val_images": len(splits["val"][1])}
        return Measurement(metrics, facts, outcomes=outcomes)


_LESS = {
    "ece": Metric("%", higher_is_better=False),
    "nll": Metric("nats", higher_is_better=False),
    "brier": Metric("", higher_is_better=False),
}
TASK = Task(
    "calibration",
    place=28,
    protocols=(CalibrationProtocol,),
    defaults=(CalibrationProtocol(),),
    metrics=_LESS | {f"scaled_{name}": metric for name, metric in _LESS.items()},
)
