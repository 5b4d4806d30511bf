"""How true predicted probabilities are (Guo et al., On Calibration of Modern Neural Networks, ICML 2017)."""

import torch
from scipy.optimize import minimize_scalar
from torch import Tensor
from torch.nn import functional as F

from poa_bench.runs.outcomes import MeanOutcome

LOG_RANGE = (-5.0, 5.0)  # natural logarithms of the temperatures that are looked at


def calibration_scores(logits: Tensor, labels: Tensor, bins: int) -> tuple[dict[str, float], dict[str, MeanOutcome]]:
    """Calibration of a classification, and what it is made of, picture by picture.

    Args:
        logits: (N, C) float64.
        labels: (N,) int64.
        bins: of equal width over (0, 1], by the probability of the predicted class.

    Returns:
        `ece`, the mean over bins of |accuracy - mean confidence| weighted by their pictures, in percent; `nll`, the
        mean negative log-likelihood in nats; `brier`, the mean over pictures of the squared distance between
        probabilities and the one-hot label, summed over classes (0 to 2). The outcomes of `ece` are each picture's
        part of its bin's gap, with the sign that this gap has on all pictures: to the first order, how the error
        changes with the picture's weight (the infinitesimal jackknife; Efron, 1982).

    >>> sure = torch.tensor([[9.0, -9.0], [9.0, -9.0]], dtype=torch.float64)
    >>> round(calibration_scores(sure, torch.tensor([0, 1]), bins=15)[0]["ece"], 2)  # sure of both, right once
    50.0
    """
    probabilities = logits.softmax(1)
    confidence, predicted = probabilities.max(1)
    correct = (predicted == labels).double()
    place = (confidence * bins).ceil().long().clamp(1, bins) - 1  # bins are open below and closed above
    gaps = torch.zeros(bins, dtype=torch.float64).index_add_(0, place, correct - confidence)
    truth = F.one_hot(labels, logits.shape[1]).double()
    losses, squares = F.cross_entropy(logits, labels, reduction="none"), (probabilities - truth).square().sum(1)
    scores = {
        "ece": 100 * gaps.abs().sum().item() / len(labels),
        "nll": F.cross_entropy(logits, labels).item(),
        "brier": squares.mean().item(),
    }
    return scores, {
        "ece": MeanOutcome((gaps.sign()[place] * (correct - confidence)).numpy()),
        "nll": MeanOutcome(losses.numpy(), scale=1.0),
        "brier": MeanOutcome(squares.numpy(), scale=1.0),
    }


def fit_temperature(logits: Tensor, labels: Tensor) -> float:
    """The one number by which logits (N, C) are divided for the lowest negative log-likelihood of labels (N,)."""

    def loss(logarithm: float) -> float:
        return F.cross_entropy(logits / torch.tensor(logarithm).exp(), labels).item()

    return float(torch.tensor(minimize_scalar(loss, bounds=LOG_RANGE, method="bounded").x).exp())
