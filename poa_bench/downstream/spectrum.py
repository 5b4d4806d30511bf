"""Spectra of features: RankMe (Garrido et al., ICML 2023), alpha-ReQ (Agrawal et al., NeurIPS 2022) and LiDAR."""

import torch
from torch import Tensor

from poa_bench.downstream.features import check_finite
from poa_bench.errors import InputError

RANKME_EPSILON = 1e-5  # added to each normalised singular value, as the reference does; 1 % for a tenth of full rank
LIDAR_DELTA, LIDAR_EPSILON = 1e-4, 1e-8  # of the reference: on the diagonal within pictures, on the eigenvalues
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


@torch.no_grad()
def lidar(means: Tensor, within: Tensor) -> float:
    """Exponential of the entropy of the LDA matrix's eigenvalues (Thilak et al., ICLR 2024), a picture being a class.

    Args:
        means: of the views of each picture, (J, D).
        within: covariance of views around the mean of their picture, (D, D), divided by J (q - 1) for q views.

    Raises:
        InputError: a feature is not finite, or all pictures have the same mean.
    """
    check_finite(pictures=means)
    centred = means.double() - means.double().mean(0)
    between = centred.T @ centred / (len(means) - 1)
    values, vectors = torch.linalg.eigh(within.double() + LIDAR_DELTA * torch.eye(len(within)).to(within).double())
    whitening = vectors * values.rsqrt() @ vectors.T
    found = torch.linalg.eigvalsh(whitening @ between @ whitening).clamp(min=0)
    if not found.sum() > 0:
        raise InputError("all pictures have the same features: the network has collapsed")
    shares = (found + LIDAR_EPSILON) / (found + LIDAR_EPSILON).sum()
    return (-(shares * shares.log()).sum()).exp().item()


def spectrum_scores(features: Tensor) -> dict[str, float]:
    """RankMe in percent of the width D, RankMe, and alpha-ReQ where there is one, of features (N, D)."""
    rank, alpha = rank_me(features), alpha_req(features)
    found = {"rankme_share": 100 * rank / features.shape[1], "rankme": rank}
    return found if alpha is None else found | {"alpha_req": alpha}


def first_of(count: int, most: int, seed: int) -> Tensor:
    """Positions of at most `most` of `count` pictures, the first ones of a random order."""
    return torch.randperm(count, generator=torch.Generator().manual_seed(seed))[:most]
