"""The light tasks on one size: each returns what a result row says beside the run's identity."""

import copy
import time
from collections.abc import Sequence
from typing import Any

from poa_bench.downstream.accuracy import chosen_by, class_facts
from poa_bench.downstream.features import Features, Place
from poa_bench.downstream.images import EvaluationData
from poa_bench.downstream.knn import knn_accuracy
from poa_bench.downstream.linear import check_classes, hold_out, linear_probe
from poa_bench.downstream.macs import count_macs, count_parameters
from poa_bench.downstream.profile import hardware_facts, profile_module
from poa_bench.downstream.protocols import KnnProtocol, LinearProtocol, ProfileProtocol
from poa_bench.elastic import SubnetSpec, Supernet

Measured = dict[str, Any]


def measure_knn(
    features: dict[str, Features], protocols: Sequence[KnnProtocol], data: EvaluationData, place: Place
) -> dict[KnnProtocol, Measured]:
    """All k-NN protocols with one search of test; `val_...` too, for choosing, where there is a validation split."""
    start = time.perf_counter()
    bank, *queries = (features[name] for name in ("train", "test", "val") if name in features)
    check_classes(bank.labels, **{name: features[name].labels for name in features if name != "train"})
    votes = [(protocol.k, protocol.temperature) for protocol in protocols]
    found, *judged = (
        knn_accuracy(bank.features, bank.labels, split.features, split.labels, votes, device=place.device)
        for split in queries
    )
    metrics = {
        pair: found[pair] | {name: value for other in judged for name, value in chosen_by(other[pair]).items()}
        for pair in votes
    }
    seconds = time.perf_counter() - start
    return {
        protocol: _accuracy_row(metrics[pair], features, data, place, seconds)
        for protocol, pair in zip(protocols, votes, strict=True)
    }


def measure_linear(
    features: dict[str, Features], protocol: LinearProtocol, data: EvaluationData, place: Place, seed: int
) -> Measured:
    """The linear probe; `seed` matters only where the validation split is held out of train."""
    start = time.perf_counter()
    splits = {name: (split.features, split.labels) for name, split in features.items()}
    held_out = "val" not in splits
    if held_out:
        inputs, labels = splits["train"]
        fitted, held = hold_out(labels, data.val_share, seed)
        splits |= {"train": (inputs[fitted], labels[fitted]), "val": (inputs[held], labels[held])}
    found = linear_probe(*map(splits.get, ("train", "val", "test")), protocol.regularisers, place.device, held_out)
    row = _accuracy_row(found.metrics, features, data, place, time.perf_counter() - start)
    row["facts"] |= {"regulariser": found.regulariser, "val_log_loss": found.val_log_loss}
    row["facts"] |= {"val_images": len(splits["val"][1])}
    return row


def _accuracy_row(
    metrics: dict[str, float], features: dict[str, Features], data: EvaluationData, place: Place, seconds: float
) -> Measured:
    forward = sum(split.seconds for split in features.values())
    return {
        "metrics": metrics,
        "units": dict.fromkeys(metrics, "%"),
        "split": "test",
        "image_size": data.image_size,
        "seconds": seconds + forward,
        "facts": hardware_facts(place.device, place.amp)
        | {
            "batch": data.batch_size,
            "feature_seconds": forward,
            "train_images": len(features["train"].labels),
            "test_images": len(features["test"].labels),
            **class_facts(features["train"].labels, features["test"].labels),
            **({"val_images": len(features["val"].labels)} if "val" in features else {}),
        },
    }


def measure_profile(
    net: Supernet, spec: SubnetSpec, protocol: ProfileProtocol, data: EvaluationData, place: Place
) -> Measured:
    """Latency and memory of the extracted network."""
    start = time.perf_counter()
    metrics, units = profile_module(net.extract(spec), data.image_size, protocol, place.device, place.amp)
    return {
        "metrics": metrics,
        "units": units,
        "split": "random images",
        "image_size": data.image_size,
        "seconds": time.perf_counter() - start,
        "facts": hardware_facts(place.device, place.amp),
    }


def measure_size(net: Supernet, spec: SubnetSpec, image_size: int) -> Measured:
    """Parameters, MACs per image and number of tensors of one size; nothing is computed with its weights."""
    module = copy.deepcopy(net.skeleton(spec)).to("meta")
    tensors = len(module.state_dict())
    return {
        "parameters": count_parameters(module),
        "macs": count_macs(module, image_size),
        # the supernet was loaded strictly, and every tensor of a size is a slice of it
        "tensors_loaded": tensors,
        "tensors_total": tensors,
    }
