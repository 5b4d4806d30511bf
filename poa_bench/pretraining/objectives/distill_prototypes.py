"""DINOv3's way to distil: POA's terms, with the targets of a frozen teacher's own heads and prototypes."""

from typing import Any

import torch
from torch import Tensor

from poa_bench.config_values import check_call
from poa_bench.elastic import load_supernet
from poa_bench.elastic.branch import Branch as BranchName
from poa_bench.elastic.macs import count_macs
from poa_bench.elastic.preprocessing import differing
from poa_bench.elastic.training_checkpoint import read_training_checkpoint
from poa_bench.errors import InputError
from poa_bench.files import unchanged
from poa_bench.pretraining.objective import BatchShape, Branch, Pass
from poa_bench.pretraining.objectives.poa import POA
from poa_bench.pretraining.targets import biased_softmax
from poa_bench.pretraining.teachers import load_head
from poa_bench.registry import MODELS


def load_branch(checkpoint: str | None = None, *, branch: BranchName | None = None) -> Branch:
    """The intact network and the heads of a POA pre-training, frozen.

    Args:
        checkpoint: of the training.
        branch: see `load_supernet`.

    Raises:
        InputError: none is given, or it cannot be read or has no heads with prototypes.
    """
    if checkpoint is None:
        raise InputError("model.teacher names no network: give model.teacher.checkpoint=FILE, of a POA pre-training")
    with unchanged(checkpoint):
        found = Branch(load_supernet(checkpoint, branch), load_head(checkpoint, branch))
    return found.eval().requires_grad_(False)


@MODELS.register_module()
class DistillPrototypes(POA):
    """Pre-training of a supernet whose students predict what a frozen teacher assigns to its own prototypes.

    Every term of POA stays: class features of the other view, of local crops, masked patches, the intact student as the
    drawn one's target, KoLeo. The student has heads of its own, with as many prototypes as the teacher's. mmengine's
    ``EMAHook`` gives the moving average of the student that DINOv3 ships.

    Args:
        backbone: config of a ``poa_bench.Supernet``, with the teacher's grid of patches.
        teacher: arguments of `load_branch`.
        head: config of a ``poa_bench.ProjectionHead``; prototypes and bottleneck are filled in.
        variant: ``poa`` (all sizes) or ``intact`` (one).
        options: the others of `POA`.

    Raises:
        InputError: another variant, or a teacher that does not fit: another normalisation of pictures or grid.
    """

    frozen = ("teacher",)
    branches = ("student",)
    evaluated_branch = "student"

    def __init__(
        self,
        backbone: dict[str, Any],
        teacher: dict[str, Any],
        head: dict[str, Any],
        variant: str = "poa",
        data_preprocessor: dict[str, Any] | None = None,
        **options: Any,
    ):
        if variant not in ("poa", "intact"):
            raise InputError(f"model.variant is {variant!r}: with a frozen teacher it is 'poa' or 'intact'")
        check_call("model.teacher", load_branch, teacher)
        costs_only = teacher.get("checkpoint") is None and torch.empty(0).is_meta  # as large as the student
        frozen = None if costs_only else load_branch(**teacher)
        if frozen is not None:
            rows = frozen.head.prototypes()
            head = {**head, "prototypes": [len(one) for one in rows], "bottleneck_features": rows[0].shape[1]}
        super().__init__(backbone, head, variant=variant, data_preprocessor=data_preprocessor, **options)
        if frozen is not None:
            self.teacher = frozen
        self.teacher_sha256 = frozen and frozen.backbone.source_sha256
        self._compute = None if costs_only else read_training_checkpoint(teacher["checkpoint"])["meta"].get("compute")
        self._check_teacher()

    def _check_teacher(self) -> None:
        side = self.supernet.image_size or 224
        grids = [net.patch_grid(side, side) for net in (self.supernet, self.teacher.backbone)]
        if grids[0] != grids[1]:
            raise InputError(
                f"the teacher has {grids[1]} patches where the student has {grids[0]}, and masked patches are learned "
                "place by place: choose model.backbone.patch_size so that they agree, or distil with poa_bench.Distill"
            )
        said = self.teacher.backbone.preprocessing
        own = getattr(self.data_preprocessor, "normalisation", {})
        if said and (other := differing(own, said.to_dict())):
            raise InputError(
                f"the teacher was trained with another normalisation: now {other}; set model.data_preprocessor"
            )

    def after_update(self) -> None:
        """The teacher stays as it is."""

    def watch(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """The student's class features, and the teacher's targets of its first head, before balancing."""
        rows = self.teacher.head(self.teacher.backbone(images).cls)[0]
        targets = biased_softmax(rows, self.teacher.head.prototypes()[0], self.settings.teacher_temperature, None)
        return self.supernet(images).cls, targets

    def passes(self) -> list[Pass]:
        """The students'; the teacher is another network, see `other_operations`."""
        return [one for one in super().passes() if one.trained]

    def other_operations(self, shape: BatchShape, elastic_width: float) -> dict[str, float]:
        """As POA's, and of the teacher on whole global crops."""
        operations = super().other_operations(shape, elastic_width)
        rows = 2 + shape.masked
        operations["heads"] += 2 * rows * (self.teacher.head.macs() - self.student.head.macs())
        return {"teacher": 2 * 2 * count_macs(self.teacher.backbone.network, shape.global_size), **operations}

    def teacher_compute(self) -> dict[str, Any] | None:
        """Of the teacher's checkpoint."""
        return self._compute

    def describe(self) -> dict[str, Any]:
        """Type, branches, and the teacher by size and SHA-256 of its file."""
        size = f"{self.teacher.backbone.space.intact}"
        return {**super().describe(), "teacher": size, "teacher_sha256": self.teacher_sha256}
