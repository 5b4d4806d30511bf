"""Spectra of features: RankMe (Garrido et al., ICML 2023) and alpha-ReQ (Agrawal et al., NeurIPS 2022)."""

import torch
from torch import Tensor

from poa_bench.downstream.features import check_finite
from poa_bench.errors import InputError

RANKME_EPSILON = 1e-5  # added to each normalised singular value, as the reference does; 1 % for a tenth of full rank
ALPHA_RANKS = (6, 50)  # the eigenvalues that the slope is fitted to, counted from 1; part of what alpha means


@torch.no_grad()
def rank_me(features: Tensor) -> float:
    """Exponential of the entropy of the normalised singular values of features (N, D), not centred.

    Raises:
        InputError: a feature is not finite, or all are 0.

    >>> round(rank_me(torch.eye(4)), 2)
    4.0
    """
    check_finite(pictures=features)
    values = torch.linalg.svdvals(features.double())
    if not values.sum() > 0:
        raise InputError("all features are 0: the network has collapsed")
    shares = values / values.sum() + RANKME_EPSILON
    return (-(shares * shares.log()).sum()).exp().item()


@torch.no_grad()
def alpha_req(features: Tensor, ranks: tuple[int, int] = ALPHA_RANKS) -> float | None:
    """Minus the slope of the logarithm of the covariance's eigenvalues over the logarithm of their ranks.

    Least squares weighted by 1 / rank, as in the authors' code; the eigenvalues are of centred features (N, D).

    Args:
        ranks: first and last eigenvalue of the fit, counted from 1.

    Returns:
        None where there are too few eigenvalues above rounding, that is above 1e-12 of the largest.

    Raises:
        InputError: a feature is not finite.
    """
    check_finite(pictures=features)
    centred = features.double() - features.double().mean(0)
    eigenvalues = torch.linalg.svdvals(centred).square()
    first, last = ranks
    if len(eigenvalues) < last or not eigenvalues[last - 1] > 1e-12 * eigenvalues[0]:
        return None
    rank = torch.arange(first, last + 1, dtype=torch.float64, device=features.device)
    x, y, weight = rank.log(), eigenvalues[first - 1 : last].log(), 1 / rank
    x = x - (weight * x).sum() / weight.sum()
    return -((weight * x * y).sum() / (weight * x * x).sum()).item()
