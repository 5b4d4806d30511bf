"""Linear probe: multinomial logistic regression on frozen features, the penalty chosen on a validation split.

For each penalty the minimum is found, so nothing is random and no learning rate is needed. Frozen features are strongly
correlated, which makes the problem so ill-conditioned that plain L-BFGS needs thousands of steps. In the basis of
principal components, each parameter divided by the root of its curvature, it needs about fifteen. Each penalty starts
from the solution of the next stronger one.

The penalty is that of the lowest log-loss on validation pictures (Hastie, Tibshirani and Friedman, The Elements of
Statistical Learning, 2nd edition, section 7.10). Accuracy counts whole pictures: of some hundred, several penalties
tie, and the test scores of these differ by points. `docs/evaluation.md` has what was measured.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F

from poa_bench.downstream.accuracy import accuracy_outcomes, chosen_by, of_ranks, ranks_of
from poa_bench.errors import InputError

if TYPE_CHECKING:
    from poa_bench.runs.outcomes import Outcome
    from poa_bench.tasks.base import FrozenFeatures

TOLERANCE = 1e-6  # largest gradient entry at which the minimum counts as found
MOST_STEPS = 200  # weak penalties need them where train is (nearly) separable
ROWS = 65536  # images whose logits are held at once
RISES = 2  # in a row: then the log-loss has passed its minimum, and weaker penalties, the slowest to fit, are left out

Split = tuple[Tensor, Tensor]  # features (N, D) and labels (N,) int64


@dataclass(frozen=True)
class Classifier:
    """A fitted probe: standardisation by the train split, then a linear map.

    Attributes:
        mean, scale: of each feature, (D,) float64.
        weight: (D, C) float64.
        bias: (C,) float64.
    """

    mean: Tensor
    scale: Tensor
    weight: Tensor
    bias: Tensor

    def __call__(self, features: Tensor) -> Tensor:
        """Logits (N, C) float64 of features (N, D), where the weights are."""
        return (features.to(self.weight) - self.mean) / self.scale @ self.weight + self.bias

    def to(self, device: torch.device | str) -> "Classifier":
        """A copy on a device."""
        return Classifier(*(part.to(device) for part in (self.mean, self.scale, self.weight, self.bias)))


@dataclass(frozen=True)
class LinearAccuracy:
    """What the probe found.

    Attributes:
        metrics: accuracies in percent for a result row, the first is the primary one: `accuracy.ACCURACIES` of the test
            split with the chosen penalty, those of the validation split by which sizes are chosen, and
            `best_on_test_top1`, what choosing on the test split would have claimed.
        regulariser: the chosen penalty.
        outcomes: of the metrics, picture by picture.
        val_log_loss: its mean log-loss on the validation split.
        val_logits: of what was fitted to train alone, (N, C) float64.
        test_logits: of what the metrics are of.
        classifier: what made them, on the CPU.
    """

    metrics: dict[str, float]
    regulariser: float
    val_log_loss: float
    outcomes: dict[str, "Outcome"] = field(repr=False, compare=False)
    val_logits: Tensor = field(repr=False, compare=False)
    test_logits: Tensor = field(repr=False, compare=False)
    classifier: Classifier = field(repr=False, compare=False)


def linear_probe(
    train: Split,
    val: Split,
    test: Split,
    regularisers: Sequence[float],
    device: torch.device | str = "cpu",
    refit: bool = False,
    val_split: str = "val",
) -> LinearAccuracy:
    """Fit on train for every penalty, choose by log-loss on val (the stronger of equals), report on test.

    Args:
        train, val, test: the splits.
        regularisers: weights of the L2 penalty, strongest first: mean cross-entropy + weight / 2 * |W|^2. Those behind
            `RISES` rises of the log-loss in a row are not tried.
        device: where to compute, in float64.
        refit: report on what is fitted to train and val together, as is right where val was held out of train.
        val_split: what outcomes call the validation pictures.

    Raises:
        InputError: a class of val or test is not in train, or features are not finite.
    """
    check_classes(train[1], val=val[1], test=test[1])
    losses, of_val, fitted = [], [], []
    for classifier in classifiers(train, regularisers, device):
        of_val.append(classifier(val[0].to(device)).cpu())
        losses.append(F.cross_entropy(of_val[-1], val[1]).item())
        fitted.append(classifier)
        if has_risen(losses):
            break
    if refit:
        everything = tuple(torch.cat(parts) for parts in zip(train, val, strict=True))
        fitted = list(classifiers(everything, regularisers[: len(losses)], device))
    of_test = [classifier(test[0].to(device)).cpu() for classifier in fitted]
    chosen = min(range(len(losses)), key=losses.__getitem__)
    ranks, judged = [ranks_of(logits, test[1]) for logits in of_test], ranks_of(of_val[chosen], val[1])
    scores = [of_ranks(each, test[1]) for each in ranks]
    best = max(range(len(scores)), key=lambda place: scores[place]["top1"])
    metrics = scores[chosen] | chosen_by(of_ranks(judged, val[1])) | {"best_on_test_top1": scores[best]["top1"]}
    outcomes = accuracy_outcomes(ranks[chosen], test[1]) | chosen_by(accuracy_outcomes(judged, val[1], val_split))
    outcomes["best_on_test_top1"] = accuracy_outcomes(ranks[best], test[1])["top1"]
    found = outcomes, of_val[chosen], of_test[chosen], fitted[chosen].to("cpu")
    return LinearAccuracy(metrics, regularisers[chosen], losses[chosen], *found)


def has_risen(losses: Sequence[float]) -> bool:
    """Whether the last `RISES` losses each lie above the one before."""
    last = losses[-RISES - 1 :]
    return len(last) > RISES and all(before < after for before, after in pairwise(last))


def classifiers(train: Split, regularisers: Sequence[float], device: torch.device | str) -> Iterator[Classifier]:
    """What is fitted for each penalty, on the device; labels may be soft ones, see `fit_path`."""
    mean, scale = (part.to(device) for part in standardisation(train[0]))
    features, labels = (train[0].to(device).double() - mean) / scale, train[1].to(device)
    classes = labels.shape[1] if labels.dim() == 2 else int(labels.max()) + 1
    for _, weight, bias in fit_path(features, labels, classes, regularisers):
        yield Classifier(mean, scale, weight, bias)


def check_classes(train: Tensor, **splits: Tensor) -> None:
    """Raise InputError if a split holds a class that train does not."""
    known = set(train.unique().tolist())
    for name, labels in splits.items():
        if missing := sorted(set(labels.unique().tolist()) - known):
            raise InputError(
                f"classes {missing} of the {name} split have no image in train, so nothing can predict them: train has "
                f"the {len(known)} classes {sorted(known)[:10]}{'...' if len(known) > 10 else ''}; check the data set"
            )


def hold_out(labels: Tensor, share: float, seed: int) -> tuple[Tensor, Tensor]:
    """Split train by class: (positions to fit on, positions to validate on), each ascending.

    Of every class with at least two images, `share` (at least one image) is held out; the same for the same seed.

    Raises:
        InputError: no class has two images.
    """
    generator = torch.Generator().manual_seed(seed)
    held = torch.zeros(len(labels), dtype=torch.bool)
    for label in labels.unique():
        members = (labels == label).nonzero().squeeze(1)
        count = min(max(1, round(share * len(members))), len(members) - 1)
        held[members[torch.randperm(len(members), generator=generator)[:count]]] = True
    if not held.any():
        raise InputError(
            f"no class of train has a second image (there are {len(labels)} images), so that none can be held out to "
            "choose the penalty of the linear probe on: give more images, or a validation split as evaluation.val"
        )
    return (~held).nonzero().squeeze(1), held.nonzero().squeeze(1)


def val_split(held_out: bool, seed: int) -> str:
    """What outcomes call the validation pictures: other ones for every seed where they are held out of train."""
    return f"val held out by seed {seed}" if held_out else "val"


def validated(features: "FrozenFeatures") -> tuple[dict[str, Split], bool]:
    """The splits with a validation one, and whether that had to be held out of train (by the measurement seed)."""
    splits = {name: features.inputs(name) for name in features.splits}
    if "val" in splits:
        return splits, False
    inputs, labels = splits["train"]
    fitted, held = hold_out(labels, features.data.val_share, features.seed)
    return splits | {"train": (inputs[fitted], labels[fitted]), "val": (inputs[held], labels[held])}, True


def fit_path(
    features: Tensor, labels: Tensor, classes: int, regularisers: Sequence[float]
) -> Iterator[tuple[float, Tensor, Tensor]]:
    """Minimise mean cross-entropy + regulariser / 2 * |weight|^2 for each regulariser; the bias is free.

    Args:
        features: (N, D) float64, about standardised.
        labels: (N,) int64 below `classes`; or soft ones, (N, C) float64, rows of which may add up to the row's weight.
        classes: number of classes C.
        regularisers: strongest first.

    Yields:
        (regulariser, weight (D, C), bias (C,)).
    """
    basis, components = _principal_components(features)
    weight = features.new_zeros(components.shape[1], classes)
    bias = features.new_zeros(classes)
    for regulariser in regularisers:
        weight, bias = _minimise(components, labels, (weight, bias), regulariser)
        yield regulariser, basis @ weight, bias


def _principal_components(features: Tensor) -> tuple[Tensor, Tensor]:
    """Eigenvectors (D, R) of the features' second moment, and features @ eigenvectors (N, R).

    The penalty does not change under this rotation, and the best weights have no part outside of the features' span.
    """
    count, width = features.shape
    if width <= count:
        _, basis = torch.linalg.eigh(features.T @ features / count)
        return basis, features @ basis
    values, left = torch.linalg.eigh(features @ features.T / count)  # the smaller matrix has the same eigenvalues
    kept = values > 1e-14 * values[-1]
    values, left = values[kept], left[:, kept]
    length = (count * values).sqrt()
    return features.T @ left / length, left * length


def _minimise(inputs: Tensor, labels: Tensor, start: tuple[Tensor, Tensor], regulariser: float):
    """L-BFGS on the loss of `fit_path`, over parameters that are divided by their scale.

    Returns:
        (weight (D, C), bias (C,)), as `start` is.
    """
    scales = _scales(inputs, labels, *start, regulariser)
    with torch.enable_grad():
        scaled = [(parameter / scale).requires_grad_() for parameter, scale in zip(start, scales, strict=True)]
        solver = torch.optim.LBFGS(
            scaled, max_iter=MOST_STEPS, tolerance_grad=TOLERANCE, tolerance_change=0, line_search_fn="strong_wolfe"
        )

        def unscaled() -> tuple[Tensor, Tensor]:
            return scaled[0] * scales[0], scaled[1] * scales[1]

        def loss() -> Tensor:
            solver.zero_grad()
            value = regulariser / 2 * unscaled()[0].square().sum()
            value.backward()
            for rows, targets in zip(inputs.split(ROWS), labels.split(ROWS), strict=True):
                weight, bias = unscaled()
                part = F.cross_entropy(torch.addmm(bias, rows, weight), targets, reduction="sum") / len(inputs)
                part.backward()  # chunk by chunk: the logits of all rows would need too much memory
                value = value + part.detach()
            return value.detach()

        solver.step(loss)
    return tuple(parameter.detach() for parameter in unscaled())


def _scales(inputs: Tensor, labels: Tensor, weight: Tensor, bias: Tensor, regulariser: float) -> tuple[Tensor, Tensor]:
    """1 / sqrt(second derivative of the loss) in each parameter, (D, C) and (C,): with it all curve about alike."""
    curvature, bias_curvature = torch.zeros_like(weight), torch.zeros_like(bias)
    for rows, targets in zip(inputs.split(ROWS), labels.split(ROWS), strict=True):
        probability = torch.addmm(bias, rows, weight).softmax(1)
        variance = probability * (1 - probability) / len(inputs)
        if targets.dim() == 2:
            variance *= targets.sum(1, keepdim=True)  # the weights of the rows
        curvature += rows.square().T @ variance
        bias_curvature += variance.sum(0)
    return (curvature + regulariser).rsqrt(), (bias_curvature + 1e-6).rsqrt()


def standardisation(features: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of each feature; 1 for a feature that hardly varies."""
    features = features.double()
    if not features.sum().isfinite():
        raise InputError(
            "the training features hold NaN or infinite values: the network has diverged, or its numbers overflow "
            "under AMP (evaluate it with amp off)"
        )
    mean, deviation = features.mean(0), features.std(0, correction=0)
    return mean, deviation.where(deviation > 1e-6 * deviation.max().clamp(min=1e-30), torch.ones_like(deviation))
