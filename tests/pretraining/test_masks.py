"""Block masks: amounts, shares over the batch, dependence on the key alone."""

import numpy as np
import pytest

from poa_bench.errors import InputError
from poa_bench.pretraining.masks import batch_masks, block_mask


@pytest.mark.parametrize("grid", [(8, 8), (14, 14), (4, 12)])
@pytest.mark.parametrize("share", [0.1, 0.3, 0.5])
def test_a_mask_covers_at_most_and_nearly_what_is_asked(grid, share):
    count = int(share * grid[0] * grid[1])
    covered = [block_mask(grid, count, np.random.default_rng(i)).sum() for i in range(50)]
    assert max(covered) <= count
    assert np.mean(covered) > 0.85 * count


def test_a_mask_is_made_of_blocks():
    """Masked patches touch masked patches far more often than scattered ones would (share 0.3: 30 %)."""
    masks = [block_mask((14, 14), 59, np.random.default_rng(i)) for i in range(50)]
    beside = np.mean([mask[:, 1:][mask[:, :-1]].mean() for mask in masks])
    assert beside > 0.6


def test_an_empty_mask():
    assert not block_mask((4, 4), 0, np.random.default_rng(0)).any()


def test_shares_are_spread_linearly_over_the_batch():
    masks = batch_masks((14, 14), range(64), 64, key=(0, 0, 5))
    shares = np.sort(masks.mean(axis=1))
    assert (shares[:32] == 0).all()
    # one share from each of 32 equal intervals of [0.1, 0.5]; rounding down and a missing block take up to 3 %
    upper = np.linspace(0.1, 0.5, 33)[1:]
    assert (shares[32:] <= upper + 1e-9).all()
    assert np.abs(shares[32:] - (upper - 0.4 / 64)).mean() < 0.03


def test_masks_depend_on_the_key_and_the_place_alone():
    whole = batch_masks((8, 8), range(16), 16, key=(1, 0, 2))
    parts = [batch_masks((8, 8), range(rank, 16, 2), 16, key=(1, 0, 2)) for rank in range(2)]
    assert (whole[0::2] == parts[0]).all() and (whole[1::2] == parts[1]).all()
    assert (whole != batch_masks((8, 8), range(16), 16, key=(1, 0, 3))).any()
    assert (whole != batch_masks((8, 8), range(16), 16, key=(2, 0, 2))).any()


@pytest.mark.parametrize(("probability", "masked"), [(0.0, 0), (0.25, 4), (1.0, 16)])
def test_the_share_of_masked_images(probability, masked):
    masks = batch_masks((8, 8), range(16), 16, (0,), probability)
    assert masks.any(axis=1).sum() == masked


@pytest.mark.parametrize("options", [{"probability": 1.5}, {"ratio": (0.5, 0.1)}, {"ratio": (0.1, 1.5)}])
def test_wrong_shares_are_refused(options):
    with pytest.raises(InputError, match=r"must lie in \[0, 1\]"):
        batch_masks((8, 8), range(4), 4, (0,), **options)
