"""What Swin and ResNet share: four stages of maps, a pooled class feature, masks and patches coarser than the tokens.

The patches are the last map upsampled by 2, and the mask has one cell for each of them: with the usual strides of 4 and
32 pixels it has 14 x 14 cells of 16 x 16 pixels for an image of 224, each of 4 x 4 positions of the first stage's map.
"""

from math import ceil

from torch import Tensor, nn

from poa_bench.elastic.family import Family, Output, masked_where

_UPSAMPLING = 2


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
        return _cells(ceil(height / stride), ceil(width / stride), self._ratio(network))

    def apply_mask(self, network: nn.Module, embedded: Tensor, mask: Tensor, mask_token: Tensor) -> Tensor:
        first, ratio = embedded.movedim(self.channels, -1), self._ratio(network)  # (B, rows, columns, c)
        rows, columns = first.shape[1:3]
        side = ratio // _UPSAMPLING
        positions = mask.view(-1, *_cells(rows, columns, ratio)).repeat_interleave(side, 1).repeat_interleave(side, 2)
        return masked_where(first, positions[:, :rows, :columns], mask_token).movedim(-1, self.channels)

    def _ratio(self, network: nn.Module) -> int:
        """Positions of the first map along one side of a position of the last."""
        return network.feature_info[-1]["reduction"] // self.patch_size(network)


def _cells(rows: int, columns: int, ratio: int) -> tuple[int, int]:
    """Rows and columns of cells that cover a first map of rows x columns positions."""
    return _UPSAMPLING * ceil(rows / ratio), _UPSAMPLING * ceil(columns / ratio)
