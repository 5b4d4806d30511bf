"""Distillation by similarities to a queue of the teacher's features (SEED, ICLR 2021)."""

from collections.abc import Callable

import torch
from mmengine import dist
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from poa_bench.errors import InputError
from poa_bench.pretraining.heads import leading_columns
from poa_bench.pretraining.objective import BatchShape, Crops
from poa_bench.pretraining.teachers import FrozenTeacher
from poa_bench.registry import MODELS


class FeatureQueue(nn.Module):
    """The newest features of the teacher, of all processes.

    Args:
        entries: K.
        length: of a feature.
    """

    def __init__(self, entries: int, length: int):
        super().__init__()
        self.register_buffer("entries", F.normalize(torch.randn(entries, length), dim=-1))
        self.register_buffer("position", torch.zeros((), dtype=torch.long))

    def logits(self, rows: Tensor, own: Tensor) -> Tensor:
        """Similarities (R, 1 + K) of rows (R, d): to their own feature of ``own`` (R, d), then to the entries."""
        return torch.cat([(rows * own).sum(dim=1, keepdim=True), rows @ self.entries.T], dim=1)

    @torch.no_grad()
    def push(self, rows: Tensor) -> None:
        """Write the rows (R, d) of all processes over the oldest entries.

        Raises:
            InputError: there are more rows than entries.
        """
        rows = torch.cat(dist.all_gather(rows.contiguous()))
        if len(rows) > len(self.entries):
            raise InputError(
                f"model.head.entries is {len(self.entries)}, fewer than the {len(rows)} features of one step: raise it"
            )
        places = (self.position + torch.arange(len(rows), device=rows.device)) % len(self.entries)
        # another tensor: backward still needs the entries that the step was compared with
        self.entries = self.entries.index_copy(0, places, rows.to(self.entries.dtype))
        self.position.add_(len(rows)).remainder_(len(self.entries))


@MODELS.register_module()
class QueueSimilarity(nn.Module):
    """The student's distribution over the teacher's own feature and a queue of others is the teacher's.

    Cross-entropy of ``softmax(teacher similarities / teacher_temperature)`` and those of the student at its own
    temperature, in float32, mean over crops. The teacher's own feature is the first of the K + 1 ways; a batch is
    pushed after it was compared. Two global crops of a picture are two samples. Local crops, where there are any, are
    compared in the same way over a queue of their own, of which each step pushes one crop of each picture.

    Args:
        in_features: width of the intact student.
        teacher: whose class features, L2-normalised, are compared.
        entries: K of each queue.
        student_temperature: the official code's.
        teacher_temperature: the paper's; the official code's 1e-4 makes of the target little more than the own feature.
        hidden_features: of the two-layer head; by default the student's width, as in the official code.
        local: whether local crops are compared.
        alpha: see `ProjectionHead`.
    """

    weights = {"global": 1.0, "local": 1.0}
    masks = False

    def __init__(
        self,
        in_features: int,
        teacher: FrozenTeacher,
        entries: int = 65536,
        student_temperature: float = 0.2,
        teacher_temperature: float = 0.01,
        hidden_features: int | None = None,
        local: bool = False,
        alpha: bool = True,
    ):
        super().__init__()
        for name, value in (("student", student_temperature), ("teacher", teacher_temperature)):
            if not value > 0:
                raise InputError(f"model.head.{name}_temperature is {value}, but has to be above 0")
        if entries < 1:
            raise InputError(f"model.head.entries is {entries}: give at least as many as one step has crops")
        hidden = hidden_features or in_features
        self.mlp = nn.Sequential(nn.Linear(in_features, hidden), nn.ReLU(), nn.Linear(hidden, teacher.width))
        self.queues = nn.ModuleDict(
            {name: FeatureQueue(entries, teacher.width) for name in ("global", *(["local"] if local else []))}
        )
        self.temperatures = student_temperature, teacher_temperature
        self.alpha = alpha

    @property
    def sees_local_crops(self) -> bool:
        """Whether students and teacher do."""
        return "local" in self.queues

    def find(self, network: Callable, crops: Crops, masked: Tensor | None = None) -> dict[str, Tensor]:
        """Rows of length 1 of the crops: ``global`` (2B, d) and, where they are compared, ``local`` (vB, d)."""
        return {name: self.project(network(images).cls) for name, images in self._crops(crops).items()}

    def target(
        self, teacher: FrozenTeacher, crops: Crops, grid: tuple[int, int], masked: Tensor | None = None
    ) -> dict[str, Tensor]:
        """The same of the teacher."""
        found = {name: teacher(images).cls for name, images in self._crops(crops).items()}
        return {name: F.normalize(rows.float(), dim=-1) for name, rows in found.items()}

    def compare(
        self, found: dict[str, Tensor], target: dict[str, Tensor], intact: dict[str, Tensor] | None = None
    ) -> dict[str, Tensor]:
        """The terms; with ``intact``, the intact student's distribution takes the place of the teacher's."""
        of_student, of_teacher = self.temperatures
        terms = {}
        for name, rows in found.items():
            queue, own = self.queues[name], target[name]
            with torch.no_grad():
                wanted = own if intact is None else intact[name].detach()
                temperature = of_teacher if intact is None else of_student
                probabilities = (queue.logits(wanted, own) / temperature).softmax(dim=1)
            terms[name] = F.cross_entropy(queue.logits(rows, own) / of_student, probabilities)
        return terms

    def remember(self, target: dict[str, Tensor]) -> None:
        """Push what was compared: all global crops, and the first local crop of each picture."""
        pictures = len(target["global"]) // 2
        for name, queue in self.queues.items():
            queue.push(target[name] if name == "global" else target[name][:pictures])

    def project(self, features: Tensor) -> Tensor:
        """Class features (R, w) to rows (R, d) of length 1, float32."""
        weight = leading_columns(self.mlp[0], features.shape[-1], self.alpha)
        return F.normalize(functional_call(self.mlp, {"0.weight": weight}, (features,)).float(), dim=-1)

    def macs(self, shape: BatchShape, width: float) -> float:
        """Multiply-accumulates of one picture at a share of the intact width: head, and similarities."""
        rows = {"global": 2, "local": shape.local_count}
        first, second = self.mlp[0].weight.numel(), self.mlp[2].weight.numel()
        return sum(rows[name] * (first * width + second + queue.entries.numel()) for name, queue in self.queues.items())

    def _crops(self, crops: Crops) -> dict[str, Tensor]:
        return {"global": crops.global_crops} | ({"local": crops.local_crops} if self.sees_local_crops else {})
