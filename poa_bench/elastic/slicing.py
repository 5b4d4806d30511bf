"""The slice rule: a sub-network's parameter is the leading part of the supernet's, times alpha where the paper says.

The shape to cut to is the stock module's own, so a family only names its fused axes.
"""

import torch
from torch import Tensor, nn

from poa_bench.elastic.family import Family
from poa_bench.elastic.space import SearchSpace, SubnetSpec
from poa_bench.errors import InputError


def leading(tensor: Tensor, shape: torch.Size, groups: tuple[int, ...] = ()) -> Tensor:
    """The leading entries of every axis, within each group of a fused axis.

    Args:
        tensor: (S_0, ..., S_n).
        shape: (s_0, ..., s_n), s_i <= S_i.
        groups: g_i equal groups along the first axes (missing ones are 1); each gives s_i / g_i leading entries.

    Returns:
        A tensor of `shape`: a view where no fused axis is cut.
    """
    for axis, size in enumerate(shape):
        if size == tensor.shape[axis]:
            continue
        group = groups[axis] if axis < len(groups) else 1
        if group == 1:
            tensor = tensor.narrow(axis, 0, size)
        else:
            parts = tensor.unflatten(axis, (group, -1))
            tensor = parts.narrow(axis + 1, 0, size // group).flatten(axis, axis + 1)
    return tensor


def sliced_parameters(
    family: Family, network: nn.Module, skeleton: nn.Module, space: SearchSpace, spec: SubnetSpec, rescale: bool = True
) -> dict[str, Tensor]:
    """All parameters of one sub-network, cut from the supernet's (gradients flow back into the slices).

    Args:
        network: the full-size stock module.
        skeleton: the stock module of `spec`; only its names and shapes are used.
        rescale: multiply by alpha where the family says so.

    Returns:
        The stock module's parameter names and the tensors to run it with.
    """
    full = dict(network.named_parameters())
    alpha = space.intact.width / spec.width if rescale else 1.0
    sliced = {}
    for name, target in skeleton.named_parameters():
        source = family.source_name(name, space, spec)
        if source not in full:
            raise InputError(f"the supernet of {space.intact} has no parameter {source!r} for {name!r} of {spec}")
        tensor = leading(full[source], target.shape, family.groups(name))
        sliced[name] = tensor * alpha if alpha != 1 and family.scaled(name) else tensor
    return sliced
