"""What check-data found in one data set."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from poa_bench.errors import InputError

SHOWN = 3  # examples named in a message
# names of the checks, in the order of the table
FILES, ANNOTATIONS, CLASSES = "files", "annotation file", "classes"
READ, PIPELINE, BATCHES = "decoded", "pipeline", "batches of"
METRIC, APART = "metric on the truth", "apart from other splits"
CHECKS = (FILES, ANNOTATIONS, CLASSES, READ, PIPELINE, BATCHES, METRIC, APART)
_MOST_PICTURES = 20  # pictures that get a sentence of their own


@dataclass
class Checked:
    """What was found in one data set.

    Attributes:
        where: its place in the config.
        kind: its type.
        pictures, annotations, classes: how many there are.
        read: how many pictures were passed through the pipeline, or at least loaded by it.
        labels: the name of each label number, as training numbers them.
        seen: class number -> a picture of it that could be read.
        fine: what was checked -> what came out, in the order of the table.
        notes: what is worth knowing and needs no repair.
        problems: a sentence each, with what to do.
        broken: pictures that a problem is about.
        dataset: the data set that was built.
    """

    where: str
    kind: str
    pictures: int = 0
    annotations: int | None = None
    classes: int = 0
    read: int = 0
    labels: tuple[str, ...] = ()
    seen: dict[int, str] = field(default_factory=dict)
    fine: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    broken: set[str] = field(default_factory=set)
    dataset: Any = field(default=None, repr=False)
    _unnamed: Counter = field(default_factory=Counter, repr=False)

    def fail(self, check: str, problem: str, remedy: str) -> None:
        """Note a problem found by a check, in one sentence with what to do."""
        self.fine[check] = "no"
        self.problems.append(f"{self.where}: {problem}; {remedy}")

    def fail_picture(self, check: str, name: str, problem: str, remedy: str) -> None:
        """Note a problem with a picture, one for each picture; after many of them they are only counted."""
        self.fine[check] = "no"
        if name in self.broken:
            return
        self.broken.add(name)
        if len(self.broken) <= _MOST_PICTURES:
            self.fail(check, f"{name} {problem}", remedy)
        else:
            self._unnamed[check] += 1

    def passed(self, check: str, what: str = "fine") -> None:
        """Note that a check found nothing wrong, unless it did."""
        self.fine.setdefault(check, what)

    def close(self) -> None:
        """Say how many pictures had problems that were not named one by one."""
        for check, count in self._unnamed.items():
            self.fail(check, f"{count} more pictures have such problems", "repair the named ones first")
        self._unnamed.clear()


def examples(values: Sequence[Any]) -> str:
    """The first few of some values, for a message."""
    return ", ".join(str(value) for value in values[:SHOWN]) + (", ..." if len(values) > SHOWN else "")


def reason(error: Exception) -> str:
    """An exception in words; the message alone where it is ours."""
    return str(error) if isinstance(error, InputError) else f"{type(error).__name__}: {error}".rstrip(": ")
