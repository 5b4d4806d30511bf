"""Looks at a config's data before a training starts, by the config's own data sets, pipelines, loaders and evaluators.

What is cheap is looked at completely (files, annotation files, labels); of pictures a sample, or all of them.
"""

from mmengine.config import Config
from mmengine.registry import DefaultScope

from poa_bench.checks.evaluation import check_evaluation, evaluations
from poa_bench.checks.loader import check_loader
from poa_bench.checks.result import Checked
from poa_bench.checks.splits import check_overlap
from poa_bench.errors import InputError

SPLITS = ("train", "val", "test")


def check_config(config: Config, every_picture: bool = False) -> list[Checked]:
    """Check every data set of a pre-training, detection, segmentation or classification config.

    A loader that appears twice (as validation and test), with the same evaluator, is checked once.

    Args:
        config: the config.
        every_picture: look at all pictures and label maps, not at a sample.

    Returns:
        What was found in each data set, in the order of the config.

    Raises:
        InputError: the config has no data set.
    """
    with DefaultScope.overwrite_default_scope(config.get("default_scope") or "poa_bench"):
        groups = [_check_loaders(config, every_picture)]
        for where, data in evaluations(config):
            rows = check_evaluation(where, data, config, every_picture)
            groups.append({split: [row] for split, row in rows.items()})
        for group in groups:
            check_overlap(group, every_picture)
    found = [row for group in groups for rows in group.values() for row in rows]
    if not found:
        loaders = ", ".join(f"{split}_dataloader" for split in SPLITS)
        raise InputError(f"{config.filename} has none of {loaders} with a data set; give a runnable config")
    return found


def _check_loaders(config: Config, every_picture: bool) -> dict[str, list[Checked]]:
    groups: dict[str, list[Checked]] = {}
    done = []
    for split in SPLITS:
        options = config.get(f"{split}_dataloader")
        if not options or not options.get("dataset"):
            continue
        kept = options.to_dict(), config.get(f"{split}_evaluator")
        if kept not in done:
            done.append(kept)
            groups[split] = check_loader(config, split, every_picture, next(iter(groups.get("train", [])), None))
    return groups
