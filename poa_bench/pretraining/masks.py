"""Which patches the students do not see: iBOT's block masks, in DINOv2's amounts.

A mask depends on (seed, stream, iteration, place in the global batch) and on the number of groups that the amounts are
drawn for, not on workers.
"""

import math
from collections.abc import Sequence

import numpy as np

from poa_bench.errors import InputError

_LOG_ASPECT = (math.log(0.3), math.log(1 / 0.3))
_LEAST_PATCHES = 4  # of a block
_TRIES = 10  # to place a block


def block_mask(grid: tuple[int, int], count: int, rng: np.random.Generator) -> np.ndarray:
    """Cover about ``count`` patches by rectangles (BEiT, algorithm 1, as in iBOT and DINOv2).

    Args:
        grid: (rows, columns) of patches.
        count: patches to cover; never more are, a few may be missing where no further block fits.
        rng: source of the blocks' area (4 patches or more), aspect ratio (0.3 to 1/0.3) and place.

    Returns:
        (rows, columns) bool, True where covered.
    """
    mask = np.zeros(grid, bool)
    while (missing := count - int(mask.sum())) > 0:
        if not _add_block(mask, missing, rng):
            break
    return mask


def _add_block(mask: np.ndarray, most: int, rng: np.random.Generator) -> bool:
    """Cover a rectangle that adds 1 to ``most`` patches; return whether one was found."""
    rows, columns = mask.shape
    for _ in range(_TRIES):
        # with fewer than _LEAST_PATCHES missing the bounds are in reverse order: areas in between, as in the original
        area = rng.uniform(*sorted((_LEAST_PATCHES, most)))
        root = math.exp(rng.uniform(*_LOG_ASPECT) / 2)
        height, width = round(math.sqrt(area) * root), round(math.sqrt(area) / root)
        if not (0 < height < rows and 0 < width < columns):
            continue
        top, left = rng.integers(rows - height + 1), rng.integers(columns - width + 1)
        block = mask[top : top + height, left : left + width]
        if 0 < block.size - int(block.sum()) <= most:
            block[:] = True
            return True
    return False


def batch_masks(
    grid: tuple[int, int],
    places: Sequence[int],
    total: int,
    key: Sequence[int],
    probability: float = 0.5,
    ratio: tuple[float, float] = (0.1, 0.5),
    groups: int = 1,
) -> np.ndarray:
    """Return the masks of some images of a global batch.

    Of each group of n images, ``int(probability * n)`` are masked, which ones is drawn; their shares of covered patches
    are spread evenly over ``ratio`` (one random share in each of as many equal intervals). So the covered patches of a
    group are almost the same in number each time.

    Args:
        grid: (rows, columns) of patches.
        places: the wanted images' places in the global batch, each below ``total``.
        total: images of the global batch, all ranks and views.
        key: numbers the randomness depends on, e.g. (seed, stream, iteration).
        probability: share of masked images.
        ratio: least and greatest share of covered patches in a masked image.
        groups: the image at place p belongs to group p modulo groups; they must divide ``total``.

    Returns:
        (len(places), rows * columns) bool, True where the patch is hidden.

    Raises:
        InputError: a share outside [0, 1], a ratio that does not ascend, or groups that do not divide the images.
    """
    if not (0 <= probability <= 1 and 0 <= ratio[0] <= ratio[1] <= 1):
        raise InputError(
            f"train_dataloader.collate_fn: mask_probability {probability} and mask_ratio {tuple(ratio)} must lie in "
            "[0, 1], and the ratio has to ascend"
        )
    if groups < 1 or total % groups:
        raise InputError(f"train_dataloader.collate_fn: mask_groups is {groups}, but has to divide the {total} crops")
    rng = np.random.default_rng([*key, 0])
    counts = np.zeros((total // groups, groups), np.int64)  # the places in order
    masked = int(len(counts) * probability)
    edges = np.linspace(*ratio, masked + 1)
    for group in counts.T:
        group[:masked] = rng.uniform(edges[:-1], edges[1:]) * grid[0] * grid[1]
        group[:] = rng.permutation(group)
    counts = counts.flatten()
    masks = [block_mask(grid, int(counts[place]), np.random.default_rng([*key, 1 + place])) for place in places]
    return np.stack(masks).reshape(len(masks), -1)
