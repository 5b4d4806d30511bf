"""How features of augmented views vary within pictures and between them; views are not kept."""

from collections.abc import Mapping

import torch
from torch import Tensor

from poa_bench.downstream.features import Extractor, Key, Place, autocast, normalised
from poa_bench.downstream.images import EvaluationData
from poa_bench.downstream.spectrum import first_of
from poa_bench.downstream.training_crops import TrainingCrops, order_of


@torch.no_grad()
def view_statistics(
    extractors: Mapping[Key, Extractor],
    data: EvaluationData,
    pictures: int,
    views: int,
    seed: int,
    place: Place,
    failures: dict[Key, Exception],
) -> dict[Key, tuple[Tensor, Tensor]]:
    """Mean of the views of each picture (J, D), and the covariance of views around it (D, D), both float64.

    The views are those of the SGD probe's training: crops of 8 to 100 % of the area, one in two flipped. Each is made
    once for all sizes.

    Args:
        extractors: what makes class features, by any key.
        data: its train split is used.
        pictures: J, the first of a random order.
        views: q of each picture.
        seed: of choice, crops and flips.
        place: where to compute.
        failures: takes the errors of extractors, which have no statistics then.
    """
    train = data.splits["train"]
    chosen = first_of(len(train), pictures, seed).tolist()
    sums: dict[Key, Tensor] = {}
    products: dict[Key, Tensor] = {}
    crops = TrainingCrops(train, chosen, len(chosen) * views, seed)
    for view, parts in enumerate(crops.batches(len(chosen))):
        order = order_of(seed, view, len(chosen))  # each view of all pictures comes in an order of its own
        inputs = [normalised(images, data, place.device) for images, _ in parts]
        for key in [key for key in extractors if key not in failures]:
            try:
                with autocast(place.device, place.amp):
                    found = torch.cat([extractors[key](images).double().cpu() for images in inputs])
            except Exception as error:  # handed on in full: the other sizes must not end with it
                failures[key] = error
                continue
            rows = torch.empty_like(found).index_copy_(0, order, found)
            sums[key] = sums.get(key, 0) + rows
            products[key] = products.get(key, 0) + rows.T @ rows
    statistics = {}
    for key in sums.keys() - failures.keys():
        means = sums[key] / views
        statistics[key] = means, (products[key] - views * means.T @ means) / (len(chosen) * (views - 1))
    return statistics
