"""The linear probe against scikit-learn, and its choice of the penalty."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression, LogisticRegressionCV
from sklearn.metrics import accuracy_score, balanced_accuracy_score, log_loss

from poa_bench.downstream import linear
from poa_bench.downstream.linear import check_classes, fit_path, hold_out, linear_probe
from poa_bench.errors import InputError
from poa_bench.tasks.linear import LinearProtocol
from tests.downstream.test_knn import clusters


@pytest.mark.parametrize("regulariser", [1.0, 1e-2, 1e-3])
def test_minimum_is_that_of_scikit_learn(regulariser):
    features, labels = clusters(240, classes=4)
    features = features.double()
    features[:, 1] = features[:, 0] + 0.05 * features[:, 1]  # correlated, as frozen features are
    path = list(fit_path(features, labels, 4, [1.0, 0.1, regulariser]))
    weight, bias = path[-1][1:]
    oracle = LogisticRegression(C=1 / (regulariser * len(labels)), tol=1e-10, max_iter=10_000)
    oracle.fit(features.numpy(), labels.numpy())
    # the weights' common part is free of loss and held at zero by the penalty; the bias' is free altogether
    assert np.allclose(weight.T.numpy(), oracle.coef_, atol=2e-4)
    assert np.allclose((bias - bias.mean()).numpy(), oracle.intercept_ - oracle.intercept_.mean(), atol=2e-4)


def test_chunks_of_images_do_not_matter(monkeypatch):
    features, labels = clusters(150, classes=4)
    whole = list(fit_path(features.double(), labels, 4, [0.1, 1e-3]))
    monkeypatch.setattr(linear, "ROWS", 37)
    for (_, weight, bias), (_, other_weight, other_bias) in zip(
        whole, fit_path(features.double(), labels, 4, [0.1, 1e-3]), strict=True
    ):
        assert torch.allclose(weight, other_weight, atol=1e-5) and torch.allclose(bias, other_bias, atol=1e-5)


def test_more_features_than_images():
    features, labels = clusters(40, classes=3, width=90)
    features = features.double()
    ((_, weight, bias),) = fit_path(features, labels, 3, [1e-2])
    oracle = LogisticRegression(C=1 / (1e-2 * len(labels)), tol=1e-10, max_iter=10_000)
    oracle.fit(features.numpy(), labels.numpy())
    assert np.allclose(weight.T.numpy(), oracle.coef_, atol=2e-4)
    # the bias of classes that can be told apart hardly matters: the losses are what can be compared
    theirs = objective(features, labels, torch.tensor(oracle.coef_).T, torch.tensor(oracle.intercept_), 1e-2)
    assert objective(features, labels, weight, bias, 1e-2) < theirs + 1e-9


def objective(features, labels, weight, bias, regulariser):
    """What is minimised."""
    loss = torch.nn.functional.cross_entropy(features @ weight + bias, labels)
    return (loss + regulariser / 2 * weight.square().sum()).item()


def test_badly_conditioned_features_reach_the_minimum():
    """Ten strong directions and many 1e-5 weaker ones, as a freshly initialised network has them."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(5, (400,), generator=generator)
    weak = 1e-5 * (torch.randn(5, 30, generator=generator)[labels] + torch.randn(400, 30, generator=generator))
    strong = torch.randn(400, 10, generator=generator)
    mix = torch.linalg.qr(torch.randn(40, 40, generator=generator, dtype=torch.float64)).Q
    features = torch.cat([strong, weak], 1).double() @ mix
    for regulariser, weight, bias in fit_path(features, labels, 5, LinearProtocol().regularisers):
        logits = features @ weight + bias
        residual = logits.softmax(1) - torch.nn.functional.one_hot(labels, 5)
        gradient = features.T @ residual / len(labels) + regulariser * weight
        assert gradient.abs().max() < 1e-5 and residual.mean(0).abs().max() < 1e-5


def noisy(count, seed):
    """Classes that overlap, in more directions than a few pictures can tell: without a penalty a probe overfits."""
    return clusters(count, classes=3, width=40, noise=2.0, seed=seed)


def scikit_learns(train, split, regulariser):
    """Class probabilities of a split by scikit-learn, standardised by train."""
    features, labels = (part.double().numpy() for part in train)
    mean, scale = features.mean(0), features.std(0)
    oracle = LogisticRegression(C=1 / (regulariser * len(labels)), tol=1e-8, max_iter=10_000)
    oracle.fit((features - mean) / scale, labels)
    return oracle.predict_proba((split[0].double().numpy() - mean) / scale)


@pytest.mark.parametrize("refit", [False, True])
def test_penalty_and_scores_are_scikit_learns(refit):
    train, val, test = noisy(60, 0), noisy(50, 1), noisy(200, 2)
    regularisers = LinearProtocol(7).regularisers  # 1 to 1e-6; more do not change what is chosen here
    found = linear_probe(train, val, test, regularisers, refit=refit)
    losses = [log_loss(val[1], scikit_learns(train, val, regulariser)) for regulariser in regularisers[:5]]
    chosen = int(np.argmin(losses))
    assert 0 < chosen < 4  # neither end of the grid
    assert found.regulariser == regularisers[chosen]
    assert found.val_log_loss == pytest.approx(losses[chosen], abs=1e-5)
    both = tuple(torch.cat(parts) for parts in zip(train, val, strict=True))
    predicted = scikit_learns(both if refit else train, test, found.regulariser).argmax(1)
    judged = scikit_learns(train, val, found.regulariser).argmax(1)
    assert found.metrics["top1"] == pytest.approx(100 * accuracy_score(test[1], predicted))
    assert found.metrics["balanced_top1"] == pytest.approx(100 * balanced_accuracy_score(test[1], predicted))
    assert found.metrics["val_top1"] == pytest.approx(100 * accuracy_score(val[1], judged))
    assert found.metrics["val_balanced_top1"] == pytest.approx(100 * balanced_accuracy_score(val[1], judged))


@pytest.mark.filterwarnings("ignore::FutureWarning")  # names of attributes that will change
def test_cross_validation_of_scikit_learn_on_the_same_fold_chooses_the_same():
    """Features as they are (unit scale), for its solver standardises nothing."""
    train, val = noisy(60, 0), noisy(50, 1)
    mean, scale = train[0].double().mean(0), train[0].double().std(0, correction=0)
    train, val = (((features.double() - mean) / scale, labels) for features, labels in (train, val))
    regularisers = LinearProtocol(7).regularisers
    features, labels = (torch.cat(parts).numpy() for parts in zip(train, val, strict=True))
    fold = [(np.arange(60), np.arange(60, 110))]
    strengths = [1 / (regulariser * 60) for regulariser in regularisers[:5]]
    oracle = LogisticRegressionCV(Cs=strengths, cv=fold, scoring="neg_log_loss", tol=1e-8, max_iter=10_000)
    oracle.fit(features, labels)
    assert linear_probe(train, val, val, regularisers).regulariser == pytest.approx(1 / (60 * np.ravel(oracle.C_)[0]))


def test_penalty_is_chosen_on_val_alone():
    """Test labels that only the weakest penalty's mistakes match: the choice stays, the optimistic number grows."""
    train, val = noisy(60, 0), noisy(200, 1)
    regularisers = [1.0, 1e-1, 1e-2, 1e-4]
    chosen = linear_probe(train, val, noisy(200, 2), regularisers)
    assert chosen.regulariser == 1e-2
    mean, scale = train[0].double().mean(0), train[0].double().std(0, correction=0)
    *_, (_, weight, bias) = fit_path((train[0].double() - mean) / scale, train[1], 3, regularisers)
    odd = (val[0], (((val[0].double() - mean) / scale) @ weight + bias).argmax(1))
    found = linear_probe(train, val, odd, regularisers)
    assert found.regulariser == chosen.regulariser and found.metrics["val_top1"] == chosen.metrics["val_top1"]
    assert found.metrics["best_on_test_top1"] == 100 > found.metrics["top1"]


def test_equal_accuracies_do_not_tie(monkeypatch):
    """All penalties are right about every picture; the log-loss still says which one is surest of the right ones."""
    train, val = clusters(90, classes=3, noise=0.01), clusters(30, classes=3, noise=0.01, seed=1)
    found = linear_probe(train, val, val, [1.0, 1e-2, 1e-4])
    assert {found.metrics[name] for name in ("val_top1", "top1", "top5", "balanced_top1")} == {100.0}
    assert found.regulariser == 1e-4
    width = train[0].shape[1]
    nothing = linear.Classifier(*torch.zeros(2, width), torch.zeros(width, 3), torch.zeros(3))
    monkeypatch.setattr(linear, "classifiers", lambda *_: iter([replace(nothing, scale=torch.ones(width))] * 3))
    assert linear_probe(train, val, val, [1.0, 1e-2, 1e-4]).regulariser == 1.0  # the stronger of equals


def test_the_path_ends_where_the_log_loss_has_risen_twice(monkeypatch):
    train, val = noisy(60, 0), noisy(200, 1)
    tried = []
    original = linear.fit_path

    def noted(*arguments):
        for step in original(*arguments):
            tried.append(step[0])
            yield step

    monkeypatch.setattr(linear, "fit_path", noted)
    found = linear_probe(train, val, val, LinearProtocol().regularisers)
    chosen = LinearProtocol().regularisers.index(found.regulariser)
    assert tried == list(LinearProtocol().regularisers[: chosen + 3])
    tried.clear()
    linear_probe(train, val, val, LinearProtocol().regularisers, refit=True)
    assert tried == 2 * list(LinearProtocol().regularisers[: chosen + 3])  # both paths have the same candidates


def test_same_numbers_every_time_and_for_features_without_variance():
    train, val, test = (clusters(n, seed=n) for n in (150, 50, 70))
    first = linear_probe(train, val, test, LinearProtocol(5).regularisers)
    torch.manual_seed(7)
    assert linear_probe(train, val, test, LinearProtocol(5).regularisers) == first
    padded = [
        (torch.cat([features, torch.full((len(features), 3), 2.5)], 1), labels)
        for features, labels in (train, val, test)
    ]
    padded = linear_probe(*padded, LinearProtocol(5).regularisers)
    assert padded.metrics == first.metrics and padded.regulariser == first.regulariser


def test_hold_out_is_stratified_and_repeatable():
    labels = torch.tensor([0] * 50 + [1] * 20 + [2] * 2 + [3])
    fit, held = hold_out(labels, 0.1, seed=3)
    assert sorted([*fit.tolist(), *held.tolist()]) == list(range(73))
    assert labels[held].bincount(minlength=4).tolist() == [5, 2, 1, 0]  # the only image of a class stays in train
    assert torch.equal(hold_out(labels, 0.1, seed=3)[1], held)
    assert not torch.equal(hold_out(labels, 0.1, seed=4)[1], held)


def test_bad_input_is_explained():
    features, labels = clusters(50, classes=3)
    with pytest.raises(InputError, match=r"classes \[5\] of the val split have no image in train"):
        check_classes(labels, val=torch.tensor([0, 5]))
    with pytest.raises(InputError, match=r"classes \[7\] of the test split have no image in train"):
        linear_probe((features, labels), (features, labels), (features, labels + (labels == 2) * 5), [1.0])
    with pytest.raises(InputError, match="NaN or infinite"):
        linear_probe((features * float("inf"), labels), (features, labels), (features, labels), [1.0])
