"""Goes through a loader of a config as a run does: data sets, wrappers, pipeline, evaluator, sampler, batches."""

from collections.abc import Callable
from functools import partial
from typing import Any

from mmengine.config import Config
from mmengine.registry import DATASETS, MODELS
from mmengine.runner import Runner

from poa_bench.checks.dataset import build_dataset, check_metric_annotations, find, is_unmeasured, listed
from poa_bench.checks.result import BATCHES, CLASSES, FILES, METRIC, Checked, reason
from poa_bench.checks.sample import look_at_pictures
from poa_bench.checks.splits import check_same_labels
from poa_bench.checks.truth import Truth
from poa_bench.errors import InputError

_HEADS = ("bbox_head", "mask_head", "decode_head", "auxiliary_head", "head")
_OF_WORKERS = ("num_workers", "persistent_workers", "prefetch_factor", "pin_memory")


def check_loader(config: Config, split: str, every_picture: bool, trained: Checked | None) -> list[Checked]:
    """Check what the loader of a split reads and gives.

    Args:
        config: the whole config.
        split: 'train', 'val' or 'test'.
        every_picture: look at all pictures, not at a sample.
        trained: what was found in the train split; None where there is none.

    Returns:
        One row for each data set inside the loader's wrappers.
    """
    loader = f"{split}_dataloader"
    options = config[loader].to_dict()
    rows: list[Checked] = []

    def check(where: str, options: dict) -> Any:
        row = Checked(where, options["type"].rpartition(".")[2])
        rows.append(row)
        firsts = build_dataset(row, options, config, split)
        if row.dataset is not None:
            check_same_labels(row, trained or rows[0])
            check_classes_of_model(row, config)
            truth = _truth(row, config, split, trained or row)
            look_at_pictures(row, config, split, firsts, every_picture, truth)
        return row.dataset

    try:
        dataset = _build(f"{loader}.dataset", options["dataset"], check)
    except Exception as error:  # wrappers raise of many kinds, and all of them are the answer here
        rows[0].fail(FILES, f"its wrapper cannot be built ({reason(error)})", "correct the config's entry")
        return rows
    if dataset is not None and not any(row.problems for row in rows):
        _check_batches(rows[0], {**options, "dataset": dataset}, config, loader)
    return rows


def _build(where: str, options: dict, check: Callable[[str, dict], Any]) -> Any:
    """Build a data set; those inside wrappers (RepeatDataset, ConcatDataset, ...) come first and are checked."""
    inner = "datasets" if "datasets" in options else "dataset" if "dataset" in options else None
    if inner is None:
        return check(where, options)
    inside = options[inner] if inner == "datasets" else [options[inner]]
    built = [_build(f"{where}.{inner}", one, check) for one in inside]
    if any(one is None for one in built):
        return None
    ready = [{"type": partial(_same, one)} for one in built]  # mmengine's wrappers take configs, and few objects
    return DATASETS.build({**options, inner: ready if inner == "datasets" else ready[0]})


def _same(dataset: Any) -> Any:
    return dataset


def _truth(row: Checked, config: Config, split: str, trained: Checked) -> Truth | None:
    """The dry run of the split's evaluator, where it has one that can be tried."""
    evaluator = config.get(f"{split}_evaluator")
    if split == "train" or not evaluator or is_unmeasured(config, split):
        return None
    check_metric_annotations(row, evaluator)
    numbers = {i: trained.labels.index(name) for i, name in enumerate(row.labels) if name in trained.labels}
    try:
        return Truth(evaluator, row.dataset.metainfo, numbers)
    except InputError as error:
        row.notes.append(str(error))
    except Exception as error:  # evaluators raise of many kinds, and all of them are the answer here
        row.fail(METRIC, f"the evaluator cannot be built ({reason(error)})", f"correct {split}_evaluator")
    return None


def _check_batches(row: Checked, options: dict, config: Config, name: str) -> None:
    """The loader gives batches, and the model's data preprocessor takes the first one."""
    options = {key: value for key, value in options.items() if key not in _OF_WORKERS} | {"num_workers": 0}
    options["dataset"].__deepcopy__ = lambda memo: options["dataset"]  # mmengine copies the options, entries and all
    try:
        loader = Runner.build_dataloader(options, seed=0)
    except Exception as error:  # samplers raise of many kinds, and all of them are the answer here
        row.fail(BATCHES, f"{name} cannot be built ({reason(error)})", "correct its sampler and its other options")
        return
    size, pictures = options.get("batch_size"), len(loader.dataset)
    # mmengine's loop by iterations repeats pictures within a batch, where the sampler does not end
    if len(loader) == 0 and (config.get("train_cfg") or {}).get("type") != "IterBasedTrainLoop":
        row.fail(
            BATCHES,
            f"{pictures} pictures are fewer than a batch of {size}, and drop_last leaves out a batch that is not full",
            f"set {name}.batch_size to {pictures} at the most, over all processes",
        )
        return
    try:
        batch = next(iter(loader))
        if preprocessor := (config.get("model") or {}).get("data_preprocessor"):
            MODELS.build(preprocessor)(batch, training=name.startswith("train"))
    except Exception as error:  # whatever it raises here, it would raise in the first step
        row.fail(BATCHES, f"the first batch cannot be made ({reason(error)})", f"correct {name} or data_preprocessor")
        return
    row.passed(BATCHES, f"{len(loader)} of {size}")


def check_classes_of_model(row: Checked, config: Config) -> None:
    """The model's heads have as many classes as the data."""
    heads = [head for name in _HEADS for found in find(config.get("model"), name) for head in listed(found)]
    numbers = {head.get("num_classes") for head in heads if head}
    for number in numbers - {None, row.classes} if row.labels else ():
        row.fail(
            CLASSES,
            f"it has {row.classes} classes, a head of the model {number}",
            f"set its num_classes to {row.classes}, or metainfo.classes",
        )
