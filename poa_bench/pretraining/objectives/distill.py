"""Distillation: the intact network and a drawn size learn from a frozen teacher, so that every size does."""

from typing import Any

import torch
from torch import Tensor

from poa_bench.config_values import check_call
from poa_bench.elastic.macs import count_macs
from poa_bench.errors import InputError
from poa_bench.pretraining.objective import BatchShape, Branch, Crops, Objective, Pass, StepSettings
from poa_bench.pretraining.rows import places_of_masked
from poa_bench.pretraining.students import Students
from poa_bench.pretraining.teachers import load_teacher
from poa_bench.registry import MODELS


@MODELS.register_module()
class Distill(Objective):
    """Pre-training of a supernet, or of one size, by a network that exists already.

    What is learned, and how it is compared, is the head's: `FeatureMatching` (Proteus) or `QueueSimilarity` (SEED).

    Args:
        backbone: config of a ``poa_bench.Supernet``; one size alone is a space with one width and one depth.
        teacher: arguments of `load_teacher`.
        head: config of the head; ``in_features`` and ``teacher`` are filled in.
        students: which networks a step trains: ``pair``, the intact one and a drawn size; ``intact``; ``single-path``,
            a drawn size; ``sandwich``, the intact one, the smallest and two drawn sizes.
        lambda_intact: share of the intact student, the others have the rest (as in POA, eq. 10).
        from_teacher: how much the comparison of the others with the teacher counts; 0 leaves it out.
        same_view: how much their comparison with the intact student counts (as POA's ES2); with ``from_teacher=0`` it
            is the in-place distillation of US-Net and BigNAS.
        checkpoint_activations: recompute block activations in backward.
        compile_blocks: run the networks' blocks through ``torch.compile``.
        data_preprocessor: config of a ``poa_bench.MultiCropPreprocessor``; a teacher that was trained with another mean
            and deviation sees crops normalised by its own.

    Raises:
        InputError: a value that is not allowed, or a teacher that cannot be loaded.
    """

    frozen = ("teacher",)

    def __init__(
        self,
        backbone: dict[str, Any],
        teacher: dict[str, Any],
        head: dict[str, Any],
        students: str = "pair",
        lambda_intact: float = 0.5,
        from_teacher: float = 1.0,
        same_view: float = 0.0,
        checkpoint_activations: bool = False,
        compile_blocks: bool = False,
        data_preprocessor: dict[str, Any] | None = None,
    ):
        super().__init__(data_preprocessor)
        self.students = Students.by_rule(students, lambda_intact)
        self.drawn = self.students.drawn
        if not 0 < lambda_intact < 1 or min(from_teacher, same_view) < 0:
            raise InputError(
                f"model.lambda_intact is {lambda_intact}, model.from_teacher {from_teacher} and model.same_view "
                f"{same_view}: the first must lie between 0 and 1, the others must not be below 0"
            )
        alone = len(self.students.shares) == 1
        if alone and (from_teacher != 1 or same_view) or not alone and not from_teacher + same_view:
            raise InputError(
                f"model.from_teacher is {from_teacher}, model.same_view {same_view}, model.students {students!r}: one "
                "student alone has nobody else to learn from (1 and 0), of several nobody may be without"
            )
        supernet = MODELS.build(backbone)
        supernet.set_grad_checkpointing(checkpoint_activations)
        check_call("model.teacher", load_teacher, teacher)
        self.teacher = load_teacher(**teacher, like=supernet)
        if hasattr(self.data_preprocessor, "mean"):
            self.teacher.see_what(self.data_preprocessor.mean, self.data_preprocessor.std)
        self.student = Branch(
            supernet, MODELS.build({**head, "in_features": supernet.width(), "teacher": self.teacher})
        )
        if not self.student.head.masks:
            supernet.mask_token.requires_grad_(False)  # of several processes, each waits for every gradient
        if compile_blocks:
            supernet.compile_blocks()
        self.from_teacher, self.same_view = from_teacher, same_view

    def loss(self, crops: Crops, settings: StepSettings) -> dict[str, Tensor]:
        """Every student's terms with the teacher, and those of others than the intact one with that.

        Returns:
            ``loss``, the differentiable total, and the unweighted terms: ``intact_cls``, ``elastic_same_cls``, ...
        """
        head = self.student.head
        sizes = self.students.sizes(self.supernet.space, self.drawn_sizes(settings))
        grid = self.supernet.patch_grid(*crops.global_crops.shape[-2:])
        masked = places_of_masked(crops.masks) if head.masks else None
        with torch.no_grad():
            target = head.target(self.teacher, crops, grid, masked)
        found = {name: head.find(self.supernet.bind(size), crops, masked) for name, size in sizes.items()}
        terms = {}
        with torch.autocast(crops.global_crops.device.type, enabled=False):
            for name, share in self.students.shares.items():
                alone = name == "intact" or "intact" not in found
                if weight := share * (1.0 if alone else self.from_teacher):
                    terms |= _named(name, weight, head, head.compare(found[name], target))
                if not alone and self.same_view:
                    same = head.compare(found[name], target, found["intact"])
                    terms |= _named(f"{name}_same", self.same_view * share, head, same)
        head.remember(target)
        total = torch.stack([weight * value for weight, value in terms.values()]).sum()
        return {"loss": total} | {name: value.detach() for name, (_, value) in terms.items()}

    def passes(self) -> list[Pass]:
        """The students'; with masked patches each runs a second time."""
        head, sizes = self.student.head, self.students.expected_sizes(self.supernet.space)
        students = [Pass(f"{name} student", sizes[name], local=head.sees_local_crops) for name in sizes]
        masked = [Pass(f"{name} student, masked", sizes[name], local=False) for name in sizes]
        return students + (masked if head.masks else [])

    def other_operations(self, shape: BatchShape, elastic_width: float) -> dict[str, float]:
        """Of the teacher, which sees what the students see, unmasked, and of the heads: three products each."""
        local = {shape.local_size: shape.local_count} if self.student.head.sees_local_crops else {}
        crops = {shape.global_size: 2, **local}
        teacher = sum(count * count_macs(self.teacher.network, size) for size, count in crops.items())
        widths = self.students.expected_widths(self.supernet, elastic_width)
        heads = sum(self.student.head.macs(shape, width) for width in widths.values())
        return {"teacher": 2 * teacher, "heads": 6 * heads}

    def teacher_compute(self) -> dict[str, Any] | None:
        """Of the teacher's checkpoint."""
        return self.teacher.compute

    def describe(self) -> dict[str, Any]:
        """Type, branches, and the teacher by name and SHA-256 of its file."""
        return {**super().describe(), **self.teacher.describe()}


def _named(student: str, share: float, head: torch.nn.Module, terms: dict[str, Tensor]) -> dict:
    """Weight and value of each term, by its name in logs."""
    return {f"{student}_{term}": (share * head.weights[term], value) for term, value in terms.items()}
