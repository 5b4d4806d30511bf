"""Sizes cut out of a network that was trained alone: the checkpoint that `poa-bench slice` writes."""

from pathlib import Path
from typing import Any

import torch

from poa_bench.downstream.features import normalised
from poa_bench.downstream.images import EvaluationData
from poa_bench.elastic.importance import importance, put_in_order
from poa_bench.elastic.slices import save_slices, supernet_around
from poa_bench.errors import InputError


def slice_network(
    checkpoint: str | Path,
    output: str | Path,
    data: str | Path | None = None,
    images: int = 256,
    by_importance: bool = False,
    **how: Any,
) -> str:
    """Write the supernet of `supernet_around` as a checkpoint, and say what it is.

    Args:
        checkpoint: whose network is cut.
        output: the file to write.
        data: an evaluation data set, whose first train images say what is important.
        images: how many.
        by_importance: whether channels, heads and neurons are put in order first.
        how: further arguments of `supernet_around`.

    Raises:
        InputError: as `supernet_around`, `importance` and `EvaluationData.load`; or importance without data.
    """
    if Path(output).suffix == ".safetensors":
        raise InputError(f"{output} would be one size: a supernet is written as a checkpoint, name it .pth")
    if by_importance == (data is None):
        raise InputError("--order importance and --data NAME belong together: images say what is important")
    supernet, said = supernet_around(checkpoint, **how), {"order": "as trained"}
    if by_importance:
        evaluation = EvaluationData.load(data).resolved(supernet.preprocessing, supernet.image_size)
        train = evaluation.splits["train"]
        # spread over all: data sets are often sorted by class
        chosen = train.part(torch.linspace(0, len(train) - 1, min(images, len(train))).long().tolist(), "importance")
        batches = (normalised(batch, evaluation, "cpu") for batch, _ in chosen.batches())
        put_in_order(supernet.network, importance(supernet.network, batches))
        said = {"order": "importance", "order_data": evaluation.name, "order_images": len(chosen)}
    save_slices(supernet, output, **said)
    space = supernet.space
    return f"wrote {output}: {len(space)} sizes, {space.smallest} to {space.intact}, {said['order']}; none was trained"
