"""POA: one step trains the intact network and one sub-network against an EMA teacher (arXiv 2408.01031)."""

import copy
from collections import defaultdict
from typing import Any, NamedTuple

import torch
from mmengine.model import BaseModel
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from poa_bench.elastic import SubnetSpec, Supernet
from poa_bench.errors import InputError
from poa_bench.pretraining.heads import ProjectionHead
from poa_bench.pretraining.losses import Comparison, Prediction, koleo, prototype_cross_entropy
from poa_bench.pretraining.targets import Target
from poa_bench.pretraining.terms import VARIANTS, LossWeights, Term, loss_table, pairing_matrix
from poa_bench.registry import MODELS

MODELS.register_module(module=Supernet)


class Branch(nn.Module):
    """A backbone with its heads: the student, or its EMA copy, the teacher."""

    def __init__(self, backbone: Supernet, head: ProjectionHead):
        super().__init__()
        self.backbone = backbone
        self.head = head


class Crops(NamedTuple):
    """One batch on the device: global (2B, 3, H, W), local (vB, 3, h, w), masks (2B, N) bool, view by view."""

    global_crops: Tensor
    local_crops: Tensor
    masks: Tensor


Rows = dict[str, Tensor]
"""Features of one pass: ``global`` (2, B, w), ``local`` (v, B, w), ``patch`` (1, M, w), M masked patches in all."""


@MODELS.register_module()
class POA(BaseModel):
    """Pre-training of a supernet, for mmengine's Runner.

    The schedules and the size of the elastic student are set before every step by hooks; they are plain attributes:
    ``spec`` (of the elastic student), ``teacher_temperature``, ``teacher_momentum``, ``patch_weight``.

    Args:
        backbone: config of a ``poa_bench.Supernet``.
        head: config of a ``poa_bench.ProjectionHead``; its ``in_features`` is filled in.
        targets: config of how teacher outputs become targets.
        loss_weights: keys of ``LossWeights``.
        variant: ``poa``; ``v1``, ``v2``, ``v3`` of the paper's Table 5; ``intact`` trains the largest network alone.
        student_temperature: tau' of the paper.
        chunk_elements: how many logits may exist at a time.
        checkpoint_activations: recompute block activations in backward.
        compile_blocks: run the networks' blocks through ``torch.compile``: faster on GPUs, after some seconds for each
            width at the start.
        data_preprocessor: config of a ``poa_bench.MultiCropPreprocessor``.
    """

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
        self.variant = variant
        self.student_temperature = student_temperature
        self.chunk_elements = chunk_elements
        terms = loss_table(self.loss_weights, variant)
        kinds = {f"{term.teacher}_{term.target_rows}" for term in terms if term.teacher != "intact"}
        self.targets.prepare(sorted(kinds), [len(weight) for weight in self.student.head.prototypes()])
        # set by hooks, step by step
        self.spec: SubnetSpec | None = None
        self.teacher_temperature = 0.07
        self.teacher_momentum = 0.992
        self.patch_weight = 1.0

    def train(self, mode: bool = True) -> "POA":
        """As usual, but the teacher stays in eval mode (no drop path)."""
        super().train(mode)
        self.teacher.eval()
        return self

    @torch.no_grad()
    def update_teacher(self) -> None:
        """``teacher = momentum * teacher + (1 - momentum) * student`` (paper, Alg. 1)."""
        average = get_ema_multi_avg_fn(self.teacher_momentum)
        average(list(self.teacher.parameters()), list(self.student.parameters()), None)

    def forward(
        self, inputs: dict[str, Tensor] | Tensor, data_samples: dict | None = None, mode: str = "tensor"
    ) -> dict[str, Tensor] | Tensor:
        """mmengine's entry point.

        Args:
            inputs: with mode ``loss`` the batch of ``collate_crops`` (``global_crops``, ``local_crops``, ``masks``);
                with mode ``tensor`` images (B, 3, H, W).
            mode: ``loss`` gives the total as ``loss`` and every term's value; ``tensor`` the intact teacher's class
                features (B, W).
        """
        if mode == "tensor":
            return self.teacher.backbone(inputs).cls
        if mode == "loss":
            return self.loss(Crops(inputs["global_crops"], inputs["local_crops"], inputs["masks"]))
        raise InputError(f"mode {mode!r} is unknown: use 'loss' or 'tensor'")

    def loss(self, crops: Crops) -> dict[str, Tensor]:
        """The step: passes, then the table of terms for every head, then KoLeo.

        Returns:
            ``loss``, the differentiable total, and the unweighted value of every term, averaged over the heads; 0 for
            terms that the schedule leaves out yet, so that every line of a log has the same names.
        """
        if self.patch_weight == 0:  # masked, but nowhere: the mask token stays part of the graph (DDP)
            crops = crops._replace(masks=torch.zeros_like(crops.masks))
        masked = crops.masks.flatten().nonzero()[:, 0]  # once: each asking makes the CPU wait for the GPU
        local_views = 2 * len(crops.local_crops) // len(crops.global_crops)
        table = _by_target(loss_table(self.loss_weights, self.variant, local_views, self.patch_weight))
        students = {name: self._student_pass(name, crops, masked) for name in VARIANTS[self.variant]}
        teacher_names = {name for name, _ in table} - {"intact"}
        teachers = {name: self._teacher_pass(name, crops, masked) for name in teacher_names}
        rows = {name: _project(self.student.head, features) for name, features in students.items()}
        with torch.no_grad():
            rows |= {name: _project(self.teacher.head, features) for name, features in teachers.items()}

        with torch.autocast(crops.global_crops.device.type, enabled=False):
            totals, values = self._compare(table, rows, _patch_weights(crops.masks, masked))
            losses = {"loss": totals.mean()} | dict(zip(_names(table), values.mean(dim=0), strict=True))
            everything = [term.name for term in loss_table(self.loss_weights, self.variant, local_views)]
            losses |= {name: totals.new_zeros(()) for name in everything if name not in losses}
            if self.loss_weights.koleo:
                spread = sum(koleo(view) for features in students.values() for view in features["global"])
                losses["koleo"] = spread.detach() / len(students)
                losses["loss"] = losses["loss"] + self.loss_weights.koleo * spread / len(students)
        return losses

    def _student_pass(self, name: str, crops: Crops, masked: Tensor) -> Rows:
        network = self.student.backbone.bind(self.spec if name == "elastic" else None)
        images = len(crops.global_crops) // 2
        output = network(crops.global_crops, crops.masks)
        rows = {"global": output.cls.unflatten(0, (2, images)), "patch": _masked_rows(output.patches, masked)}
        if len(crops.local_crops):
            rows["local"] = network(crops.local_crops).cls.unflatten(0, (-1, images))
        return rows

    @torch.no_grad()
    def _teacher_pass(self, name: str, crops: Crops, masked: Tensor) -> Rows:
        network = self.teacher.backbone.bind(self.spec if name == "elastic_teacher" else None)
        output = network(crops.global_crops)
        return {"global": output.cls.unflatten(0, (2, -1)), "patch": _masked_rows(output.patches, masked)}

    def _compare(self, table: "Table", rows: dict[str, list[Rows]], patch_weights: Tensor) -> tuple[Tensor, Tensor]:
        """Weighted totals (H,) and unweighted values (H, T) of all terms, head by head."""
        totals, values = [], []
        with torch.no_grad():
            teacher_prototypes = self.teacher.head.prototypes()
        for head, prototypes in enumerate(self.student.head.prototypes()):
            comparisons = []
            for (teacher, target_rows), terms in table.items():
                features = rows[teacher][head][target_rows].detach()
                if teacher == "intact":
                    target = Target(features, prototypes.detach(), self.student_temperature)
                else:
                    name = f"{teacher}_{target_rows}"
                    target = self.targets(name, head, features, teacher_prototypes[head], self.teacher_temperature)
                predictions = [_prediction(term, rows[term.student][head], target, patch_weights) for term in terms]
                comparisons.append(Comparison(target, tuple(predictions)))
            total, value = prototype_cross_entropy(
                prototypes, self.student_temperature, comparisons, self.chunk_elements
            )
            totals.append(total)
            values.append(value)
        return torch.stack(totals), torch.stack(values)


Table = dict[tuple[str, str], list[Term]]
"""The terms by (teacher, target rows)."""


def _by_target(terms: list[Term]) -> Table:
    table = defaultdict(list)
    for term in terms:
        table[term.teacher, term.target_rows].append(term)
    return dict(table)


def _names(table: Table) -> list[str]:
    return [term.name for terms in table.values() for term in terms]


def _prediction(term: Term, rows: Rows, target: Target, patch_weights: Tensor) -> Prediction:
    features = rows[term.rows]
    pairing = pairing_matrix(term.pairing, len(features), len(target.features), features.device)
    return Prediction(features, pairing, term.weight, patch_weights if term.rows == "patch" else None)


def _project(head: ProjectionHead, rows: Rows) -> list[Rows]:
    """All rows of a pass through every head, in one call each."""
    flat = torch.cat([features.flatten(0, 1) for features in rows.values()])
    sizes = [features.shape[0] * features.shape[1] for features in rows.values()]
    shapes = [features.shape[:2] for features in rows.values()]
    return [
        {name: part.unflatten(0, shape) for name, part, shape in zip(rows, projected.split(sizes), shapes, strict=True)}
        for projected in head(flat)
    ]


def _masked_rows(patches: Tensor, masked: Tensor) -> Tensor:
    """(1, M, w): the masked ones of patches (2B, N, w)."""
    return patches.flatten(0, 1).index_select(0, masked)[None]


def _patch_weights(masks: Tensor, masked: Tensor) -> Tensor:
    """(M,) weight of every masked patch of masks (2B, N): each image with masked patches counts 1 / 2B."""
    return (1 / (masks.sum(dim=1) * len(masks)))[masked // masks.shape[1]]
