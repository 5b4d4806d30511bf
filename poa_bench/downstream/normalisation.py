"""The normalisation of a dense or fine-tuning model is that of the pre-training whose weights it starts from."""

from pathlib import Path
from typing import Any, Literal

from mmengine.config import Config
from mmengine.logging import MMLogger
from torch import nn

from poa_bench.elastic.checkpoint import read_preprocessing
from poa_bench.elastic.preprocessing import Preprocessing, differing
from poa_bench.errors import InputError
from poa_bench.outside.name import PREFIX, is_outside
from poa_bench.outside.source import find_source

Source = Literal["pretraining", "config"]


def normalised_as_in(training: Preprocessing | None, preprocessor: dict[str, Any]) -> tuple[dict[str, Any], str]:
    """A data preprocessor with the mean and deviation of pre-training.

    Args:
        training: what its checkpoint says; None changes nothing.
        preprocessor: config of mmdet's, mmseg's or mmpretrain's, whose pictures are RGB when they are normalised.

    Returns:
        The config, and what its values were instead, as `mean ... instead of ...`; empty if they agreed or were not
        given.
    """
    if training is None:
        return preprocessor, ""
    ours = {"mean": list(training.mean), "std": list(training.std)}
    return {**preprocessor, **ours}, differing({name: preprocessor.get(name) for name in ours}, ours)


def set_normalisation(config: Config, training: Preprocessing | None) -> str:
    """The same in a whole config, unless it says `model.normalisation='config'`.

    Returns:
        What its values are instead of those of pre-training.
    """
    model = config.get("model") or {}
    holder = model if "data_preprocessor" in model else config  # mmpretrain has it beside the model
    if holder.get("data_preprocessor") is None:
        return ""
    filled, other = normalised_as_in(training, holder.data_preprocessor)
    if model.get("normalisation", "pretraining") == "pretraining":
        holder.data_preprocessor = filled
    return other


def from_checkpoint(backbone: dict[str, Any], preprocessor: dict[str, Any], source: Source) -> dict[str, Any]:
    """The data preprocessor of a model whose backbone starts from a checkpoint; what that changes is logged loudly.

    Args:
        backbone: config of a `poa_bench.SubnetBackbone`.
        preprocessor: as the config says it.
        source: `config` leaves it so, and says the difference.

    Raises:
        InputError: unknown source, or the checkpoint cannot be read.
    """
    if source not in ("pretraining", "config"):
        raise InputError(f"model.normalisation is {source!r}: use 'pretraining' or 'config'")
    checkpoint = (backbone.get("init_cfg") or {}).get("checkpoint")
    if checkpoint is None:
        return preprocessor
    logger = MMLogger.get_current_instance()
    if not Path(checkpoint).is_file():  # a trained model has gone elsewhere; a training stops at `init_weights`
        logger.warning(f"{checkpoint} is not there: pictures are normalised as the weights that are loaded say")
        return preprocessor
    if is_outside(backbone["spec"]):
        training = find_source(backbone["spec"].removeprefix(PREFIX), checkpoint).preprocessing
    else:
        training = read_preprocessing(checkpoint)
    if training is None:
        logger.warning(
            f"{checkpoint}, of an older version, does not say how pre-training normalised pictures: the config's "
            f"mean {preprocessor.get('mean')} and std {preprocessor.get('std')} are used; see that they are the same"
        )
        return preprocessor
    filled, other = normalised_as_in(training, preprocessor)
    if other and source == "config":
        logger.warning(f"pictures are normalised as the config says and not as in pre-training: {other}")
        return preprocessor
    if other:
        logger.warning(
            f"pictures are normalised as in pre-training and not as the config says, which has {other} (to keep the "
            "config's: model.normalisation=config)"
        )
    return filled


def keep_in_checkpoints(model: nn.Module) -> None:
    """Make mean and deviation part of the model's state: testing it then uses them, whatever the config says."""
    for name in ("mean", "std"):
        if (values := getattr(model.data_preprocessor, name, None)) is not None:
            model.data_preprocessor.register_buffer(name, values)
