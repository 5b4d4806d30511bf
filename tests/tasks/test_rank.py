"""RankMe and alpha-ReQ: the references' numbers, and spectra that are known."""

import numpy as np
import pytest
import torch

from poa_bench.downstream.spectrum import alpha_req, rank_me
from poa_bench.errors import InputError
from tests.conftest import golden


@pytest.fixture(scope="module")
def numbers():
    found = {}
    for name in ("features", "lowrank_features"):
        with np.load(golden(f"baselines/rank_{name}.npz")) as archive:
            found |= {key: archive[key].astype(np.float64) for key in archive.files}
    return found


@pytest.mark.parametrize("name", ["features", "lowrank_features"])
def test_rank_me_is_the_references(numbers, name):
    expected = float(numbers[f"rankme/{name}/stable_pretraining_float64"])
    assert rank_me(torch.tensor(numbers[name])) == pytest.approx(expected, rel=5e-6)  # its singular values are float32


@pytest.mark.parametrize("ranks", [(4, 100), (6, 50), (12, 50), (12, 100)])
def test_alpha_req_is_the_references(numbers, ranks):
    expected = float(numbers[f"alphareq/ranks{ranks[0]}-{ranks[1]}/alpha"])
    assert alpha_req(torch.tensor(numbers["features"]), ranks) == pytest.approx(expected, abs=1e-8)


def with_spectrum(values: np.ndarray, count: int = 400) -> torch.Tensor:
    """Centred features whose covariance has these eigenvalues, up to a factor."""
    draw = np.random.default_rng(0)
    left = draw.normal(size=(count, len(values)))
    left, _ = np.linalg.qr(left - left.mean(0))
    right, _ = np.linalg.qr(draw.normal(size=(len(values), len(values))))
    return torch.tensor(left * np.sqrt(values) @ right.T)


@pytest.mark.parametrize("alpha", [0.5, 1.0, 2.0])
def test_a_power_law_gives_its_exponent(alpha):
    spectrum = np.arange(1, 65.0) ** -alpha
    assert alpha_req(with_spectrum(spectrum)) == pytest.approx(alpha, abs=1e-6)


def test_rank_of_equal_directions_is_their_number():
    assert rank_me(with_spectrum(np.ones(64))) == pytest.approx(64, rel=5e-3)  # the epsilon adds a little
    assert rank_me(with_spectrum(np.r_[np.ones(8), np.full(56, 1e-20)])) == pytest.approx(8, rel=1e-2)


def test_what_cannot_be_measured():
    assert alpha_req(torch.randn(100, 49)) is None  # fewer directions than the fit looks at
    assert alpha_req(with_spectrum(np.r_[np.ones(8), np.zeros(56)])) is None
    with pytest.raises(InputError, match="collapsed"):
        rank_me(torch.zeros(10, 4))
    with pytest.raises(InputError, match="1 of 3 pictures hold NaN"):
        rank_me(torch.tensor([[1.0], [torch.nan], [2.0]]))
