"""POA: one step trains the intact network and one sub-network against an EMA teacher (arXiv 2408.01031)."""

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.optim.swa_utils import get_ema_multi_avg_fn

from poa_bench.config_values import check_call
from poa_bench.errors import InputError
from poa_bench.pretraining.losses import koleo
from poa_bench.pretraining.objective import BatchShape, Branch, Crops, Objective, Pass, StepSettings
from poa_bench.pretraining.rows import Rows, patch_weights, places_of_masked, project, student_rows, teacher_rows
from poa_bench.pretraining.students import Students
from poa_bench.pretraining.targets import Target, biased_softmax
from poa_bench.pretraining.terms import Term, TermComparer, by_target
from poa_bench.registry import MODELS

# student pass -> teacher passes it learns from, beside the intact student; V1-V3 are the paper's variants (Table 5)
VARIANTS: dict[str, dict[str, tuple[str, ...]]] = {
    "poa": {"intact": ("teacher",), "elastic": ("teacher",)},
    "intact": {"intact": ("teacher",)},  # one network of one size: the baseline that POA is compared with
    "v1": {"elastic": ("elastic_teacher",)},
    "v2": {"elastic": ("teacher",)},
    "v3": {"intact": ("teacher",), "elastic": ("teacher", "elastic_teacher")},
    "sandwich": {"intact": ("teacher",), "smallest": (), "elastic": (), "elastic_2": ()},  # US-Net, BigNAS
}


@dataclass(frozen=True)
class LossWeights:
    """How much each part counts; 0 switches it off.

    Attributes:
        lambda_intact: share of the intact student, the elastic one has the rest (paper, eq. 10). A variant with one
            student ignores it.
        weighting: how global and local crops share the cross-view loss: ``official`` counts every pair of views alike
            (with 8 local crops 2/18 and 16/18), ``paper`` gives both sums weight 1 (eqs. 6-10). The same-view terms
            weigh 1 each in both, so ``paper`` is ES1:ES2 = 1:1 and ``official`` 1:2.
        elastic_cross_view: factor of teacher -> elastic student on class tokens (ES1).
        same_view: factor of intact -> elastic student (ES2).
        patch: factor of the masked-patch loss.
        koleo: factor of KoLeo.
    """

    lambda_intact: float = 0.8
    weighting: str = "official"
    elastic_cross_view: float = 1.0
    same_view: float = 1.0
    patch: float = 1.0
    koleo: float = 0.1

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> "LossWeights":
        """Raises InputError for names that are none of the attributes, and values that are of another kind."""
        check_call("model.loss_weights", cls, settings)
        return cls(**settings)

    def __post_init__(self) -> None:
        if self.weighting not in ("official", "paper"):
            raise InputError(f"loss weighting {self.weighting!r} is unknown: use 'official' or 'paper'")
        if not 0 <= self.lambda_intact <= 1:
            raise InputError(f"lambda_intact is {self.lambda_intact}: it must lie in [0, 1]")

    def crops(self, local_views: int) -> dict[str, float]:
        """Weight of the global and the local cross-view term."""
        if self.weighting == "paper":
            return {"global": 1.0, "local": 1.0}
        return {"global": 1 / (1 + local_views), "local": local_views / (1 + local_views)}


def loss_table(weights: LossWeights, variant: str = "poa", local_views: int = 8, patch: float = 1.0) -> list[Term]:
    """All terms of a step whose weight is not zero (paper, eqs. 6-10; patch term: iBOT).

    Args:
        weights: the shares.
        variant: a key of ``VARIANTS``.
        local_views: number of local crops per image.
        patch: schedule of the masked-patch loss, multiplies its weight.

    Raises:
        InputError: unknown variant.
    """
    if variant not in VARIANTS:
        raise InputError(f"unknown variant {variant!r}: use one of {', '.join(VARIANTS)}")
    students = VARIANTS[variant]
    shares = Students(students, weights.lambda_intact).shares
    crops = weights.crops(local_views)
    table = []
    for student, teachers in students.items():
        share = shares[student]
        cross = share * (1.0 if student == "intact" else weights.elastic_cross_view) / max(len(teachers), 1)
        for teacher in teachers:
            table += [
                _term(student, "global", teacher, "global", "other_view", cross * crops["global"]),
                _term(student, "local", teacher, "global", "all_views", cross * crops["local"]),
                _term(student, "patch", teacher, "patch", "same_view", share * weights.patch * patch / len(teachers)),
            ]
        if student != "intact" and "intact" in students:
            same = share * weights.same_view
            table += [
                _term(student, "global", "intact", "global", "same_view", same),
                _term(student, "local", "intact", "local", "same_view", same),
            ]
    return [term for term in table if term.weight and (term.rows != "local" or local_views)]


def _term(student: str, rows: str, teacher: str, *rest: Any) -> Term:
    """With its name in logs: ``elastic_global``, ``elastic_same_local``, ``intact_patch``, ..."""
    kind = f"same_{rows}" if teacher == "intact" else rows
    origin = "_by_elastic_teacher" if teacher == "elastic_teacher" else ""
    return Term(f"{student}_{kind}{origin}", student, rows, teacher, *rest)


@dataclass(frozen=True)
class POASettings(StepSettings):
    """What hooks decide for a step of POA: temperature of the teacher's targets, how much of the teacher stays in an
    update, and the schedule of the masked-patch loss, which multiplies its weight."""

    teacher_temperature: float = 0.07
    teacher_momentum: float = 0.992
    patch_weight: float = 1.0


@MODELS.register_module()
class POA(Objective):
    """Pre-training of a supernet, for mmengine's Runner.

    Args:
        backbone: config of a ``poa_bench.Supernet``.
        head: config of a ``poa_bench.ProjectionHead``; its ``in_features`` is filled in.
        targets: config of how teacher outputs become targets.
        loss_weights: keys of ``LossWeights``.
        variant: ``poa``; ``v1``, ``v2``, ``v3`` of the paper's Table 5; ``intact`` trains the largest network alone;
            ``sandwich``: smallest and two drawn sizes learn from the intact student alone.
        student_temperature: tau' of the paper.
        chunk_elements: how many logits may exist at a time.
        checkpoint_activations: recompute block activations in backward.
        compile_blocks: run the networks' blocks through ``torch.compile``: faster on GPUs, after some seconds for each
            width at the start.
        data_preprocessor: config of a ``poa_bench.MultiCropPreprocessor``.
    """

    branches = ("student", "teacher")
    evaluated_branch = "teacher"  # as in the paper
    Settings = POASettings

    def __init__(
        self,
        backbone: dict[str, Any],
        head: dict[str, Any],
        targets: dict[str, Any] | None = None,
        loss_weights: dict[str, Any] | None = None,
        variant: str = "poa",
        student_temperature: float = 0.1,
        chunk_elements: int = 1 << 22,
        checkpoint_activations: bool = False,
        compile_blocks: bool = False,
        data_preprocessor: dict[str, Any] | None = None,
    ):
        super().__init__(data_preprocessor)
        supernet = MODELS.build(backbone)
        supernet.set_grad_checkpointing(checkpoint_activations)
        head = {"alpha": supernet.alpha, **head, "in_features": supernet.width()}
        self.student = Branch(supernet, MODELS.build(head))
        self.teacher = copy.deepcopy(self.student).requires_grad_(False)
        if compile_blocks:
            self.student.backbone.compile_blocks()
            self.teacher.backbone.compile_blocks()
        targets = {"type": "poa_bench.SinkhornTargets", **(targets or {})}
        if targets["type"] == "poa_bench.SinkhornTargets":
            targets.setdefault("chunk_elements", chunk_elements)
        self.targets = MODELS.build(targets)
        self.loss_weights = LossWeights.from_settings(loss_weights or {})
        terms = loss_table(self.loss_weights, variant)
        self.variant = variant
        self.students = Students(VARIANTS[variant], self.loss_weights.lambda_intact)
        self.drawn = self.students.drawn
        self.student_temperature = student_temperature
        self.compare = TermComparer(student_temperature, chunk_elements)
        kinds = {f"{term.teacher}_{term.target_rows}" for term in terms if term.teacher != "intact"}
        self.targets.prepare(sorted(kinds), [len(weight) for weight in self.student.head.prototypes()])

    def train(self, mode: bool = True) -> "POA":
        """As usual, but the teacher stays in eval mode (no drop path)."""
        super().train(mode)
        self.teacher.eval()
        return self

    @torch.no_grad()
    def after_update(self) -> None:
        """``teacher = momentum * teacher + (1 - momentum) * student`` (paper, Alg. 1)."""
        average = get_ema_multi_avg_fn(self.settings.teacher_momentum)
        average(list(self.teacher.parameters()), list(self.student.parameters()), None)

    def loss(self, crops: Crops, settings: POASettings) -> dict[str, Tensor]:
        """The step: passes, then the table of terms for every head, then KoLeo.

        Returns:
            ``loss``, the differentiable total, and the unweighted value of every term, averaged over the heads; 0 for
            terms that the schedule leaves out yet, so that every line of a log has the same names.
        """
        if settings.patch_weight == 0:  # masked, but nowhere: the mask token stays part of the graph (DDP)
            crops = crops._replace(masks=torch.zeros_like(crops.masks))
        local_views = 2 * len(crops.local_crops) // len(crops.global_crops)
        table = by_target(loss_table(self.loss_weights, self.variant, local_views, settings.patch_weight))
        masked = places_of_masked(crops.masks)
        students = self.run_students(crops, masked, settings)
        teachers = self.run_teachers({name for name, _ in table} - {"intact"}, crops, masked, settings)
        rows = {name: project(self.student.head, features) for name, features in students.items()}
        with torch.no_grad():
            rows |= {name: project(self.teacher.head, features) for name, features in teachers.items()}

        with torch.autocast(crops.global_crops.device.type, enabled=False):
            prototypes = self.student.head.prototypes()
            make_target = self._target_maker(prototypes, settings.teacher_temperature)
            totals, values = self.compare(table, rows, prototypes, make_target, patch_weights(crops.masks, masked))
            names = [term.name for terms in table.values() for term in terms]
            losses = {"loss": totals.mean()} | dict(zip(names, values.mean(dim=0), strict=True))
            everything = [term.name for term in loss_table(self.loss_weights, self.variant, local_views)]
            losses |= {name: totals.new_zeros(()) for name in everything if name not in losses}
            if self.loss_weights.koleo:
                spread = sum(koleo(view) for features in students.values() for view in features["global"])
                losses["koleo"] = spread.detach() / len(students)
                losses["loss"] = losses["loss"] + self.loss_weights.koleo * spread / len(students)
        return losses

    def run_students(self, crops: Crops, masked: Tensor, settings: POASettings) -> dict[str, Rows]:
        """The features of every student pass of the variant, by its name."""
        sizes = self.students.sizes(self.supernet.space, self.drawn_sizes(settings))
        return {name: student_rows(self.supernet.bind(size), crops, masked) for name, size in sizes.items()}

    def run_teachers(self, names: set[str], crops: Crops, masked: Tensor, settings: POASettings) -> dict[str, Rows]:
        """The features of the named teacher passes."""
        elastic = next(iter(settings.sizes), None)
        return {
            name: teacher_rows(
                self.teacher.backbone.bind(elastic if name == "elastic_teacher" else None), crops, masked
            )
            for name in names
        }

    def _target_maker(self, prototypes: list[Tensor], temperature: float) -> Callable[..., Target]:
        """Makes targets: of the intact student's rows as they are, of a teacher's balanced."""
        with torch.no_grad():
            of_teacher = self.teacher.head.prototypes()

        def make(teacher: str, target_rows: str, head: int, features: Tensor) -> Target:
            if teacher == "intact":
                return Target(features, prototypes[head].detach(), self.student_temperature)
            return self.targets(f"{teacher}_{target_rows}", head, features, of_teacher[head], temperature)

        return make

    def watch(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """The teacher's class features, and its targets of the first head, before balancing."""
        features = self.teacher.backbone(images).cls
        rows = self.teacher.head(features)[0]
        prototypes = self.teacher.head.prototypes()[0]
        return features, biased_softmax(rows, prototypes, self.settings.teacher_temperature, None)

    def passes(self) -> list[Pass]:
        """Teachers see whole global crops only."""
        students, intact = VARIANTS[self.variant], {self.supernet.space.intact: 1.0}
        teachers = sorted({teacher for teachers in students.values() for teacher in teachers})
        teaching = [(name.replace("_", " "), intact if name == "teacher" else None) for name in teachers]
        sizes = self.students.expected_sizes(self.supernet.space)
        learning = [(f"{name} student", sizes[name]) for name in students]
        return [Pass(*one, trained=False, local=False) for one in teaching] + [Pass(*one) for one in learning]

    def other_operations(self, shape: BatchShape, elastic_width: float) -> dict[str, float]:
        """Of the heads' layers and of the prototypes."""
        head, students = self.student.head, VARIANTS[self.variant]
        rows = {"global": 2, "local": shape.local_count, "patch": shape.masked}
        projected = {name: 3 * sum(rows.values()) for name in students}  # forward, and two products in backward
        projected |= {name: rows["global"] + rows["patch"] for teachers in students.values() for name in teachers}
        widths = {"teacher": 1.0, "elastic_teacher": elastic_width}
        widths |= self.students.expected_widths(self.supernet, elastic_width)
        macs = sum(count * head.macs(widths[name]) for name, count in projected.items())
        table = loss_table(self.loss_weights, self.variant, shape.local_count)
        products = 3 * sum(rows[term.rows] for term in table)  # per prototype: logits and their two gradients
        iterations = getattr(self.targets, "iterations", 0)
        for teacher, kind in {(term.teacher, term.target_rows) for term in table}:
            # Sinkhorn-Knopp, then the target and its two shares of the gradients
            products += (3 if teacher == "intact" else 3 + iterations) * rows[kind]
        prototypes = sum(weight.numel() for weight in head.prototypes())
        return {"heads": 2 * macs, "prototypes": 2 * prototypes * products}
