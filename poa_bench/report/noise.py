"""How far two scores must be apart before one may be called higher, and what chance alone would score."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

import numpy as np
import pandas as pd

SURE = 2.0  # standard errors of a difference; noise alone exceeds them in about 1 of 20 cases
_PROPORTION = re.compile(r"(?P<val>val_)?(best_on_test_)?(?P<balanced>balanced_)?top(?P<first>[15])")
_FACTS = (
    "test_images",
    "test_balanced_images",
    "val_images",
    "classes",
    "test_largest_class",
    "test_smallest_class",
)


def margin(first: float, second: float) -> float:
    """`SURE` standard errors of the difference of two scores with these standard errors; unknown ones (NaN) count as 0.

    The test pictures are the same for both, so the true error of the difference is rather smaller.
    """
    return SURE * math.hypot(0 if math.isnan(first) else first, 0 if math.isnan(second) else second)


def ahead_sentence(first: str, second: str, verdicts: Sequence[str]) -> str:
    """At how many sizes the second is ahead of the first by more than the noise, and at how many behind.

    Args:
        first, second: names.
        verdicts: of `verdict.leads`, one per size.
    """
    sizes = f"{len(verdicts)} common size{'s' * (len(verdicts) != 1)}"
    text = f"{second} is ahead of {first} at {verdicts.count('ahead')} of {sizes}"
    text += f", behind at {verdicts.count('behind')}" if "behind" in verdicts else ""
    return text + (f", and within the noise at {verdicts.count('tie')}" if "tie" in verdicts else "")


def facts_of_cells(latest: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """What the newest results say about the test set of each cell: `_FACTS`, metric and unit; missing if unsaid."""
    known = latest.reindex(columns=[*keys, "metric", "unit", *(f"facts.{name}" for name in _FACTS)])
    known = known.rename(columns=lambda name: name.removeprefix("facts."))
    known[list(_FACTS)] = known[list(_FACTS)].apply(pd.to_numeric, errors="coerce").astype(float)
    return known.groupby(keys, sort=False).last()


def standard_errors(cells: pd.DataFrame) -> np.ndarray:
    """Of each mean, NaN where nothing is known: the repeats' (std / sqrt(n)) and the binomial one of the test set.

    The second is sqrt(p (1 - p) / pictures) of an accuracy p, with `test_balanced_images` for that of the balanced one;
    the two are independent, so that squares add up.

    Args:
        cells: `mean`, `std`, `pretrainings`, `seeds` and the columns of `facts_of_cells`.
    """
    repeats = cells.pretrainings.where(cells.pretrainings > 1, cells.seeds)
    of_seeds = cells["std"] / np.sqrt(repeats)
    found = cells.metric.str.extract(f"^{_PROPORTION.pattern}$")
    of_test = cells.test_images.where(found.balanced.isna(), cells.test_balanced_images)
    pictures = of_test.where(found.val.isna(), cells.val_images).where(found["first"].notna())
    whole = pd.Series(np.where(cells.unit == "%", 100.0, 1.0), index=cells.index)
    share = (cells["mean"] / whole).clip(0, 1)
    of_pictures = whole * np.sqrt(share * (1 - share) / pictures)
    squares = pd.concat([of_seeds**2, of_pictures**2], axis=1).sum(axis=1, min_count=1)
    return np.sqrt(squares.to_numpy(float))


def chance_levels(cells: pd.DataFrame) -> np.ndarray:
    """What guessing scores, in the cell's unit, NaN where the result does not say its classes.

    1 / classes for a set with as many pictures of each class; naming the largest class always, where that is better.
    """
    found = cells.metric.str.extract(f"^{_PROPORTION.pattern}$")
    first = found["first"].astype(float)
    share = (first / cells.classes).clip(upper=1)
    largest = cells.test_largest_class / cells.test_images
    guessed = found.val.isna() & found.balanced.isna() & (first == 1) & (largest > share)
    share = share.where(~guessed, largest)
    return (share * np.where(cells.unit == "%", 100.0, 1.0)).to_numpy(float)
