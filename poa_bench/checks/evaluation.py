"""The splits of an evaluation: pictures with a class each for k-NN and linear probe, or with maps."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from mmengine.config import Config

from poa_bench.checks.dataset import build_dataset
from poa_bench.checks.result import PIPELINE, Checked
from poa_bench.checks.sample import look_at_pictures
from poa_bench.checks.splits import check_same_names
from poa_bench.errors import InputError

if TYPE_CHECKING:
    from poa_bench.downstream.images import EvaluationData


def evaluations(config: Config) -> Iterator[tuple[str, EvaluationData]]:
    """Find what a config evaluates on: its own entry, and the data of hooks that measure k-NN while training.

    Raises:
        InputError: no such data, or an entry is missing or unknown.
    """
    from poa_bench.downstream.images import EvaluationData  # torch and torchvision, which other configs do without

    if entry := config.get("evaluation"):
        try:
            yield "evaluation", EvaluationData(**entry.to_dict())
        except TypeError as error:
            raise InputError(f"evaluation of {config.filename}: {error}") from error
    named = {f"default_hooks.{name}": hook for name, hook in (config.get("default_hooks") or {}).items()}
    named |= {f"custom_hooks.{place}": hook for place, hook in enumerate(config.get("custom_hooks") or [])}
    for where, hook in named.items():
        if hook and str(hook.get("type", "")).endswith(("KnnHook", "RankHook")) and "data" in hook:
            yield where, EvaluationData.load(hook["data"], hook.get("options"))


def check_evaluation(where: str, data: EvaluationData, config: Config, every_picture: bool) -> dict[str, Checked]:
    """Check the splits of an evaluation.

    Args:
        where: its place in the config.
        data: the evaluation.
        config: the whole config.
        every_picture: look at all pictures, not at a sample.

    Returns:
        One row for each split.
    """
    from poa_bench.downstream.scenes import dataset_config

    rows: dict[str, Checked] = {}
    for split in ("train", "val", "test"):
        if getattr(data, split) is None:
            continue
        options = dataset_config(data, split)
        rows[split] = row = Checked(f"{where}.{split}", options["type"].rpartition(".")[2])
        firsts = build_dataset(row, options, Config(), split)
        if row.dataset is None:
            continue
        check_same_names(row, rows["train"])
        look_at_pictures(row, Config(), split, firsts, every_picture, packed=False)
    if data.truth == "classes" and data.resize and data.image_size and data.resize < data.image_size:
        resized = f"resize={data.resize} makes pictures smaller than their crop, image_size={data.image_size}"
        rows["train"].fail(PIPELINE, resized, f"set resize to {data.image_size} or more")
    return rows
