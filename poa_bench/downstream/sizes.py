"""What every size of a search space costs, and how often it is trained."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
from torch import nn

from poa_bench.elastic import SearchSpace, SubnetSpec
from poa_bench.elastic.family import get_family
from poa_bench.elastic.macs import count_macs, count_parameters
from poa_bench.elastic.preprocessing import Preprocessing, known_image_size
from poa_bench.elastic.training_checkpoint import read_training_checkpoint

# what the published networks have beyond timm's defaults
_PAPER_OPTIONS: dict[str, dict[str, Any]] = {"vit": {"init_values": 1e-5}}
_PAPER_IMAGE_SIZE = 224


def sizes_table(space: SearchSpace, options: dict[str, Any], image_size: int) -> pd.DataFrame:
    """One row for every size: spec, alias, width, depths, parameters, macs, probability.

    Args:
        space: the candidates.
        options: the supernet's, by their timm names.
        image_size: pixels along one side, for the multiply-accumulates of one image.
    """
    parameters = affine_in_depths(space, options, count_parameters)
    macs = affine_in_depths(space, options, lambda network: count_macs(network, image_size))
    rows = [
        {
            "spec": str(spec),
            "alias": spec.alias,
            "width": spec.width,
            "depths": list(spec.depths),
            "parameters": parameters[spec],
            "macs": macs[spec],
            "probability": probability,
        }
        for spec, probability in space.probabilities().items()
    ]
    return pd.DataFrame(rows)


def affine_in_depths(
    space: SearchSpace, options: dict[str, Any], measure: Callable[[nn.Module], int]
) -> dict[SubnetSpec, int]:
    """A cost of every size, measured on the meta device as `block_costs` says."""
    costs = {}
    for width, (base, blocks) in block_costs(space, options, measure).items():
        for spec in (spec for spec in space if spec.width == width):
            costs[spec] = base + sum(block * (depth - 1) for block, depth in zip(blocks, spec.depths, strict=True))
    return costs


def block_costs(
    space: SearchSpace, options: dict[str, Any], measure: Callable[[nn.Module], int]
) -> dict[int, tuple[int, list[int]]]:
    """For every width: the cost with one block in each elastic stage, and what one more block costs in each of them.

    All blocks of an elastic stage but its first have equal shapes, so that a cost grows by the same amount with each.
    """
    family = get_family(space.family)
    one = (1,) * len(space.depths)
    costs = {}
    for width in space.widths:

        def cost(depths: tuple[int, ...], width: int = width) -> int:
            return measure(family.skeleton(space, SubnetSpec(space.family, width, depths), options))

        base = cost(one)
        costs[width] = base, [cost(one[:stage] + (2,) + one[stage + 1 :]) - base for stage in range(len(one))]
    return costs


def format_sizes(source: str, image_size: int | None = None, as_json: bool = False) -> str:
    """The table of the paper's space of a family, or of the supernet in a training checkpoint.

    Args:
        source: `vit`, `swin`, `resnet`, or a checkpoint file.
        image_size: for the multiply-accumulates; None: the one that the networks are pre-trained with.
        as_json: a list of objects instead of aligned text.

    Raises:
        InputError: `source` is neither.
    """
    if Path(source).is_file():
        description = read_training_checkpoint(source)["meta"]["poa_bench"]
        space, options = SearchSpace.from_dict(description["space"]), description["options"]
        trained_with = known_image_size(options, Preprocessing.from_dict(description.get("preprocessing")))
    else:
        space, options, trained_with = SearchSpace.paper(source), _PAPER_OPTIONS.get(source, {}), None
    table = sizes_table(space, options, image_size or trained_with or _PAPER_IMAGE_SIZE)
    if as_json:
        return json.dumps(table.astype(object).where(table.notna(), None).to_dict("records"), indent=1)
    table["alias"] = table["alias"].fillna("")
    table["depths"] = ["-".join(map(str, depths)) for depths in table["depths"]]
    formats = {"parameters": "{:,}".format, "macs": "{:,}".format, "probability": "{:.4%}".format}
    return f"{table.to_string(index=False, formatters=formats)}\n{len(table)} sizes"
