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


@pytest.mark.parametrize("groups", [1, 2, 8])
def test_each_group_has_the_amounts(groups):
    """As many masked images and almost as many hidden patches in each group, whatever is drawn."""
    hidden = []
    for iteration in range(20):
        masks = batch_masks((14, 14), range(64), 64, (0, 0, iteration), groups=groups)
        dealt = masks.reshape(64 // groups, groups, -1)
        assert (dealt.any(axis=2).sum(axis=0) == 32 // groups).all()
        hidden.append(dealt.sum(axis=(0, 2)))
    # one share from each of n intervals of [0.1, 0.5]: a standard deviation of 0.4 / sqrt(12 n), and missing blocks
    count = 32 // groups
    deviation = 196 * 0.4 / np.sqrt(12 * count)
    assert np.std(hidden) < 1.5 * deviation
    if groups == 8:  # groups of a batch that is drawn as a whole differ far more: memory does, too
        whole = [batch_masks((14, 14), range(0, 64, 8), 64, (0, 0, iteration)).sum() for iteration in range(20)]
        assert np.std(whole) > 4 * np.std(hidden)


@pytest.mark.parametrize(("probability", "masked"), [(0.0, 0), (0.25, 4), (1.0, 16)])
def test_the_share_of_masked_images(probability, masked):
    masks = batch_masks((8, 8), range(16), 16, (0,), probability)
    assert masks.any(axis=1).sum() == masked


@pytest.mark.parametrize("groups", [0, 3])
def test_groups_divide_the_batch(groups):
    with pytest.raises(InputError, match="has to divide the 16 crops"):
        batch_masks((8, 8), range(4), 16, (0,), groups=groups)


@pytest.mark.parametrize("options", [{"probability": 1.5}, {"ratio": (0.5, 0.1)}, {"ratio": (0.1, 1.5)}])
def test_wrong_shares_are_refused(options):
    with pytest.raises(InputError, match=r"must lie in \[0, 1\]"):
        batch_masks((8, 8), range(4), 4, (0,), **options)
