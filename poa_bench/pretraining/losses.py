"""The losses: functions from tensors to a scalar, in float32 whatever the precision around them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from poa_bench.errors import InputError
from poa_bench.pretraining.targets import Target, chunks, matmul


@dataclass(frozen=True)
class Prediction:
    """Student rows that are compared with one target.

    Attributes:
        features: (S, B, d) L2-normalised head outputs of S student views of B samples.
        pairing: (S, V) of 0 and 1: which of the target's V views each student view must predict.
        weight: factor of this term in the total.
        sample_weights: (B,) factor of each sample instead of one over the number of pairs, or None.
    """

    features: Tensor
    pairing: Tensor
    weight: float
    sample_weights: Tensor | None = None


@dataclass(frozen=True)
class Comparison:
    """A target and all predictions of it, so that its probabilities are made once."""

    target: Target
    predictions: tuple[Prediction, ...]


def prototype_cross_entropy(
    prototypes: Tensor, temperature: float, comparisons: Sequence[Comparison], chunk_elements: int = 1 << 22
) -> tuple[Tensor, Tensor]:
    """Cross-entropy between targets and ``softmax(features @ prototypes.T / temperature)`` (paper, eqs. 6-9).

    The value of one prediction is ``-sum(target * log p)``, averaged over pairs of views and samples (or summed with
    its ``sample_weights``). Logits exist for one chunk of samples at a time: the gradients are made in the same pass
    and kept instead (Liger kernels do so, arXiv 2410.10989), so that nothing is recomputed in backward.

    Args:
        prototypes: (K, d) weight-normalised prototypes of the student's head.
        temperature: the student's.
        comparisons: T predictions in all.
        chunk_elements: how many logits may exist at a time.

    Returns:
        The weighted total, a differentiable float32 scalar, and the T unweighted values (no gradient).
    """
    features = [prediction.features for comparison in comparisons for prediction in comparison.predictions]
    return _PrototypeCrossEntropy.apply(prototypes, temperature, tuple(comparisons), chunk_elements, *features)


class _PrototypeCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        prototypes: Tensor,
        temperature: float,
        comparisons: tuple[Comparison, ...],
        chunk_elements: int,
        *features: Tensor,
    ) -> tuple[Tensor, Tensor]:
        with torch.autocast(prototypes.device.type, enabled=False):
            step = _CrossEntropyStep(prototypes.float(), temperature)
            values, gradients = [], []
            for comparison in comparisons:
                value, gradient = step.compare(comparison, chunk_elements)
                values += value
                gradients += gradient
        weights = [prediction.weight for comparison in comparisons for prediction in comparison.predictions]
        total = torch.stack([weight * value for weight, value in zip(weights, values, strict=True)]).sum()
        values = torch.stack(values)
        ctx.dtypes = [prototypes.dtype, *(feature.dtype for feature in features)]
        ctx.save_for_backward(step.gradient, *gradients)
        ctx.mark_non_differentiable(values)
        return total, values

    @staticmethod
    def backward(ctx: Any, gradient: Tensor, _values: Tensor) -> tuple[Tensor | None, ...]:
        saved = [(tensor * gradient).to(dtype) for tensor, dtype in zip(ctx.saved_tensors, ctx.dtypes, strict=True)]
        return saved[0], None, None, None, *saved[1:]


class _CrossEntropyStep:
    """Values and gradients of all comparisons with one set of prototypes.

    Of student rows x with logits ``l = x C^T / t`` over prototypes C at temperature t, ``p = softmax(l)``, targets q,
    and the pairing P of views, n of them for each row:

        loss = sum over pairs of -q . log p = n logsumexp(l) - (P q) . l     as the entries of q add up to 1
        dl   = n p - P q                                                     as d logsumexp(l) = p . dl
        dx   = dl C / t   = (n p C - P (q C)) / t
        dC   = dl^T x / t = ((n p)^T x - q^T (P^T x)) / t

    P is linear, so it is applied to ``q C`` (V, b, d) and its transpose to the rows x, never to anything with K
    columns. `_predict` makes all but the last product, whose rows it gathers for `compare`: one for all predictions.
    """

    def __init__(self, prototypes: Tensor, temperature: float):
        self.prototypes = prototypes
        self.temperature = temperature
        self.gradient = torch.zeros_like(prototypes)

    def compare(self, comparison: Comparison, chunk_elements: int) -> tuple[list[Tensor], list[Tensor]]:
        """Value () and gradient (S, B, d) of every prediction; the prototypes' share is added to ``gradient``."""
        predictions = comparison.predictions
        values = [self.prototypes.new_zeros(()) for _ in predictions]
        gradients = [torch.empty_like(p.features, dtype=self.prototypes.dtype) for p in predictions]
        views, samples, _ = comparison.target.features.shape
        most_views = max(views, *(len(p.features) for p in predictions))
        for part in chunks(samples, most_views * len(self.prototypes), chunk_elements):
            q = comparison.target.probabilities(part)  # (V, b, K)
            q_prototypes = matmul(q, self.prototypes)  # (V, b, d)
            paired_rows = torch.zeros_like(q_prototypes)  # sum over the student rows that predict each target row
            for index, prediction in enumerate(predictions):
                value, rows = self._predict(prediction, part, q_prototypes, gradients[index])
                values[index] = values[index] + value
                paired_rows += rows
            self.gradient.addmm_(q.flatten(0, 1).T, paired_rows.flatten(0, 1), alpha=-1 / self.temperature)
        return values, gradients

    def _predict(
        self, prediction: Prediction, part: slice, q_prototypes: Tensor, gradient: Tensor
    ) -> tuple[Tensor, Tensor]:
        """One chunk of one prediction: its unweighted value, and its weighted rows gathered per target row."""
        rows = prediction.features[:, part].float()  # (S, b, d)
        pairing = prediction.pairing.to(rows)
        pairs = pairing.sum(dim=1)[:, None]  # (S, 1)
        if prediction.sample_weights is None:
            # stays on the device: asking for the number would stop it
            scale = 1 / (pairs.sum() * prediction.features.shape[1]).view(1, 1)
        else:
            scale = prediction.sample_weights[part].to(rows)[None]  # (1, b)
        wanted = torch.einsum("sv,vbd->sbd", pairing, q_prototypes)  # paired targets times prototypes
        logits = matmul(rows, self.prototypes.T).div_(self.temperature)  # (S, b, K)
        log_sum = logits.logsumexp(dim=-1, keepdim=True)
        value = (scale * (pairs * log_sum[..., 0] - (wanted * rows).sum(dim=-1) / self.temperature)).sum()
        p = logits.sub_(log_sum).exp_()

        scale = (scale * prediction.weight)[..., None]  # (1, b or 1, 1)
        factor = scale * pairs[..., None] / self.temperature
        gradient[:, part] = factor * matmul(p, self.prototypes) - scale / self.temperature * wanted
        self.gradient.addmm_(p.flatten(0, 1).T, (factor * rows).flatten(0, 1))
        return value, torch.einsum("sv,sbd->vbd", pairing, scale * rows)


def koleo(features: Tensor, epsilon: float = 1e-8) -> Tensor:
    """Kozachenko-Leonenko entropy: mean of ``-log(distance to the nearest other row)`` (paper, eq. 13).

    Args:
        features: (B, w) class features of one view on this rank, B >= 2; they are L2-normalised here.

    Returns:
        A float32 scalar, low when the rows are spread out.

    Raises:
        InputError: a batch of one image has no neighbour.
    """
    if len(features) < 2:
        raise InputError(
            f"KoLeo needs at least 2 images per process, found {len(features)}: enlarge "
            "train_dataloader.batch_size or set model.loss_weights.koleo=0"
        )
    with torch.autocast(features.device.type, enabled=False):
        rows = F.normalize(features.float(), dim=-1)
        with torch.no_grad():
            similarity = rows @ rows.T
            nearest = similarity.fill_diagonal_(-1).argmax(dim=1)
        distance = F.pairwise_distance(rows, rows[nearest], eps=epsilon)
        return -(distance + epsilon).log().mean()
