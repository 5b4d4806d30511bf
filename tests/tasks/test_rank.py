"""RankMe and alpha-ReQ: the references' numbers, and spectra that are known."""

import numpy as np
import pytest
import torch

from poa_bench.downstream.features import Place, normalised
from poa_bench.downstream.images import EvaluationData
from poa_bench.downstream.spectrum import alpha_req, lidar, rank_me
from poa_bench.downstream.training_crops import TrainingCrops, order_of
from poa_bench.downstream.view_statistics import view_statistics
from poa_bench.errors import InputError
from poa_bench.sweep.light import evaluate_checkpoint
from tests.conftest import golden
from tests.downstream.networks import tiny_supernet, write_checkpoint
from tests.tasks.test_light import DATA


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


def lidar_of(views: np.ndarray) -> float:
    """Of features of views (J, q, D), the covariances by numpy."""
    within = sum(np.cov(own.T) for own in views) / len(views)
    return lidar(torch.tensor(views.mean(1)), torch.tensor(within))


def test_lidar_is_the_references():
    with np.load(golden("baselines/rank_lidar.npz")) as numbers:
        views = numbers["lidar_features"]
        assert lidar_of(views.reshape(40, 10, 24)) == pytest.approx(float(numbers["lidar/default_lidar"]), rel=1e-8)
        mixed = lidar_of(views[numbers["lidar/shuffle_order"]].reshape(40, 10, 24))
        assert mixed == pytest.approx(float(numbers["lidar/shuffled_lidar"]), rel=1e-8)


def test_lidar_counts_the_directions_in_which_pictures_differ():
    draw = np.random.default_rng(0)
    for directions in (3, 8):
        pictures = np.zeros((4000, 1, 16))
        pictures[..., :directions] = 10 * draw.normal(size=(4000, 1, directions))
        assert lidar_of(pictures + 0.01 * draw.normal(size=(4000, 5, 16))) == pytest.approx(directions, rel=0.02)
    with pytest.raises(InputError, match="collapsed"):
        lidar(torch.ones(5, 3), torch.eye(3))


@pytest.mark.parametrize("family", ["vit", "swin", "resnet"])
def test_lidar_of_a_size_is_that_of_its_own_features(family, tmp_path):
    """The views by `TrainingCrops`, the features by the supernet; a part of train, in another order every time."""
    size, kept = {"vit": 32, "swin": 64, "resnet": 32}[family], 'split="train", indices=list(range(0, 2000, 8))'
    path = tmp_path / "few_digits.py"
    path.write_text(
        DATA.replace(kept, 'split="train", indices=list(range(0, 120, 4))').replace(
            "image_size=32", f"image_size={size}, resize={size}"
        )
    )
    net = tiny_supernet(family)
    checkpoint = write_checkpoint(net, tmp_path / "epoch_1.pth")
    (result,) = evaluate_checkpoint(
        str(checkpoint),
        str(path),
        tmp_path / "results",
        tasks=["rank"],
        protocols=["rank-lidar-n20-q4/1"],
        specs=["smallest"],
    )
    data = EvaluationData.load(path).resolved(None)
    chosen = torch.randperm(30, generator=torch.Generator().manual_seed(0))[:20].tolist()
    crops = TrainingCrops(data.splits["train"], chosen, 80, 0)
    by_picture = {}
    for number in range(80):
        with torch.no_grad():
            view, _ = crops[number]
            cls = net.bind(net.space.smallest)(normalised(view[None], data, "cpu")).cls[0]
        by_picture.setdefault(int(order_of(0, number // 20, 20)[number % 20]), []).append(cls.double().numpy())
    views = np.stack([np.stack(by_picture[place]) for place in range(20)])
    expected = lidar_of(views)
    ((means, within),) = view_statistics(
        {0: net.extract(net.space.smallest).eval()}, data, 20, 4, 0, Place(), {}
    ).values()
    np.testing.assert_allclose(means, views.mean(1), atol=1e-4)
    largest = np.abs(within.numpy()).max()
    np.testing.assert_allclose(within, np.mean([np.cov(own.T) for own in views], 0), atol=1e-3 * largest)
    assert result.metrics["lidar"] == pytest.approx(expected, rel=1e-3)
    width = result.facts["width"]
    assert (
        result.metrics["lidar_share"] == pytest.approx(100 * result.metrics["lidar"] / width)
        and result.split == "train"
    )
    assert result.facts["images"] == 20 and expected < 19.5
