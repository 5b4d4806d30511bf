"""What Swin and ResNet share: four stages of maps, a pooled class feature, masks and patches coarser than the tokens.

The mask has one cell for 4 x 4 positions of the first stage's map, 16 x 16 pixels at stride 4 (14 x 14 cells for 224
pixels), and the patches are the last map upsampled by 2, so that both lie on one grid.
"""

from math import ceil

from torch import Tensor, nn

from poa_bench.elastic.family import Family, Output, masked_where

_CELL = 4  # positions of the first map along one side of a mask cell
_LAST = 8  # stride of the last map in positions of the first
_UPSAMPLING = _LAST // _CELL


class PyramidFamily(Family):
    """A family whose network halves its map three times and has no class token.

    Attributes:
        channels: axis of the channels in the maps.
    """

    pool = "avg"
    channels: int

    def split(self, features: Tensor) -> Output:
        """Class feature: the mean of the last map. Patches: the same map, each position repeated 2 x 2 times."""
        last = features.movedim(self.channels, -1)  # (B, rows, columns, c)
        patches = last.repeat_interleave(_UPSAMPLING, 1).repeat_interleave(_UPSAMPLING, 2)
        return Output(last.mean((1, 2)), patches.flatten(1, 2))

    def grid(self, network: nn.Module, height: int, width: int) -> tuple[int, int]:
        stride = self.patch_size(network)
        return mask_grid(ceil(height / stride), ceil(width / stride))

    def apply_mask(self, embedded: Tensor, mask: Tensor, mask_token: Tensor) -> Tensor:
        first = embedded.movedim(self.channels, -1)  # (B, rows, columns, c)
        rows, columns = first.shape[1:3]
        cells = mask.view(-1, *mask_grid(rows, columns)).repeat_interleave(_CELL, 1).repeat_interleave(_CELL, 2)
        return masked_where(first, cells[:, :rows, :columns], mask_token).movedim(-1, self.channels)


def mask_grid(rows: int, columns: int) -> tuple[int, int]:
    """Cells that cover a first map of rows x columns positions, as many as the upsampled last map has."""
    return _UPSAMPLING * ceil(rows / _LAST), _UPSAMPLING * ceil(columns / _LAST)
