"""Distillation by features: class and patch features are regressed on the teacher's (Proteus, ICLR 2025)."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from poa_bench.config_values import check_call
from poa_bench.errors import InputError
from poa_bench.pretraining.heads import leading_columns
from poa_bench.pretraining.objective import BatchShape, Crops
from poa_bench.pretraining.teachers import FrozenTeacher
from poa_bench.registry import MODELS

EPSILON = 1e-5  # of the layer norms, the official code's; timm's networks have 1e-6


class MatchingHead(nn.Sequential):
    """LayerNorm and Linear; a narrower network uses the first columns, times ``alpha`` as in `ProjectionHead`.

    Args:
        in_features: width of the intact student.
        out_features: of the teacher.
        alpha: False leaves the columns unscaled.
    """

    def __init__(self, in_features: int, out_features: int, alpha: bool = True):
        super().__init__(nn.LayerNorm(in_features, eps=EPSILON), nn.Linear(in_features, out_features))
        self.alpha = alpha

    def forward(self, features: Tensor) -> Tensor:
        """Features (..., w) of any width up to ``in_features`` to (..., out_features)."""
        norm, linear = self
        width = features.shape[-1]
        normed = F.layer_norm(features, (width,), norm.weight[:width], norm.bias[:width], norm.eps)
        return F.linear(normed, leading_columns(linear, width, self.alpha), linear.bias)


def matching_weights(cls: float = 1.0, tokens: float = 1.0, masked: float = 1.0) -> dict[str, float]:
    """How much each term counts, see `FeatureMatching`."""
    return {"cls": cls, "tokens": tokens, "masked": masked}


@MODELS.register_module()
class FeatureMatching(nn.Module):
    """Mean squared errors of linear maps of the student's features to the teacher's.

    Terms: ``cls``, of the class feature; ``tokens``, of class feature and all patches together; ``masked``, of the
    masked patches, in a second pass of the student that sees the mask token in their place. Each is a plain mean over
    all its numbers. A batch without masked patches has a ``masked`` of 0.

    Args:
        in_features: width of the intact student.
        teacher: whose features are matched.
        weights: of the terms, 1 each by default; 0 leaves a term out, and a student without ``masked`` runs once.
        normalised: the teacher's features are first normalised over their channels (without weights), so that no
            channel counts for its size; the paper's are as they are.
        alpha: see `MatchingHead`.

    Raises:
        InputError: unknown or negative weights, or none above 0.
    """

    sees_local_crops = False

    def __init__(
        self,
        in_features: int,
        teacher: FrozenTeacher,
        weights: Mapping[str, float] | None = None,
        normalised: bool = False,
        alpha: bool = True,
    ):
        super().__init__()
        check_call("model.head.weights", matching_weights, weights or {})
        self.weights = {name: value for name, value in matching_weights(**(weights or {})).items() if value}
        if not self.weights or min(self.weights.values()) < 0:
            raise InputError(f"model.head.weights is {weights}: no weight may be below 0, and one must be above")
        self.normalised = normalised
        heads = {"cls": teacher.width, "tokens": teacher.channels, "masked": teacher.channels}
        if "tokens" in self.weights and teacher.width != teacher.channels:
            raise InputError(
                f"the teacher's class feature has length {teacher.width}, its patches {teacher.channels}: match them "
                "together only where they are alike, or set model.head.weights.tokens=0"
            )
        needed = self.weights.keys() | ({"cls"} if "tokens" in self.weights else set())
        self.heads = nn.ModuleDict(
            {name: MatchingHead(in_features, length, alpha) for name, length in heads.items() if name in needed}
        )

    @property
    def masks(self) -> bool:
        """Whether students see masked crops."""
        return "masked" in self.weights

    def find(self, network: Callable, crops: Crops, masked: Tensor | None) -> dict[str, Tensor]:
        """What a student finds in the global crops.

        Args:
            network: from `Supernet.bind`.
            crops: of B pictures.
            masked: `places_of_masked` of the crops' masks, where the head `masks`.

        Returns:
            ``cls`` (2B, t), ``patches`` (2B, N, t), ``masked`` (M, t), as far as terms need them.
        """
        output, found = network(crops.global_crops), {}
        if "cls" in self.heads:
            found["cls"] = self.heads["cls"](output.cls)
        if "tokens" in self.heads:
            found["patches"] = self.heads["tokens"](output.patches)
        if self.masks:
            patches = network(crops.global_crops, crops.masks).patches.flatten(0, 1)
            found["masked"] = self.heads["masked"](patches.index_select(0, masked))
        return found

    def target(
        self, teacher: FrozenTeacher, crops: Crops, grid: tuple[int, int], masked: Tensor | None
    ) -> dict[str, Tensor]:
        """The same of the teacher, which sees whole crops; ``grid`` are rows and columns of the student's patches."""
        output = teacher(crops.global_crops, grid)
        classes, patches = (self._normalised(features) for features in output)
        found = {"cls": classes, "patches": patches}
        if self.masks:
            found["masked"] = patches.flatten(0, 1).index_select(0, masked)
        return found

    def compare(
        self, found: dict[str, Tensor], target: dict[str, Tensor], intact: dict[str, Tensor] | None = None
    ) -> dict[str, Tensor]:
        """The unweighted terms in float32; with ``intact``, what that found is matched in place of the target."""
        wanted = target if intact is None else {name: one.detach() for name, one in intact.items()}
        terms = {}
        if "cls" in self.weights:
            terms["cls"] = F.mse_loss(found["cls"].float(), wanted["cls"].float())
        if "tokens" in self.weights:
            both = (torch.cat([one["cls"][:, None], one["patches"]], dim=1) for one in (found, wanted))
            terms["tokens"] = F.mse_loss(*(tokens.float() for tokens in both))
        if self.masks:
            squares = (found["masked"].float() - wanted["masked"].float()).square()
            terms["masked"] = squares.sum() / max(squares.numel(), 1)
        return terms

    def remember(self, target: dict[str, Tensor]) -> None:
        """Nothing."""

    def macs(self, shape: BatchShape, width: float) -> float:
        """Multiply-accumulates of one picture at a share of the intact width."""
        rows = {"cls": 2, "tokens": 2 * shape.patches, "masked": shape.masked}
        return width * sum(rows[name] * head[1].weight.numel() for name, head in self.heads.items())

    def _normalised(self, features: Tensor) -> Tensor:
        features = features.float()
        return F.layer_norm(features, features.shape[-1:]) if self.normalised else features
