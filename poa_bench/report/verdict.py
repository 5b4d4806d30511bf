"""What may be said about a score: the one place that decides whether a size is called the best.

A score is praised only where it is above the controls (random initialisation, raw pixels) and above chance by more than
the noise that is known, and where there are sizes enough to compare. Where both of two scores have outcomes, the noise
is that of their paired difference (`bootstrap.py`), else what repeats and numbers of pictures say (`noise.py`). Report,
page, cards and command line print the sentences made here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from poa_bench.report.bootstrap import LEVEL, Sample, differences, holm, p_value
from poa_bench.report.noise import margin

LEAST_SIZES = 3  # of fewer none is called the best


class Score(NamedTuple):
    """A score with its standard error (NaN where nothing is known about it), and whose it is.

    `sign` is 1 where more is better and -1 where less is: the one place where that decides anything is `better`.
    `sample` is what chance may have made of it, None where no outcomes were kept.
    """

    name: str
    mean: float
    error: float
    sign: int = 1
    sample: Sample | None = None

    @property
    def merit(self) -> float:
        """The score, or its negative: the larger, the better."""
        return self.sign * self.mean

    def ties(self, other: Score) -> bool:
        """Whether the two are within the noise of each other."""
        return abs(self.mean - other.mean) <= self.margin(other)

    def margin(self, other: Score) -> float:
        """How large a difference noise alone makes."""
        if self.sample is None or other.sample is None:
            return margin(self.error, other.error)
        return float(differences([self.sample, other.sample]).margin[0, 1])

    def better(self, other: Score) -> bool:
        """Whether this one is better by more than the noise."""
        return self.merit > other.merit and not self.ties(other)


def leads(pairs: Sequence[tuple[Score, Score]]) -> list[str]:
    """Whether the second of each pair is `ahead` of the first, `behind`, or `tie`.

    Where all have outcomes the chance of any false lead among the pairs is 5 % at most (Holm's correction); else each
    is judged alone.
    """
    verdicts = ["ahead" if second.merit > first.merit else "behind" for first, second in pairs]
    samples = [(first.sample, second.sample) for first, second in pairs]
    if all(None not in pair for pair in samples):
        tie = [p >= 1 - LEVEL for p in holm([p_value(*pair) for pair in samples])]
    else:
        tie = [first.ties(second) for first, second in pairs]
    return ["tie" if level else verdict for level, verdict in zip(tie, verdicts, strict=True)]


class Standing(NamedTuple):
    """One score against what costs nothing.

    Attributes:
        kind: `zero`, `chance` (not above it), `controls` (some are as good or better), `uncontrolled`, or `above`.
        rivals: the controls that are as good or better; for `above` those that are not.
        chance: what guessing scores; NaN where it is not known.
        sign: of the score.
    """

    kind: str
    rivals: tuple[Score, ...]
    chance: float
    sign: int = 1

    @property
    def side(self) -> str:
        """On which side of another one a better score lies."""
        return "above" if self.sign > 0 else "below"


def standing(score: Score, controls: Sequence[Score], chance: float) -> Standing:
    """What a score is worth.

    Args:
        score: of a pre-trained network.
        controls: their scores; those that are NaN were not measured.
        chance: what guessing scores, in the same unit; NaN where it is not known.
    """
    known = sorted((control for control in controls if not math.isnan(control.mean)), key=lambda each: -each.merit)
    if score.mean == 0 and score.sign > 0:
        return Standing("zero", (), chance)
    if not math.isnan(chance) and not score.better(Score("chance", chance, math.nan, score.sign)):
        return Standing("chance", (), chance, score.sign)
    if rivals := tuple(control for control in known if not score.better(control)):
        return Standing("controls", rivals, chance, score.sign)
    return Standing("above" if known else "uncontrolled", tuple(known), chance, score.sign)


def standing_text(found: Standing, decimals: int = 2, with_numbers: bool = True) -> str:
    """A standing in words, such as `above raw pixels (58.30)`; without numbers it fits many sizes."""
    rivals = " and ".join(_valued(rival, decimals) if with_numbers else rival.name for rival in found.rivals)
    chance = f" ({found.chance:.{decimals}f})" if with_numbers else ""
    return {
        "zero": "0, so no conclusion is possible",
        "chance": f"NOT {found.side} chance{chance}, so no conclusion is possible",
        "controls": f"NOT {found.side} {rivals}",
        "uncontrolled": "no control was measured (random initialisation, raw pixels), so nothing shows how good it is",
        "above": f"{found.side} {rivals}",
    }[found.kind]


@dataclass(frozen=True)
class Verdict:
    """A size among others.

    Attributes:
        score: of the size that is spoken of: the one that scores best, or the one that was chosen.
        others: of the other sizes.
        standing: of `score`, against the best of each kind of control.
        tied: the others that cannot be told apart from the best, as `score` cannot; see `ties.py`.
        ahead: the others that are better than `score`; there are some only where another measure chose.
    """

    score: Score
    others: tuple[Score, ...]
    standing: Standing
    tied: tuple[Score, ...] = ()
    ahead: tuple[Score, ...] = ()

    @property
    def count(self) -> int:
        """Sizes in all."""
        return 1 + len(self.others)

    @property
    def kind(self) -> str:
        """That of the standing where it is not `above`, else `few`, `behind`, `tie`, `highest` or `best`.

        `highest` is what would be the best if anything were known about the noise.
        """
        if self.standing.kind != "above":
            return self.standing.kind
        if self.count < LEAST_SIZES:
            return "few"
        if self.ahead:
            return "behind"
        if self.tied:
            return "tie"
        return "highest" if math.isnan(self.score.error) else "best"


def verdict_text(found: Verdict, decimals: int = 2) -> str:
    """The verdict as a sentence without its end: controls that are as good come first, `best` is only what is known."""
    score, kind = found.score, found.kind
    value = f"{score.mean:.{decimals}f}"
    spoken = _spoken(found)
    worth = standing_text(found.standing, decimals)
    if kind == "zero":
        return f"no conclusion is possible: {spoken} scores {value}"
    if kind == "chance":
        return f"no conclusion is possible: {spoken}, {score.name}, has {value}, {worth.partition(',')[0]}"
    if kind == "controls":
        return f"{_rivals(found, decimals)}; {spoken}, {score.name}, has {value}"
    if kind == "uncontrolled":
        text = f"without a control nothing shows whether the scores are good; {spoken} is {score.name} with {value}"
        return text + _ties(found, decimals)
    if kind == "few":
        others = "".join(f"; {other.name} has {other.mean:.{decimals}f}" for other in found.others)
        few = "one size is" if found.count == 1 else f"{found.count} sizes are"
        return f"{few} too few to call one the best: {score.name} has {value}, {worth}{others}{_ties(found, decimals)}"
    if kind == "behind":
        ahead = max(found.ahead, key=lambda other: other.merit)
        how = "higher" if score.sign > 0 else "lower"
        return f"{spoken}, {score.name}, has {value}, {worth}; {_valued(ahead, decimals)} is {how} on this split"
    if kind == "tie":
        return f"{spoken} is {score.name} with {value}, {worth}{_ties(found, decimals)}"
    if kind == "highest":
        return f"{spoken} is {score.name} with {value}, {worth}; the size of the noise is unknown"
    return f"the best of {found.count} sizes is {score.name} with {value}, {worth}"


def _spoken(found: Verdict) -> str:
    if found.count == 1:
        return "the only size"
    first = found.score.merit >= max(other.merit for other in found.others)
    if found.kind == "zero" and first:
        return f"every one of {found.count} sizes"
    extreme = "highest" if found.score.sign > 0 else "lowest"
    return f"the {extreme if first else 'chosen one'} of {found.count} sizes"


def _rivals(found: Verdict, decimals: int) -> str:
    """`raw pixels (48.80) are better`: the controls that are not below, and how they stand."""
    rivals = found.standing.rivals
    better = [rival.better(found.score) for rival in rivals]
    how = "better" if all(better) else "as good or better" if any(better) else "as good"
    plural = len(rivals) > 1 or rivals[0].name.endswith("s")
    noise = max((rival.margin(found.score) for rival in rivals), default=0)
    within = "" if any(better) or noise == 0 else f" (within the noise, ± {noise:.{decimals}f})"
    return f"{' and '.join(_valued(rival, decimals) for rival in rivals)} {'are' if plural else 'is'} {how}{within}"


def _ties(found: Verdict, decimals: int) -> str:
    if not found.tied:
        return ""
    count, others = len(found.tied), len(found.others)
    if found.score.sample is None or any(other.sample is None for other in found.tied):
        noise = max(found.score.margin(other) for other in found.tied)
        within = f"within the noise (± {noise:.{decimals}f})" if noise else "equal"
        how = f"{'is' if count == 1 else 'are'} {within}"
    else:
        how = "cannot be told apart from the best on these pictures"
    which = f"{count} of the other {others}" if others > 1 else "the other one"
    return f"; {which} {how}: a tie"


def _valued(score: Score, decimals: int) -> str:
    return f"{score.name} ({score.mean:.{decimals}f})"
