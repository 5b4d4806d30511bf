"""Calibration: scikit-learn's log-loss, cases by hand, and probabilities that are known to be true or too sure."""

import numpy as np
import pytest
import torch
from sklearn.metrics import brier_score_loss, log_loss

from poa_bench.downstream.calibration import calibration_scores, fit_temperature


def drawn(count: int = 20000, classes: int = 5, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits, and labels that are drawn with exactly their probabilities."""
    draw = np.random.default_rng(seed)
    logits = draw.normal(size=(count, classes)) * 1.5
    probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    labels = (draw.random((count, 1)) > probabilities.cumsum(1)).sum(1)
    return torch.tensor(logits), torch.tensor(labels)


def test_log_likelihood_and_brier_score_are_scikit_learns():
    logits, labels = drawn(500, 3)
    found, _ = calibration_scores(logits, labels, 15)
    probabilities = logits.softmax(1).numpy()
    assert found["nll"] == pytest.approx(log_loss(labels, probabilities), rel=1e-12)
    by_class = [brier_score_loss(labels == place, probabilities[:, place]) for place in range(3)]
    assert found["brier"] == pytest.approx(sum(by_class), rel=1e-12)


def test_expected_calibration_error_by_hand():
    """Ten bins. Confidence 0.9: right, wrong; 0.62: right. So |1 - 1.8| / 3 + |1 - 0.62| / 3."""
    probabilities = torch.tensor([[0.9, 0.1], [0.1, 0.9], [0.62, 0.38]], dtype=torch.float64)
    found, _ = calibration_scores(probabilities.log(), torch.tensor([0, 0, 0]), 10)
    assert found["ece"] == pytest.approx(100 * (0.8 + 0.38) / 3)


@pytest.mark.parametrize("bins", [1, 7, 15])
def test_expected_calibration_error_is_the_definition(bins):
    logits, labels = drawn(300, 4, seed=bins)
    confidence, predicted = logits.softmax(1).max(1)
    total = 0.0
    for low in range(bins):
        inside = [i for i in range(300) if low / bins < confidence[i] <= (low + 1) / bins]
        if inside:
            accuracy = np.mean([float(predicted[i] == labels[i]) for i in inside])
            total += len(inside) / 300 * abs(accuracy - np.mean([float(confidence[i]) for i in inside]))
    assert calibration_scores(logits, labels, bins)[0]["ece"] == pytest.approx(100 * total, rel=1e-9)


def test_true_probabilities_have_no_error_and_sharpened_ones_are_found_out():
    logits, labels = drawn()
    true, sharp = (calibration_scores(factor * logits, labels, 15)[0] for factor in (1, 3))
    assert true["ece"] < 1.5 < 10 < sharp["ece"]
    assert sharp["nll"] > true["nll"] and sharp["brier"] > true["brier"]
    assert fit_temperature(logits, labels) == pytest.approx(1, abs=0.03)
    temperature = fit_temperature(3 * logits, labels)
    assert temperature == pytest.approx(3, abs=0.1)
    assert calibration_scores(3 * logits / temperature, labels, 15)[0]["ece"] < 1.5
