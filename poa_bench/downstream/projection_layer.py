"""The first layer of a projection head, for one size: what fine-tuning on few labels keeps of the head."""

import re
from pathlib import Path

from torch import Tensor

from poa_bench.elastic.branch import Branch, evaluated_branch
from poa_bench.elastic.training_checkpoint import branch_tensors, read_training_checkpoint
from poa_bench.errors import InputError

_FIRST = re.compile(r"mlp(\d+)\.0\.weight")


def projection_layer(
    path: str | Path, features: int, head: int = 0, branch: Branch | None = None
) -> tuple[Tensor, Tensor]:
    """Weight (H, features) and bias (H,) that a size's class feature meets in pre-training.

    A narrower size has the first columns of the intact network's layer, times W / w, as in `ProjectionHead`.

    Args:
        path: a training checkpoint of an objective with a `poa_bench.ProjectionHead`.
        features: length w of the size's class feature.
        head: which of several projection heads, from 0.
        branch: see `load_supernet`.

    Raises:
        InputError: the file is none, or has no such head.
    """
    if Path(path).suffix == ".safetensors":
        raise InputError(
            f"{path} is an extracted sub-network, which has no projection head: give the checkpoint of its "
            "pre-training, or model.head.checkpoint=None for a new first layer"
        )
    checkpoint = read_training_checkpoint(path)
    tensors = branch_tensors(checkpoint, branch or evaluated_branch(checkpoint), path, part="head")
    heads = sorted(int(match[1]) for name in tensors if (match := _FIRST.fullmatch(name)))
    if head not in heads:
        raise InputError(f"{path} has no projection head number {head}: it has {', '.join(map(str, heads)) or 'none'}")
    weight, bias = tensors[f"mlp{head}.0.weight"], tensors[f"mlp{head}.0.bias"]
    whole = weight.shape[1]
    if features > whole:
        raise InputError(f"the heads of {path} take features of length {whole} at most, and these have {features}")
    scale = whole / features if checkpoint["meta"]["poa_bench"]["alpha"] else 1.0
    return weight[:, :features] * scale, bias
