"""From the batch of the data loader to normalised crops on the device."""

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from mmengine.model import BaseDataPreprocessor
from torch import Tensor

from poa_bench.elastic.preprocessing import IMAGENET_MEAN, IMAGENET_STD, Preprocessing
from poa_bench.errors import InputError
from poa_bench.pretraining import photometric
from poa_bench.registry import MODELS


@MODELS.register_module()
class MultiCropPreprocessor(BaseDataPreprocessor):
    """Moves a batch of ``collate_crops`` to the device, applies the photometric part left to it, and normalises.

    Args:
        mean: per channel, of pixels in 0..255.
        std: per channel.
        crop_share: nothing that training does: how whole pictures are to be cropped when its networks are used, see
            ``Preprocessing``; checkpoints say it.
    """

    def __init__(
        self,
        mean: Sequence[float] = IMAGENET_MEAN,
        std: Sequence[float] = IMAGENET_STD,
        crop_share: float = Preprocessing.crop_share,
    ):
        super().__init__(non_blocking=True)
        if not 0 < crop_share <= 1:
            raise InputError(f"data_preprocessor.crop_share is {crop_share}: it must be above 0 and at most 1")
        self.normalisation = {"mean": tuple(mean), "std": tuple(std)}
        self.crop_share = crop_share
        self.register_buffer("mean", torch.tensor(mean).view(-1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(-1, 1, 1), persistent=False)

    def describe(self, transforms: Iterable[Any], image_size: int | None = None) -> Preprocessing | None:
        """What this training does with its pictures.

        Args:
            transforms: of the data set; the one that cuts crops says their size and how they are resized.
            image_size: of the crops where no transform says it.

        Returns:
            None if nobody says the size.
        """
        crop = next((transform for transform in transforms if hasattr(transform, "global_size")), None)
        size = getattr(crop, "global_size", image_size)
        interpolation = getattr(crop, "interpolation", Preprocessing.interpolation)
        return size and Preprocessing(
            **self.normalisation, image_size=size, interpolation=interpolation, crop_share=self.crop_share
        )

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
