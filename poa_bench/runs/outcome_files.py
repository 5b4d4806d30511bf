"""Outcomes on disk: `outcomes.npz` beside a run's `result.json`, plain arrays and one JSON text, no pickle.

Right and wrong is a bit a picture, other values are float32, whole numbers take the bytes that they need; an array that
several metrics share is kept once.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from poa_bench.errors import InputError
from poa_bench.files import atomic_path, sha256_file
from poa_bench.runs import precision  # noqa: F401  (its kind of outcome is known once it is imported)
from poa_bench.runs.beside import check_sha256, copy_beside
from poa_bench.runs.outcomes import Outcome

OUTCOMES_FILE = "outcomes.npz"
CLOSE = 1e-4  # a stored outcome's score may differ so much from the metric, for what float32 rounds away
_ABOUT = "outcomes"


@dataclass(frozen=True)
class OutcomeFile(Mapping):
    """Outcomes by metric, read when they are asked for.

    Attributes:
        path: of the file.
        sha256: of its contents, as the result says it.

    Raises:
        InputError: on first use, where the file is missing, is not the result's, or is no file of outcomes.
    """

    path: Path
    sha256: str

    @cached_property
    def _outcomes(self) -> dict[str, Outcome]:
        return read_outcomes(self.path, self.sha256)

    def __getitem__(self, metric: str) -> Outcome:
        return self._outcomes[metric]

    def __iter__(self) -> Iterator[str]:
        return iter(self._outcomes)

    def __len__(self) -> int:
        return len(self._outcomes)


def check_outcomes(outcomes: Mapping[str, Outcome], metrics: Mapping[str, float], rounding: float = 0.0) -> None:
    """Raise InputError where an outcome is of no metric, or its score is not the metric, but for so much rounding."""
    for name, outcome in outcomes.items():
        if name not in metrics:
            raise InputError(f"there are outcomes of {name!r}, which is no metric of {', '.join(metrics)}")
        if abs(outcome.score - metrics[name]) > rounding + CLOSE * (1 + abs(metrics[name])):
            raise InputError(
                f"the outcomes of {name!r} score {outcome.score:.6g}, but the metric is {metrics[name]:.6g}: they are "
                "not what happened on its pictures"
            )


def write_outcomes(outcomes: Mapping[str, Outcome], path: Path) -> str | None:
    """Write outcomes whole or not at all; those of another file are copied.

    Returns:
        SHA-256 of the file, None where there are no outcomes (and no file).
    """
    if isinstance(outcomes, OutcomeFile):
        copy_beside(outcomes.path, path)
        return outcomes.sha256
    if not outcomes:
        return None
    arrays: dict[str, np.ndarray] = {}
    about = {name: _described(outcome, arrays) for name, outcome in outcomes.items()}
    with atomic_path(path) as temporary, open(temporary, "wb") as stream:
        np.savez_compressed(stream, **{_ABOUT: np.array(json.dumps(about))}, **arrays)
    return sha256_file(path)


def _described(outcome: Outcome, arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    """Kind and fields of an outcome; its arrays, packed, are added to `arrays` under the names that fields say."""
    said = {}
    for each in fields(outcome):
        value = getattr(outcome, each.name)
        said[each.name] = _kept(np.asarray(value), arrays) if isinstance(value, np.ndarray) else value
    return {"kind": type(outcome).__name__, "fields": said}


def _kept(values: np.ndarray, arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    shape = list(values.shape)
    if values.dtype == bool:
        packed, how = np.packbits(values), "bits"
    elif np.issubdtype(values.dtype, np.floating):
        packed, how = values.astype(np.float32), "numbers"
    else:
        packed, how = values.astype(np.min_scalar_type(int(values.max(initial=0)))), "numbers"
    name = hashlib.sha256(f"{packed.dtype}{shape}".encode() + packed.tobytes()).hexdigest()[:16]
    arrays[name] = packed
    return {"array": name, "how": how, "shape": shape}


def read_outcomes(path: Path, sha256: str | None = None) -> dict[str, Outcome]:
    """Outcomes of a file by metric.

    Args:
        path: the file.
        sha256: what its contents must be; not asked where it is None.

    Raises:
        InputError: it cannot be read, is another file, or holds a kind of outcome that is not known here.
    """
    try:
        check_sha256(path, sha256)
        with np.load(path, allow_pickle=False) as arrays:
            about = json.loads(str(arrays[_ABOUT]))
            return {name: _outcome(described, arrays, path) for name, described in about.items()}
    except InputError:
        raise
    except Exception as error:  # a damaged archive raises a dozen kinds, from zlib.error to KeyError
        raise InputError(f"{path} holds no outcomes that can be read: {error}; copy it again, or run again") from error


def _outcome(described: Mapping[str, Any], arrays: Mapping[str, np.ndarray], path: Path) -> Outcome:
    if described["kind"] not in Outcome.kinds:
        raise InputError(
            f"{path} holds outcomes of the kind {described['kind']!r}, and known are "
            f"{', '.join(sorted(Outcome.kinds))}: install the package whose task measured it"
        )
    values = {
        name: _unpacked(value, arrays) if isinstance(value, dict) else value
        for name, value in described["fields"].items()
    }
    return Outcome.kinds[described["kind"]](**values)


def _unpacked(kept: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> np.ndarray:
    values, shape = arrays[kept["array"]], tuple(kept["shape"])
    if kept["how"] == "bits":
        values = np.unpackbits(values, count=int(np.prod(shape))).astype(bool)
    return values.reshape(shape)
