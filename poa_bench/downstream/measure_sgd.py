"""The SGD linear probe of many sizes on one data set: which pictures serve for what, and what a result row says."""

import time
from collections.abc import Iterator, Mapping

import torch
from rich.progress import Progress
from torch import Tensor

from poa_bench.downstream.accuracy import chosen_by, class_facts, named
from poa_bench.downstream.features import Place
from poa_bench.downstream.images import EvaluationData, LabelledImages
from poa_bench.downstream.linear import check_classes, hold_out
from poa_bench.downstream.linear_sgd import Extractor, Key, head_accuracies, train_heads
from poa_bench.downstream.measure import Measured
from poa_bench.downstream.profile import hardware_facts
from poa_bench.downstream.protocols import Head, LinearSgdProtocol
from poa_bench.downstream.training_crops import TrainingCrops
from poa_bench.errors import InputError


def measure_linear_sgd(
    extractors: Mapping[Key, Extractor],
    protocol: LinearSgdProtocol,
    data: EvaluationData,
    place: Place,
    seed: int,
    progress: Progress | None = None,
) -> Iterator[tuple[Key, Measured | Exception]]:
    """Train and choose the heads of all sizes; pictures are decoded once for all of them.

    Args:
        extractors: `blocks.block_features` of each size.
        protocol: its settings. Where it chooses on a validation split and there is none, a part of train is held out.
        data: the pictures.
        place: where, and with what numbers the frozen networks compute.
        seed: of the heads at the start, the order of the pictures, their crops, and what is held out.
        progress: where to show how far it is.

    Yields:
        (size, what its result row says, or what is wrong with it).

    Raises:
        InputError: a class of the validation or test split is not in train.
    """
    start = time.perf_counter()
    train, positions, scored = _roles(data, protocol, seed)
    labels = train.labels(positions.tolist())
    scored_labels = {name: split.labels() for name, split in scored.items()}
    check_classes(labels, **scored_labels)
    crops = TrainingCrops(train, positions.tolist(), protocol.iterations * protocol.batch, seed)
    batches = crops.batches(protocol.batch)
    if progress is not None:
        batches = progress.track(batches, total=protocol.iterations, description=f"{data.name} heads")
    failures: dict[Key, Exception] = {}
    heads = train_heads(extractors, batches, int(labels.max()) + 1, protocol, data, place, seed, failures)
    scores = {
        name: head_accuracies(extractors, heads, split.batches(), data, place, failures)
        for name, split in scored.items()
    }
    yield from failures.items()
    shared = {
        "split": "test",
        "image_size": data.image_size,
        "seconds": (time.perf_counter() - start) / len(extractors),
    }
    facts = hardware_facts(place.device, place.amp) | {"batch": protocol.batch, "chosen_on": protocol.chosen_on}
    facts |= {"train_images": len(positions), **{f"{name}_images": len(split) for name, split in scored.items()}}
    facts |= class_facts(labels, scored_labels["test"])
    for key in [key for key in extractors if key not in failures]:
        if heads[key].finite:
            metrics, head = choose_head({name: found[key] for name, found in scores.items()}, protocol)
            units = dict.fromkeys(metrics, "%")
            yield key, {**shared, "metrics": metrics, "units": units, "facts": {**facts, "head": str(head)}}
        else:
            yield (
                key,
                InputError(
                    "none of the heads is finite after training: the features hold NaN or infinite values, because the "
                    "network has diverged or its numbers overflow under AMP (evaluate it with amp off)"
                ),
            )


def choose_head(scores: Mapping[str, Tensor], protocol: LinearSgdProtocol) -> tuple[dict[str, float], Head]:
    """The metrics of the head that is best on the protocol's split (of equal ones the first), and which one it is.

    Args:
        scores: `accuracies` of the heads, (heads, 3), by split.
        protocol: says the split.
    """
    position = int(scores[protocol.chosen_on][:, 0].argmax())
    metrics = named(scores["test"][position])
    if protocol.chosen_on == "val":
        metrics |= chosen_by(named(scores["val"][position]))
    metrics["best_on_test_top1"] = scores["test"][:, 0].max().item()
    return metrics, protocol.heads[position]


def _roles(
    data: EvaluationData, protocol: LinearSgdProtocol, seed: int
) -> tuple[LabelledImages, Tensor, dict[str, LabelledImages]]:
    """The training split, the positions in it that are trained on, and the splits that are scored."""
    train = data.splits["train"]
    everything = torch.arange(len(train))
    if protocol.chosen_on == "test":
        return train, everything, {"test": data.splits["test"]}
    if "val" in data.splits:
        return train, everything, {name: data.splits[name] for name in ("val", "test")}
    fitted, held = hold_out(train.labels(), data.val_share, seed)
    return train, fitted, {"val": train.part(held.tolist(), "val"), "test": data.splits["test"]}
