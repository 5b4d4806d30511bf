"""MAE: the pixels of hidden patches from the visible ones (arXiv 2111.06377); intact network and a drawn size."""

from typing import Any

import torch
from torch import Tensor

from poa_bench.errors import InputError
from poa_bench.pretraining.objective import BatchShape, Branch, Crops, Objective, Pass, StepSettings
from poa_bench.pretraining.pixels import Hidden, hide, pixel_loss, visible_count
from poa_bench.pretraining.students import Students
from poa_bench.registry import MODELS


@MODELS.register_module()
class MAE(Objective):
    """Pre-training of a supernet, or of one size, by reconstruction, for mmengine's Runner.

    Every size is an encoder that computes the visible patches alone; all have one decoder. The two global crops of a
    picture count as two pictures; masks of the batch are not used, each crop has the same number of hidden patches.

    Args:
        backbone: config of a ``poa_bench.Supernet`` of a family that can leave patches out; one size alone is a space
            with one width and one depth.
        head: config of a ``poa_bench.PixelDecoder``; ``in_features`` and ``patch_size`` are filled in.
        mask_ratio: share of hidden patches.
        normalised: whether pixels are normalised patch by patch.
        students: as of ``Distill``; all of a step see the same patches.
        lambda_intact: share of the intact student, the others have the rest (as in POA, eq. 10).
        checkpoint_activations: recompute block activations in backward.
        compile_blocks: run the networks' blocks through ``torch.compile``.
        data_preprocessor: config of a ``poa_bench.MultiCropPreprocessor``.

    Raises:
        InputError: a value that is not allowed, or a family that needs whole images.
    """

    def __init__(
        self,
        backbone: dict[str, Any],
        head: dict[str, Any],
        mask_ratio: float = 0.75,
        normalised: bool = True,
        students: str = "pair",
        lambda_intact: float = 0.5,
        checkpoint_activations: bool = False,
        compile_blocks: bool = False,
        data_preprocessor: dict[str, Any] | None = None,
    ):
        super().__init__(data_preprocessor)
        if not (0 < lambda_intact < 1 and 0 < mask_ratio < 1):
            raise InputError(
                f"model.lambda_intact is {lambda_intact} and model.mask_ratio {mask_ratio}: both must lie between 0 "
                "and 1"
            )
        self.students = Students.by_rule(students, lambda_intact)
        self.drawn = self.students.drawn
        supernet = MODELS.build(backbone)
        supernet.family.check_visible()
        supernet.set_grad_checkpointing(checkpoint_activations)
        supernet.mask_token.requires_grad_(False)  # the decoder has one of its own
        self.patch_size = supernet.family.patch_size(supernet.network)
        filled_in = {"in_features": supernet.width(), "patch_size": self.patch_size}
        self.student = Branch(supernet, MODELS.build({"alpha": supernet.alpha, **head, **filled_in}))
        if compile_blocks:
            supernet.compile_blocks()
        self.mask_ratio, self.normalised = mask_ratio, normalised

    def loss(self, crops: Crops, settings: StepSettings) -> dict[str, Tensor]:
        """Every student's error over the hidden pixels of both global crops.

        Returns:
            ``loss``, the differentiable total, and the unweighted ``intact_pixels`` and ``elastic_pixels``.
        """
        images = crops.global_crops
        grid = self._grid(images)
        hidden = hide(torch.rand(len(images), grid[0] * grid[1], device=images.device), self.mask_ratio)
        errors = {}
        for name, size in self.students.sizes(self.supernet.space, self.drawn_sizes(settings)).items():
            found = self.reconstruct(self.supernet.bind(size), images, hidden)
            with torch.autocast(images.device.type, enabled=False):
                errors[name] = pixel_loss(found, images, hidden.hidden, self.patch_size, self.normalised)
        total = sum(share * errors[name] for name, share in self.students.shares.items())
        return {"loss": total} | {f"{name}_pixels": value.detach() for name, value in errors.items()}

    def reconstruct(self, network: Any, images: Tensor, hidden: Hidden) -> Tensor:
        """The pixels (B, N, 3 p^2) that a network from `Supernet.bind` and the decoder find for images (B, 3, H, W)."""
        output = network(images, visible=hidden.visible)
        return self.student.head(output.cls, output.patches, hidden.restore, self._grid(images))

    def passes(self) -> list[Pass]:
        """Each student computes the visible patches of both global crops."""
        sizes = self.students.expected_sizes(self.supernet.space)
        visible = 1 - self.mask_ratio
        return [Pass(f"{name} student", sizes[name], local=False, visible=visible) for name in sizes]

    def other_operations(self, shape: BatchShape, elastic_width: float) -> dict[str, float]:
        """Of the decoder, once for each student: three products each."""
        widths = self.students.expected_widths(self.supernet, elastic_width)
        visible = visible_count(shape.patches, self.mask_ratio)
        macs = sum(self.student.head.macs(shape.patches, visible, width) for width in widths.values())
        return {"decoder": 2 * 2 * 3 * macs}

    def _grid(self, images: Tensor) -> tuple[int, int]:
        height, width = images.shape[-2:]
        if height % self.patch_size or width % self.patch_size:
            raise InputError(
                f"crops have {height} x {width} pixels: MAE needs multiples of the patches' {self.patch_size}, set "
                "global_size of poa_bench.MultiCrop"
            )
        return self.supernet.patch_grid(height, width)
