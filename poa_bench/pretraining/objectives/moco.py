"""MoCo v3: a picture is found among others by its other view (arXiv 2104.02057); intact network and a drawn size."""

import copy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.optim.swa_utils import get_ema_multi_avg_fn

from poa_bench.errors import InputError
from poa_bench.pretraining.contrast import contrast
from poa_bench.pretraining.objective import BatchShape, Branch, Crops, Objective, Pass, StepSettings
from poa_bench.pretraining.students import Students
from poa_bench.registry import MODELS


@dataclass(frozen=True)
class MoCoSettings(StepSettings):
    """What hooks decide for a step: how much of the momentum encoder stays in an update (0.99 -> 1 by a cosine)."""

    teacher_momentum: float = 0.99


@MODELS.register_module()
class MoCoV3(Objective):
    """Contrastive pre-training of a supernet, or of one size, for mmengine's Runner.

    The momentum encoder (`teacher`, the intact network with its projector) makes keys of both views. The intact
    student's queries find their picture's among the keys of the other view; those of the drawn size find the same keys.

    Args:
        backbone: config of a ``poa_bench.Supernet``; one size alone is a space with one width and one depth.
        head: config of a ``poa_bench.ContrastHead``; ``in_features`` is filled in.
        students: as of ``Distill``.
        lambda_intact: share of the intact student, the others have the rest (as in POA, eq. 10).
        temperature: tau.
        freeze_patch_embed: whether the patch embedding stays as it began, which keeps large ViTs stable (section 4.2).
        checkpoint_activations: recompute block activations in backward.
        compile_blocks: run the networks' blocks through ``torch.compile``.
        data_preprocessor: config of a ``poa_bench.MultiCropPreprocessor``.

    Raises:
        InputError: a value that is not allowed, or a family without a patch embedding to freeze.
    """

    branches = ("student", "teacher")
    Settings = MoCoSettings

    def __init__(
        self,
        backbone: dict[str, Any],
        head: dict[str, Any],
        students: str = "pair",
        lambda_intact: float = 0.5,
        temperature: float = 0.2,
        freeze_patch_embed: bool = True,
        checkpoint_activations: bool = False,
        compile_blocks: bool = False,
        data_preprocessor: dict[str, Any] | None = None,
    ):
        super().__init__(data_preprocessor)
        if not 0 < lambda_intact < 1 or temperature <= 0:
            raise InputError(
                f"model.lambda_intact is {lambda_intact} and model.temperature {temperature}: the first must lie "
                "between 0 and 1, the second above 0"
            )
        self.students = Students.by_rule(students, lambda_intact)
        self.drawn = self.students.drawn
        supernet = MODELS.build(backbone)
        supernet.set_grad_checkpointing(checkpoint_activations)
        supernet.mask_token.requires_grad_(False)  # nothing is masked; several processes wait for every gradient
        if freeze_patch_embed:
            if not hasattr(supernet.network, "patch_embed"):
                raise InputError(
                    f"networks of the family {supernet.space.family} have no patch embedding: set "
                    "model.freeze_patch_embed=False"
                )
            supernet.network.patch_embed.requires_grad_(False)
        self.student = Branch(
            supernet, MODELS.build({"alpha": supernet.alpha, **head, "in_features": supernet.width()})
        )
        self.teacher = Branch(copy.deepcopy(supernet), copy.deepcopy(self.student.head.projector))
        self.teacher.requires_grad_(False)
        if compile_blocks:
            self.student.backbone.compile_blocks()
            self.teacher.backbone.compile_blocks()
        self.temperature = temperature

    def train(self, mode: bool = True) -> "MoCoV3":
        """As usual, but the momentum encoder's backbone stays in eval mode (no drop path); its batch norms do not."""
        super().train(mode)
        self.teacher.backbone.eval()
        return self

    @torch.no_grad()
    def after_update(self) -> None:
        """``teacher = momentum * teacher + (1 - momentum) * student``, of backbone and projector."""
        average = get_ema_multi_avg_fn(self.settings.teacher_momentum)
        student = [*self.student.backbone.parameters(), *self.student.head.projector.parameters()]
        average(list(self.teacher.parameters()), student, None)

    def loss(self, crops: Crops, settings: MoCoSettings) -> dict[str, Tensor]:
        """Both views' queries against the other view's keys; batch norms see one view at a time.

        Returns:
            ``loss``, the differentiable total, and the unweighted ``intact_contrast`` and ``elastic_contrast``.
        """
        if len(crops.global_crops) < 4:
            raise InputError(
                "MoCo v3 needs at least 2 images per process, to tell them from each other, found "
                f"{len(crops.global_crops) // 2}: enlarge train_dataloader.batch_size"
            )
        sizes = self.students.sizes(self.supernet.space, self.drawn_sizes(settings))
        with torch.no_grad():
            keys = [self.teacher.head(view) for view in self.teacher.backbone(crops.global_crops).cls.chunk(2)]
        losses = {}
        for name, size in sizes.items():
            features = self.supernet.bind(size)(crops.global_crops).cls
            queries = [self.student.head(view) for view in features.chunk(2)]
            with torch.autocast(features.device.type, enabled=False):
                losses[name] = sum(
                    contrast(query, key, self.temperature) for query, key in zip(queries, keys[::-1], strict=True)
                )
        total = sum(share * losses[name] for name, share in self.students.shares.items())
        return {"loss": total} | {f"{name}_contrast": value.detach() for name, value in losses.items()}

    def passes(self) -> list[Pass]:
        """All see whole global crops; a frozen patch embedding is predicted as if it learned."""
        space = self.supernet.space
        sizes = self.students.expected_sizes(space)
        students = [Pass(f"{name} student", sizes[name], local=False) for name in sizes]
        return [Pass("momentum encoder", {space.intact: 1.0}, trained=False, local=False), *students]

    def other_operations(self, shape: BatchShape, elastic_width: float) -> dict[str, float]:
        """Of the heads' layers, and of queries with the keys of one process: forward, and one product in backward."""
        head, widths = self.student.head, self.students.expected_widths(self.supernet, elastic_width)
        macs = sum(3 * head.macs(width) for width in widths.values()) + head.projector.macs()
        length = head.predictor[-1].num_features
        return {"heads": 2 * 2 * macs, "similarities": 2 * 2 * 2 * len(widths) * shape.images * length}
