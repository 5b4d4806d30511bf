"""Before a training or a test: the classes of data sets and heads are the same ones, in the same order."""

from collections.abc import Iterator
from itertools import zip_longest
from typing import Any

from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from torch import nn

from poa_bench.datasets.labels import classes_of, quoted
from poa_bench.errors import InputError
from poa_bench.registry import HOOKS


@HOOKS.register_module()
class ClassNamesHook(Hook):
    """Refuse splits whose labels mean different classes, and heads with another number of classes.

    Detection and segmentation know labels as numbers alone: a network that learnt 0 = cat is measured on 0 = dog where
    two data sets list their classes in another order.
    """

    _learnt: tuple[str, ...] | None = None

    def before_train(self, runner: Runner) -> None:
        """Compare the training data with the validation data, their categories, and the heads."""
        train = runner.train_loop.dataloader.dataset
        if runner.val_loop is not None:
            compare_classes(train, runner.val_loop.dataloader.dataset, "val_dataloader")
        if classes := classes_of(train):
            check_heads(runner.model, classes)

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Keep which classes a checkpoint has learnt."""
        self._learnt = checkpoint.get("meta", {}).get("dataset_meta", {}).get("classes")

    def before_test(self, runner: Runner) -> None:
        """Compare the test data with what the checkpoint has learnt."""
        found = classes_of(runner.test_loop.dataloader.dataset)
        if self._learnt and found:
            _same(tuple(map(str, self._learnt)), found, "the checkpoint", "test_dataloader")


def compare_classes(train: Any, other: Any, where: str) -> None:
    """Compare two data sets of mmdet, mmseg or mmpretrain.

    Args:
        train, other: data sets, wrapped ones (RepeatDataset, ConcatDataset, ...) included.
        where: what the second is called, for messages.

    Raises:
        InputError: a label means another class in each, or the second has annotations of a class that is unknown.
    """
    first, second = _folders(train), _folders(other)
    if not (first and second):  # one of them has a list: its numbers are those of the classes
        first, second = classes_of(train), classes_of(other)
    if first and second:
        _same(first, second, "train_dataloader", where)
    known, annotated = _annotated(train), _annotated(other)
    if unknown := [name for name in annotated if known and name not in {*known, *second}]:
        raise InputError(
            f"the annotations of {where} have the categories {quoted(unknown)}, which neither the training data nor "
            f"the classes {quoted(second)} know; rename or remove them, or add them to every metainfo.classes"
        )


def check_heads(model: nn.Module, classes: tuple[str, ...]) -> None:
    """Raise InputError if a head tells apart another number of classes than the data has."""
    for name, found in _heads(model.module if is_model_wrapper(model) else model):
        if found != len(classes):
            raise InputError(
                f"model.{name} has num_classes={found}, but the training data has {len(classes)} classes: "
                f"{quoted(classes)}; set num_classes={len(classes)} there, or metainfo.classes of every data set"
            )


def _heads(model: nn.Module) -> Iterator[tuple[str, int]]:
    for name, module in model.named_modules():
        count = getattr(module, "num_classes", None)
        # an RPN only tells objects from the rest
        if "head" in name and isinstance(count, int) and not name.endswith("rpn_head"):
            yield name, count


def _folders(dataset: Any) -> tuple[str, ...]:
    """The folder of each label: mmpretrain numbers folders even where it is given class names."""
    folders = getattr(next(_inside(dataset)), "folder_to_idx", {})
    return tuple(sorted(folders, key=folders.get))


def _annotated(dataset: Any) -> set[str]:
    """Names of the categories that have annotations, where the data sets know."""
    counts = [getattr(inner, "annotated", {}) for inner in _inside(dataset)]
    return {name for found in counts for name, count in found.items() if count}


def _inside(dataset: Any) -> Iterator[Any]:
    """The data sets inside wrappers."""
    inner = getattr(dataset, "datasets", None) or [getattr(dataset, "dataset", None)]
    if inner == [None]:
        yield dataset
    else:
        for one in inner:
            yield from _inside(one)


def _same(first: tuple[str, ...], second: tuple[str, ...], one: str, other: str) -> None:
    if first == second:
        return
    pairs = enumerate(zip_longest(first, second))
    label, found = next((label, pair) for label, pair in pairs if pair[0] != pair[1])
    names = ["no class" if name is None else repr(name) for name in found]
    raise InputError(
        f"label {label} is {names[0]} in {one}, but {names[1]} in {other}: {one} has the classes {quoted(first)}, "
        f"{other} {quoted(second)}; give both the same metainfo.classes, or the same class folders"
    )
