"""Controls without training: the sizes that are cut out of a network which was trained alone."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from poa_bench.elastic.branch import Branch
from poa_bench.elastic.checkpoint import load_backbone, load_supernet, read_metadata, read_preprocessing
from poa_bench.elastic.family import get_family
from poa_bench.elastic.space import DepthRule, SearchSpace, SubnetSpec
from poa_bench.elastic.supernet import Supernet
from poa_bench.errors import InputError
from poa_bench.files import atomic_path


def supernet_around(
    path: str | Path,
    widths: Sequence[int] | None = None,
    depths: Sequence[Sequence[int]] | None = None,
    depth_rule: DepthRule = "floor",
    alpha: bool = False,
    branch: Branch | None = None,
) -> Supernet:
    """A supernet whose intact network is the one in a file, and whose other sizes are slices that never learned.

    Args:
        path: a training checkpoint, of which the intact network is taken, or an extracted ViT.
        widths: narrower widths that sizes may have; None: those of the checkpoint's space.
        depths: of each elastic stage, likewise.
        depth_rule: which blocks a smaller depth keeps, see `kept_blocks`.
        alpha: whether slices are multiplied by full width / width, as POA's are.
        branch: of a training checkpoint, see `load_supernet`.

    Raises:
        InputError: the file cannot be read, or a size would be larger than it.
    """
    if Path(path).suffix == ".safetensors":
        space, options = _of_extracted(path)
    else:
        net = load_supernet(path, branch)
        space, options = net.space, net.options
    intact = space.intact
    network, report = load_backbone(path, None if Path(path).suffix == ".safetensors" else intact, branch)
    values = {**space.to_dict(), "depth_rule": depth_rule}
    values["widths"] = _up_to("widths", widths or space.widths, intact.width)
    stages = depths or space.depths
    if len(stages) != len(intact.depths):
        raise InputError(f"{len(stages)} lists of depths are given: {intact} needs {len(intact.depths)}")
    values["depths"] = [_up_to("depths", stage, most) for stage, most in zip(stages, intact.depths, strict=True)]
    supernet = Supernet(SearchSpace.from_dict(values), alpha=alpha, **options)
    supernet.network.load_state_dict(network.state_dict(), strict=True)
    supernet.preprocessing = read_preprocessing(path)
    supernet.source_sha256 = report.sha256
    return supernet.eval()


def save_slices(supernet: Supernet, path: str | Path, **said: Any) -> None:
    """Write it as a training checkpoint, which every command reads; whole or not at all.

    Args:
        supernet: of `supernet_around`.
        path: of the new file.
        said: what else the checkpoint says of its objective, in plain values.
    """
    objective = {"type": "Slices", "branches": ["student"], "evaluated_branch": "student"}
    objective |= {"source_sha256": supernet.source_sha256, **said}
    state = {f"student.backbone.{name}": tensor.detach().clone() for name, tensor in supernet.state_dict().items()}
    with atomic_path(path) as temporary:
        torch.save({"meta": {"poa_bench": supernet.describe(), "objective": objective}, "state_dict": state}, temporary)


def _of_extracted(path: str | Path) -> tuple[SearchSpace, dict[str, Any]]:
    metadata = read_metadata(path)
    spec = SubnetSpec.parse(metadata.get("spec", ""))
    if spec.family != "vit":
        raise InputError(f"{path} is a {spec.family}: give the training checkpoint that it was cut from")
    arguments = json.loads(metadata["timm_arguments"])
    head_dim = arguments["embed_dim"] // arguments["num_heads"]
    space = SearchSpace(spec.family, (spec.width,), (spec.depths,), head_dim)
    set_by_size = get_family(spec.family).arguments(space, spec, {}).keys() | {"num_classes", "global_pool"}
    return space, {name: value for name, value in arguments.items() if name not in set_by_size}


def _up_to(name: str, values: Sequence[int], most: int) -> list[int]:
    if max(values) > most:
        raise InputError(f"{name} {list(values)}: the network has {most}, and no size can have more")
    return sorted({*values, most})
