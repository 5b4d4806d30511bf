"""Label transfer against scikit-learn's neighbours, linear segmentation against its logistic regression."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.neighbors import NearestNeighbors

from poa_bench.downstream.patch_heads import linear_heads, voting_head
from poa_bench.downstream.patches import Patches
from poa_bench.errors import InputError

CLASSES = 3


def patches(count: int, seed: int, ignored: float = 0.3) -> Patches:
    """Noisy mixtures of three directions, whose soft labels say the mixture; class 0 is half of everything."""
    draw = np.random.default_rng(seed)
    shares = draw.dirichlet([1.0, 0.4, 0.4], count)
    centres = np.random.default_rng(9).normal(size=(CLASSES, 6))
    features = shares @ centres + 0.4 * draw.normal(size=(count, 6)) + 2
    targets = shares * (1 - ignored * draw.random((count, 1)))
    return Patches(*(torch.from_numpy(each).float() for each in (features, targets)), torch.arange(count) // 10)


@pytest.mark.parametrize("device", ["cpu"])
def test_labels_are_transferred_from_the_neighbours_of_scikit_learn(device):
    bank, queries = patches(200, 0), patches(40, 1).features
    found = voting_head(bank, 7, 0.1, device)(queries)
    search = NearestNeighbors(n_neighbors=7, metric="cosine").fit(bank.features.double())
    distances, places = search.kneighbors(queries.double())
    weights = np.exp((1 - distances) / 0.1)
    weights /= weights.sum(1, keepdims=True)
    expected = (weights[..., None] * bank.targets.numpy()[places]).sum(1)
    np.testing.assert_allclose(found, expected, atol=1e-6)


def by_scikit_learn(train: Patches, penalty: float, balance: float, width: int = 6) -> LogisticRegression:
    """Each patch once for each class, as heavy as the share of the class in it."""
    mean, deviation = train.features.double().mean(0), train.features.double().std(0, correction=0)
    inputs = ((train.features.double() - mean) / deviation).repeat_interleave(CLASSES, 0)
    heavy = train.targets.double() * train.targets.double().sum(0) ** -balance
    heavy = (heavy / heavy.sum()).flatten().numpy()
    labels = np.tile(np.arange(CLASSES), len(train.features))
    model = LogisticRegression(C=1 / penalty, tol=1e-10, max_iter=10000)
    model.fit(inputs, labels, heavy)
    model.inputs = lambda rows: (rows.double() - mean) / deviation
    return model


@pytest.mark.parametrize("balance", [0.0, 0.5, 1.0])
def test_linear_segmentation_is_scikit_learns_logistic_regression(balance):
    train, val = patches(150, 0), patches(60, 1)
    found = linear_heads(train, val, [0.03], "cpu", refit=False, balance=balance)
    model = by_scikit_learn(train, 0.03, balance)
    probability = found.of_test(val.features).softmax(1)
    np.testing.assert_allclose(probability, model.predict_proba(model.inputs(val.features)), atol=2e-4)
    weights = (val.targets.double() * train.targets.double().sum(0) ** -balance).flatten().numpy()
    labels = np.tile(np.arange(CLASSES), len(val.features))
    repeated = model.predict_proba(model.inputs(val.features)).repeat(CLASSES, 0)
    assert found.facts["val_loss"] == pytest.approx(log_loss(labels, repeated, sample_weight=weights), abs=1e-4)


def test_the_penalty_of_the_lowest_loss_is_fitted_again_to_all():
    train, val = patches(12, 0), patches(60, 1)
    penalties = [3.0, 1.0, 0.3, 0.1, 0.03, 0.01]
    found = linear_heads(train, val, penalties, "cpu", refit=True)
    losses = [linear_heads(train, val, [penalty], "cpu", refit=False).facts["val_loss"] for penalty in penalties]
    chosen = penalties[int(np.argmin(losses))]
    assert found.facts == {"regulariser": chosen, "val_loss": pytest.approx(min(losses), abs=1e-6)}
    assert 0 < np.argmin(losses) < 5
    alone = linear_heads(train, val, [chosen], "cpu", refit=False).of_val
    judged = found.of_val(val.features).softmax(1)
    torch.testing.assert_close(judged, alone(val.features).softmax(1), rtol=0, atol=1e-4)
    both = by_scikit_learn(train.joined(val), chosen, 0.0)
    expected = both.predict_proba(both.inputs(val.features))
    np.testing.assert_allclose(found.of_test(val.features).softmax(1), expected, atol=2e-4)
    assert np.abs(judged - expected).max() > 0.01


def test_a_class_that_train_has_not_is_never_predicted():
    train, val = patches(50, 0), patches(20, 1)
    train.targets[:, 2] = 0
    assert linear_heads(train, val, [0.01], "cpu", False, balance=0.5).of_test(val.features).argmax(1).max() == 1


def test_features_that_are_not_finite_are_one_sentence():
    train, val = patches(50, 0), patches(20, 1)
    val.features[3] = torch.nan
    with pytest.raises(InputError, match="1 of 20 validation_patches hold NaN"):
        linear_heads(train, val, [1.0], "cpu", refit=False)
    train.features[3] = torch.inf
    with pytest.raises(InputError, match="1 of 50 patches hold NaN"):
        voting_head(train, 3, 0.1, "cpu")
    with pytest.raises(InputError, match="k is 21, but there are 20 train patches"):
        voting_head(patches(20, 0), 21, 0.1, "cpu")
