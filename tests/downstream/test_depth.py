"""Depth of patches against scikit-learn's ridge regression, errors by hand and by scikit-learn."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge
from sklearn.metrics import mean_absolute_percentage_error, root_mean_squared_error

from poa_bench.downstream.depth import DepthMaps, ridge_heads
from poa_bench.downstream.patches import Patches


def patches(count: int, seed: int) -> Patches:
    draw = np.random.default_rng(seed)
    features = draw.normal(size=(count, 5)) * [1, 2, 3, 1, 1] + [0, 5, 0, 0, 1]
    depths = 1 + 0.3 * features @ [0.5, -0.3, 0.2, 0, 0.1] + 0.3 * draw.normal(size=count)
    weights = draw.uniform(0.1, 1, count)
    targets = np.stack([depths * weights, weights], 1)
    return Patches(*(torch.from_numpy(each).float() for each in (features, targets)), torch.arange(count) // 4)


def by_scikit_learn(train: Patches, penalty: float) -> Ridge:
    deviation = train.features.double().std(0, correction=0)
    weights = train.targets[:, 1].double()
    model = Ridge(alpha=penalty * weights.sum().item())
    model.fit(train.features.double() / deviation, train.targets[:, 0].double() / weights, weights)
    model.predicted = lambda rows: model.predict(rows.double() / deviation)
    return model


@pytest.mark.parametrize("penalty", [1.0, 1e-2, 1e-6])
def test_the_regression_is_scikit_learns_ridge(penalty):
    train, val = patches(80, 0), patches(30, 1)
    found = ridge_heads(train, val, [penalty], "cpu", refit=False)
    expected = by_scikit_learn(train, penalty).predicted(val.features)
    depths = train.targets[:, 0] / train.targets[:, 1]
    np.testing.assert_allclose(
        found.of_test(val.features)[:, 0], expected.clip(depths.min(), depths.max()), rtol=1e-4, atol=1e-4
    )


def test_the_penalty_of_the_lowest_error_is_fitted_again_to_all():
    train, val = patches(12, 0), patches(60, 1)
    penalties = [3.0, 1.0, 0.3, 0.1, 0.03, 0.01]
    found = ridge_heads(train, val, penalties, "cpu", refit=True)
    true, weights = val.targets[:, 0] / val.targets[:, 1], val.targets[:, 1]
    low, high = (train.targets[:, 0] / train.targets[:, 1]).aminmax()
    guesses = [by_scikit_learn(train, penalty).predicted(val.features).clip(low, high) for penalty in penalties]
    errors = [np.average((guess - true.numpy()) ** 2, weights=weights) for guess in guesses]
    chosen = int(np.argmin(errors))
    assert 0 < chosen < 5 and found.facts["regulariser"] == penalties[chosen]
    assert found.facts["val_loss"] == pytest.approx(errors[chosen], rel=1e-4)
    expected = by_scikit_learn(train.joined(val), penalties[chosen]).predicted(val.features)
    inside = found.of_test(val.features)[:, 0].numpy()
    assert np.abs(inside - expected)[1:-1].mean() < 1e-3


def test_targets_are_means_of_the_logarithm_over_known_pixels():
    truth = torch.tensor([[1.0, 2, 0, 0], [4, 0, 0, 0], [3, 3, 5, 0], [3, 3, 0, 0]])
    found = DepthMaps().targets(truth, (4, 4), 2, (2, 2))
    expected = np.log([1, 2, 4]).sum() / 4
    assert found[0, 0].tolist() == pytest.approx([expected, 0.75]) and found[0, 1].tolist() == [0, 0]
    assert found[1, 0].tolist() == pytest.approx([np.log(3), 1]) and found[1, 1, 1] == 0.25
    assert DepthMaps().weights(found).tolist() == [[0.75, 0], [1, 0.25]]


def test_errors_are_means_over_pictures_of_scikit_learns():
    draw, truth = np.random.default_rng(0), DepthMaps()
    rows, expected = [], []
    for size in ((4, 5), (7, 3), (6, 6)):
        true = draw.uniform(0.5, 9, size)
        guess = true * np.exp(0.3 * draw.normal(size=size))
        rows.append(truth.compare(torch.from_numpy(guess).log()[None], torch.from_numpy(true)))
        right = np.maximum(true / guess, guess / true) < 1.25
        flat = true.ravel(), guess.ravel()
        expected.append([root_mean_squared_error(*flat), mean_absolute_percentage_error(*flat), right.mean()])
    nothing = truth.compare(torch.zeros(1, 2, 2), torch.zeros(2, 2))
    found = {name: outcome.score for name, outcome in truth.scores(np.stack([*rows, nothing])).items()}
    rmse, relative, right = np.mean(expected, 0)
    assert found == pytest.approx({"rmse": rmse, "abs_rel": 100 * relative, "delta1": 100 * right})
    by_hand = truth.compare(torch.tensor([[[2.0, 4.0, 1.0]]]).log(), torch.tensor([[1.0, 4.0, 0.0]]))
    assert by_hand.tolist() == pytest.approx([np.sqrt(0.5), 0.5, 0.5])
