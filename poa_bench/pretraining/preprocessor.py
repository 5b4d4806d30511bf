"""From the batch of the data loader to normalised crops on the device."""

from collections.abc import Sequence

import torch
from mmengine.model import BaseDataPreprocessor
from torch import Tensor

from poa_bench.pretraining import photometric
from poa_bench.registry import MODELS


@MODELS.register_module()
class MultiCropPreprocessor(BaseDataPreprocessor):
    """Moves a batch of ``collate_crops`` to the device, applies the photometric part left to it, and normalises.

    Args:
        mean: per channel, of pixels in 0..255.
        std: per channel.
    """

    def __init__(
        self, mean: Sequence[float] = (123.675, 116.28, 103.53), std: Sequence[float] = (58.395, 57.12, 57.375)
    ):
        super().__init__(non_blocking=True)
        self.register_buffer("mean", torch.tensor(mean).view(-1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(-1, 1, 1), persistent=False)

    def forward(self, data: dict, training: bool = False) -> dict:
        """``inputs.global_crops`` and ``inputs.local_crops`` (n, 3, h, w) uint8 become normalised float32."""
        # what decides which images change stays on the CPU, and so do the names, thousands of Python objects
        rows = {key: value for key, value in data["inputs"].items() if key.startswith("photometric_")}
        inputs = self.cast_data({key: value for key, value in data["inputs"].items() if key not in rows})
        for kind in ("global", "local"):
            inputs[f"{kind}_crops"] = self._normalise(inputs[f"{kind}_crops"], rows.get(f"photometric_{kind}"))
        return {**data, "inputs": inputs}

    def _normalise(self, images: Tensor, rows: Tensor | None) -> Tensor:
        images = images.float() if rows is None else photometric.change_batch(images, rows) * 255
        return (images - self.mean) / self.std
