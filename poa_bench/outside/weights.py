"""Weights of others into a stock timm network: every tensor of the network is filled, every tensor of the file named.

Official files (DINOv2, DINOv3, MAE, DeiT, Swin, ConvNeXt, ...) are converted by what timm itself reads its network's
weights with; checkpoints of mmpretrain by the names that our export to it uses. No pickle is executed.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import safetensors.torch
import timm
import torch
from safetensors import SafetensorError
from timm.models import split_model_name_tag
from torch import Tensor, nn

from poa_bench.elastic.checkpoint import LoadReport, check_numbers
from poa_bench.elastic.training_checkpoint import check_whole, read_checkpoint, unwrapped
from poa_bench.errors import InputError
from poa_bench.files import existing, sha256_file, unchanged
from poa_bench.outside.mmpretrain import from_mmpretrain
from poa_bench.outside.name import OutsideSpec

Tensors = dict[str, Tensor]

# where the tensors of a checkpoint are, and what stands before the backbone's names
_HOLDERS = ("state_dict", "model", "teacher")
_BACKBONE = "backbone."
# what a file may hold beside the network, by the begin of its names
LEFT_OUT = {
    r"(head|head_dist|fc|classifier|pre_logits|lm_head|dino_head|ibot_head|projectors|norms|neck)\.": "heads",
    r"(mask_token|vision_encoder\.mask_token)$": "mask token of pre-training",
    r"decoder_": "decoder of pre-training",
    r"(fc_)?norm\.|local_cls_norm\.": "norm of another pooling",
    r".*(relative_position_index|attn_mask|num_batches_tracked)$": "buffers that are computed anew",
    r"rope_embed\.periods$|.*\.bias_mask$": "buffers that are computed anew",
    r"data_preprocessor\.": "preprocessing of pictures",
}
# what timm's readers compute anew, by other means than a new name or shape: sums, other image or window sizes
_REMADE = re.compile(r"(.*\.)?(cls_token|pos_embed|relative_position_bias_table|patch_embed\.proj\.weight)$")
_ZEROS = re.compile(r".*\.attn\.qkv\.bias$")  # of DINOv3, masked; timm has no parameter for them
_SHOWN = 4  # names in a message
_FILTERS = ("checkpoint_filter_fn", "_filter_fn", "pretrained_filter_fn")


def load_weights(network: nn.Module, path: str | Path, spec: OutsideSpec) -> LoadReport:
    """Fill a network with the tensors of a file, all of them, and log it: `loaded 150/150 tensors`.

    Args:
        network: as `build` makes it.
        path: safetensors, or a file of torch's that is read without executing pickles: plain tensors, or under
            `state_dict`, `model` or `teacher`.
        spec: its name.

    Raises:
        InputError: the file cannot be read safely, lacks tensors of the network or has them in other shapes, or holds
            tensors that are not among `LEFT_OUT`.
    """
    with unchanged(path):
        tensors, beside = _backbone_part(read_tensors(path), path)
        sha256 = sha256_file(path)
    converted = _converted(tensors, network, spec, path)
    own = network.state_dict()
    missing = [name for name in own if name not in converted]
    wrong = [name for name in own if name in converted and own[name].shape != converted[name].shape]
    unknown = [name for name in converted if name not in own]
    unread = _unread(tensors, converted)
    left_out = [*beside, *unknown, *unread]
    strange = [name for name in left_out if _reason(name) is None]
    if missing or wrong:
        name = (missing or wrong)[0]
        shapes = "" if missing else f": {list(converted[name].shape)} instead of {list(own[name].shape)}"
        kind = "are not there" if missing else "have another shape"
        raise InputError(
            f"{path} does not fill timm's {spec.timm}: {len(missing or wrong)} of its {len(own)} tensors {kind} "
            f"({_shown(missing or wrong)}{shapes}){_beside(strange)}; give the file of this network, or the network of "
            "this file"
        )
    if strange:
        raise InputError(
            f"{path} holds more than timm's {spec.timm}: {len(strange)} tensors that it has no place for "
            f"({_shown(strange)}); give the network that they belong to"
        )
    check_numbers(network, converted, path)
    network.load_state_dict({name: converted[name] for name in own}, strict=True)
    report = LoadReport(spec, len(own), len(own), sha256, str(path))
    reasons = sorted({_reason(name) for name in left_out})
    logging.getLogger("poa_bench").info(f"{report}{'; left out: ' + ', '.join(reasons) if reasons else ''}")
    return report


def read_tensors(path: str | Path) -> Tensors:
    """The tensors of a file by their names, without what wrappers of torch add to these.

    Raises:
        InputError: no such file, or nothing that holds tensors and can be read safely.
    """
    if existing(path).suffix == ".safetensors":
        try:
            return safetensors.torch.load_file(path)
        except SafetensorError as error:
            raise InputError(f"{path} is no safetensors file: {error}") from error
    found = read_checkpoint(path)
    check_whole(path)
    for holder in _HOLDERS:
        if isinstance(found.get(holder), dict):
            found = found[holder]
    tensors = {name: value for name, value in found.items() if isinstance(value, Tensor)}
    if not tensors:
        raise InputError(
            f"{path} holds no tensors by name, alone or under {', '.join(_HOLDERS)}: its keys are {_shown(found)}"
        )
    return unwrapped(tensors, path)


def _backbone_part(tensors: Tensors, path: str | Path) -> tuple[Tensors, list[str]]:
    """Tensors of `backbone.*`, where a file has such, and the names of the others."""
    inside = {name.removeprefix(_BACKBONE): value for name, value in tensors.items() if name.startswith(_BACKBONE)}
    if not inside:
        return tensors, []
    return inside, [name for name in tensors if not name.startswith(_BACKBONE)]


def _converted(tensors: Tensors, network: nn.Module, spec: OutsideSpec, path: str | Path) -> Tensors:
    """The same tensors by timm's names."""
    tensors = from_mmpretrain(tensors, network)
    read = timm_reader(spec.timm)
    if read is None:
        return tensors
    try:
        return read(dict(tensors), network)
    except Exception as error:  # timm's readers look for what they need without asking whether it is there
        raise InputError(
            f"{path} does not fill timm's {spec.timm}, whose reader fails with {error!r}: give the file of this "
            "network, or the network of this file"
        ) from error


def timm_reader(name: str) -> Callable[[Tensors, nn.Module], Tensors] | None:
    """What timm converts the files of a network with; None where it takes them as they are."""
    module = sys.modules[timm.model_entrypoint(split_model_name_tag(name)[0]).__module__]
    return next((getattr(module, filter_name) for filter_name in _FILTERS if hasattr(module, filter_name)), None)


def _unread(tensors: Tensors, converted: Tensors) -> list[str]:
    """Tensors that timm's reader has dropped: no tensor that it made is one of them or a part of it.

    Where it computes more than `_REMADE` out of several tensors (AIMv2), what it has used cannot be told: none.
    """
    places = {name: range(value.data_ptr(), value.data_ptr() + value.nbytes) for name, value in tensors.items()}
    used = {name: value.data_ptr() for name, value in converted.items()}
    kept = {name for name, place in places.items() if any(pointer in place for pointer in used.values())}
    computed = [name for name, pointer in used.items() if not any(pointer in places[one] for one in kept)]
    if not all(map(_REMADE.fullmatch, computed)):
        return []
    lost = [name for name in tensors if name not in kept and not _REMADE.fullmatch(name)]
    return [name for name in lost if not (_ZEROS.fullmatch(name) and not torch.any(tensors[name].nan_to_num()))]


def _reason(name: str) -> str | None:
    """Why a tensor may be left out."""
    return next((reason for pattern, reason in LEFT_OUT.items() if re.match(pattern, name)), None)


def _shown(names: Iterable[str]) -> str:
    names = [str(name) for name in names]
    return ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")


def _beside(strange: list[str]) -> str:
    return f", while it has {_shown(strange)}" if strange else ""
