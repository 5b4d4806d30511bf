"""`SizedModel`: a stock mmdet, mmseg or mmpretrain model whose channel numbers follow the backbone's size."""

from typing import Any

import torch
from mmengine.model import revert_sync_batchnorm

from poa_bench.downstream.backbone import OUT_FRACTIONS, build_network, length_of_features, levels_of
from poa_bench.downstream.normalisation import Source, from_checkpoint, keep_in_checkpoints
from poa_bench.errors import InputError
from poa_bench.outside.name import parse_spec
from poa_bench.registry import MODELS


@MODELS.register_module()
def SizedModel(
    base: str, backbone: dict[str, Any], normalisation: Source = "pretraining", **parts: Any
) -> torch.nn.Module:
    """Build `base` with every placeholder in `parts` replaced by what the backbone's size makes of it.

    Only `model.backbone.spec` then has to change from size to size. Placeholders, `i` counting levels from either end:
    `'backbone.channels'`, `'backbone.strides'` (lists), `'backbone.channels[i]'`, `'backbone.strides[i]'`,
    `'sum(backbone.channels)'`, `'backbone.width'` (channels of the last level), `'backbone.features'` (length of
    what a classifier gets), `'backbone.checkpoint'` and `'backbone.branch'` (of its `init_cfg`, or None).

    Args:
        base: the stock model's type with its scope, `mmdet.MaskRCNN`.
        backbone: config of a `poa_bench.SubnetBackbone`.
        normalisation: `pretraining` takes mean and deviation from the backbone's checkpoint, whatever the config's
            `data_preprocessor` says; `config` keeps the latter's. A difference is logged. What was taken is part of the
            model's own checkpoints.
        parts: all other arguments of the stock model.

    Returns:
        The stock model: nothing of this function is left in it. Where there is no GPU, ordinary batch norms stand for
        synchronised ones, which exist on GPUs only.
    """
    if "data_preprocessor" in parts:
        parts["data_preprocessor"] = from_checkpoint(backbone, parts["data_preprocessor"], normalisation)
    values = placeholder_values(backbone)
    model = MODELS.build({"type": base, "backbone": backbone, **_filled(parts, values)})
    keep_in_checkpoints(model)
    return model if torch.cuda.is_available() else revert_sync_batchnorm(model)


def placeholder_values(backbone: dict[str, Any]) -> dict[str, Any]:
    """The value of every placeholder, for one backbone config."""
    spec = parse_spec(backbone["spec"])
    with torch.device("meta"):  # shapes only
        network = build_network(spec, backbone["families"])
    _, channels, strides = levels_of(network, backbone.get("out_fractions", OUT_FRACTIONS))
    values = {"backbone.channels": channels, "backbone.strides": strides}
    values["sum(backbone.channels)"] = sum(channels)
    values["backbone.width"] = channels[-1]
    values["backbone.features"] = length_of_features(network, channels, backbone.get("output", "levels"))
    values |= {f"backbone.{name}": (backbone.get("init_cfg") or {}).get(name) for name in ("checkpoint", "branch")}
    for index in range(-len(channels), len(channels)):
        values[f"backbone.channels[{index}]"] = channels[index]
        values[f"backbone.strides[{index}]"] = strides[index]
    return values


def _filled(part: Any, values: dict[str, Any]) -> Any:
    if isinstance(part, dict):
        return type(part)({key: _filled(value, values) for key, value in part.items()})
    if isinstance(part, (list, tuple)):
        return type(part)(_filled(value, values) for value in part)
    if isinstance(part, str) and part.startswith(("backbone.", "sum(backbone.")):
        if part not in values:
            raise InputError(f"unknown placeholder {part!r} in the model config: use one of {', '.join(values)}")
        return values[part]
    return part
