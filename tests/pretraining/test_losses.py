"""Losses and targets against plain formulas that store everything."""

import pytest
import torch
import torch.nn.functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from poa_bench.errors import InputError
from poa_bench.pretraining.losses import Comparison, Prediction, koleo, prototype_cross_entropy
from poa_bench.pretraining.targets import Target, mean_logits, sinkhorn_bias
from poa_bench.pretraining.terms import pairing_matrix

K, D, B = 37, 8, 6


def sphere(*shape: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(*shape, generator=generator), dim=-1)


def example(sample_weights: torch.Tensor | None = None):
    """Prototypes, three predictions of two targets, and everything that needs a gradient."""
    prototypes = (1.3 * sphere(K, D)).requires_grad_()
    rows = [sphere(2, B, D, seed=1), sphere(5, B, D, seed=2), sphere(2, B, D, seed=3)]
    rows = [row.requires_grad_() for row in rows]
    bias = torch.randn(K, generator=torch.Generator().manual_seed(4))
    teacher = Target(sphere(2, B, D, seed=5), sphere(K, D, seed=6), 0.07, bias)
    student = Target(rows[0].detach(), prototypes.detach(), 0.1)
    comparisons = (
        Comparison(
            teacher,
            (
                Prediction(rows[0], pairing_matrix("other_view", 2, 2), 0.3),
                Prediction(rows[1], pairing_matrix("all_views", 5, 2), 0.5),
            ),
        ),
        Comparison(student, (Prediction(rows[2], pairing_matrix("same_view", 2, 2), 0.2, sample_weights),)),
    )
    return prototypes, rows, comparisons


def plain_cross_entropy(prototypes, temperature, comparisons):
    """The same by loops over pairs of views, with torch's autograd."""
    total, values = 0.0, []
    for comparison in comparisons:
        q = comparison.target.probabilities()
        for prediction in comparison.predictions:
            log_p = F.log_softmax(F.linear(prediction.features, prototypes) / temperature, dim=-1)
            pairs = prediction.pairing.nonzero().tolist()
            losses = torch.stack([-(q[view] * log_p[row]).sum(dim=-1) for row, view in pairs])  # (pairs, B)
            weights = prediction.sample_weights
            value = losses.mean() if weights is None else (losses * weights).sum()
            total = total + prediction.weight * value
            values.append(value.detach())
    return total, torch.stack(values)


@pytest.mark.parametrize("chunk_elements", [1, 5 * K * 2, 1 << 20])
@pytest.mark.parametrize("weighted", [False, True])
def test_cross_entropy_equals_the_plain_formula(chunk_elements, weighted):
    weights = torch.linspace(0.1, 1, B) if weighted else None
    prototypes, rows, comparisons = example(weights)
    total, values = prototype_cross_entropy(prototypes, 0.1, comparisons, chunk_elements)
    found = torch.autograd.grad(3 * total, [prototypes, *rows])
    expected_total, expected_values = plain_cross_entropy(prototypes, 0.1, comparisons)
    expected = torch.autograd.grad(3 * expected_total, [prototypes, *rows])
    torch.testing.assert_close(total, expected_total)
    torch.testing.assert_close(values, expected_values)
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)


def test_no_rows_give_zero_and_no_gradient():
    prototypes, rows = sphere(K, D).requires_grad_(), torch.zeros(1, 0, D, requires_grad=True)
    target = Target(torch.zeros(1, 0, D), sphere(K, D), 0.07)
    prediction = Prediction(rows, torch.eye(1), 1.0, torch.zeros(0))
    total, _ = prototype_cross_entropy(prototypes, 0.1, [Comparison(target, (prediction,))])
    total.backward()
    assert total == 0 and not prototypes.grad.any()


class LargestTensor(TorchDispatchMode):
    """Notes the largest tensor that any operation returns."""

    def __init__(self):
        super().__init__()
        self.elements = 0

    def __torch_dispatch__(self, function, types, arguments=(), keywords=None):
        output = function(*arguments, **(keywords or {}))
        sizes = [leaf.numel() for leaf in tree_leaves(output) if isinstance(leaf, torch.Tensor)]
        self.elements = max([self.elements, *sizes])
        return output


def test_logits_of_all_rows_never_exist():
    prototypes, rows, comparisons = example()
    limit = 5 * K  # one sample of the prediction with the most views
    with LargestTensor() as largest:
        total, _ = prototype_cross_entropy(prototypes, 0.1, comparisons, limit)
        total.backward()
        sinkhorn_bias(comparisons[0].target.features.flatten(0, 1), prototypes.detach(), 0.07, 3, limit)
    assert largest.elements <= max(limit, prototypes.numel()) < 5 * B * K


def test_cross_entropy_is_float32_inside_autocast():
    prototypes, _, comparisons = example()
    expected, _ = prototype_cross_entropy(prototypes, 0.1, comparisons)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        total, values = prototype_cross_entropy(prototypes, 0.1, comparisons)
    assert total.dtype == values.dtype == torch.float32
    assert total.item() == expected.item()


def official_sinkhorn(logits: torch.Tensor, temperature: float, iterations: int) -> torch.Tensor:
    """Sinkhorn-Knopp as SwAV and DINOv2 write it."""
    q = (logits / temperature).double().exp().t()  # (K, R)
    prototypes, rows = q.shape
    q /= q.sum()
    for _ in range(iterations):
        q /= q.sum(dim=1, keepdim=True) * prototypes
        q /= q.sum(dim=0, keepdim=True) * rows
    return (q * rows).t().float()


@pytest.mark.parametrize("iterations", [1, 2, 3, 6])
@pytest.mark.parametrize("chunk_elements", [K, 1 << 20])
def test_sinkhorn_equals_the_official_formula(iterations, chunk_elements):
    rows, prototypes = sphere(11, D), sphere(K, D, seed=1)
    bias = sinkhorn_bias(rows, prototypes, 0.05, iterations, chunk_elements)
    found = Target(rows[None], prototypes, 0.05, bias).probabilities()[0]
    torch.testing.assert_close(found, official_sinkhorn(rows @ prototypes.T, 0.05, iterations), rtol=1e-4, atol=1e-7)


def test_sinkhorn_of_no_rows_and_of_unused_prototypes_is_finite():
    assert sinkhorn_bias(torch.zeros(0, D), sphere(K, D), 0.05).isfinite().all()
    prototypes = torch.cat([sphere(1, D), -sphere(1, D)])
    rows = sphere(1, D).expand(4, D)  # all equal to the first prototype
    assert sinkhorn_bias(rows, prototypes, 0.005).isfinite().all()


def test_mean_logits():
    rows, prototypes = sphere(11, D), sphere(K, D, seed=1)
    mean, count = mean_logits(rows, prototypes)
    torch.testing.assert_close(mean, (rows @ prototypes.T).mean(dim=0))
    assert count == 11


def test_koleo_equals_brute_force():
    features = torch.randn(9, 5, generator=torch.Generator().manual_seed(0), requires_grad=True)
    rows = F.normalize(features.detach().double(), dim=-1)
    distances = [min((a - b).norm().item() for j, b in enumerate(rows) if j != i) for i, a in enumerate(rows)]
    value = koleo(features)
    assert value.item() == pytest.approx(-torch.tensor(distances).log().mean().item(), rel=1e-4)
    value.backward()
    assert features.grad.isfinite().all()


def test_koleo_of_equal_rows_is_finite_and_of_one_row_refused():
    features = torch.ones(3, 4, requires_grad=True)
    koleo(features).backward()
    assert features.grad.isfinite().all()
    with pytest.raises(InputError, match="at least 2 images per process, found 1"):
        koleo(torch.ones(1, 4))
