"""The contract between an objective and everything else: hooks, checkpoints, predicted cost and evaluation."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from mmengine.model import BaseModel
from torch import Tensor, nn

from poa_bench.elastic import SubnetSpec, Supernet
from poa_bench.errors import InputError
from poa_bench.registry import MODELS

MODELS.register_module(module=Supernet)


class Branch(nn.Module):
    """A supernet with the head that belongs to it: the student, or a moving average of it."""

    def __init__(self, backbone: Supernet, head: nn.Module):
        super().__init__()
        self.backbone = backbone
        self.head = head


class Crops(NamedTuple):
    """One batch on the device: global (2B, 3, H, W), local (vB, 3, h, w), masks (2B, N) bool, view by view."""

    global_crops: Tensor
    local_crops: Tensor
    masks: Tensor


@dataclass(frozen=True)
class StepSettings:
    """What hooks decide anew for every step; an objective adds fields of its own, with their values at the start.

    mmengine's Runner calls a model with the batch alone. So the objective keeps this one value until then, and hands it
    to `loss` as an argument: a step is a function of weights, batch and settings.

    Attributes:
        sizes: the elastic students that were drawn for the step.
    """

    sizes: tuple[SubnetSpec, ...] = ()


@dataclass(frozen=True)
class BatchShape:
    """What the cost of a step depends on: images of one process, and what is cut out of each."""

    images: int
    global_size: int  # pixels
    local_size: int
    local_count: int
    patches: int  # of a global crop
    masked: float  # expected masked patches of an image, both views


@dataclass(frozen=True)
class Pass:
    """A supernet that runs over crops of the batch.

    Attributes:
        name: in the table of costs.
        sizes: how often each size is run, adding up to 1; None is as sizes are drawn.
        trained: whether there is a backward pass.
        views: how many of the two global crops of an image it sees.
        local: whether it sees the local crops too.
        visible: share of a crop's patches that it computes, rounded down; None: whole crops.
    """

    name: str
    sizes: Mapping[SubnetSpec, float] | None
    trained: bool = True
    views: int = 2
    local: bool = True
    visible: float | None = None


class Objective(BaseModel):
    """A way to pre-train a supernet; what hooks, checkpoints, cost and evaluation may know of it.

    A subclass has a `student`, whose `backbone` is the supernet that learns (its other children are heads), and says
    what a step is in `loss`.

    Attributes:
        branches: its modules with a supernet as `backbone` that checkpoints hold, by name.
        frozen: its modules that never learn and come from a file of their own, by name: a frozen teacher. They are in
            eval mode and not in its `state_dict`; `describe` should say which file it was.
        evaluated_branch: the one that is evaluated and cut where nobody asks for another.
        drawn: how many sizes a step needs in its settings.
        Settings: what may be decided for each step.
        settings: of the step that comes.
    """

    branches: tuple[str, ...] = ("student",)
    frozen: tuple[str, ...] = ()
    evaluated_branch: str = "student"
    drawn: int = 1
    Settings: type[StepSettings] = StepSettings
    student: Branch

    def __init__(self, data_preprocessor: dict[str, Any] | None = None):
        super().__init__(data_preprocessor)
        self.settings = self.Settings()
        # of the model itself, not of who saves it: mmengine's EMAHook saves a copy of it too
        self.register_state_dict_post_hook(_leave_out_frozen)
        self.register_load_state_dict_pre_hook(_put_in_frozen)

    def loss(self, crops: Crops, settings: StepSettings) -> dict[str, Tensor]:
        """One step on one batch.

        Returns:
            `loss`, the differentiable total, and further values for the log, whose names must not contain "loss"; the
            same names in every step.
        """
        raise NotImplementedError

    def after_update(self) -> None:
        """Called after every step of the optimiser: here a moving average follows its student."""

    def watch(self, images: Tensor) -> tuple[Tensor, Tensor | None]:
        """What shows a collapse: class features (B, w) of the evaluated intact network, and the targets (B, K).

        Args:
            images: global crops (B, 3, H, W).

        Returns:
            The targets are probabilities over prototypes; None if this objective has none.
        """
        return self.evaluated_network(images).cls, None

    def passes(self) -> list[Pass]:
        """The supernet's passes of a step, for its predicted cost."""
        raise NotImplementedError

    def other_operations(self, shape: BatchShape, elastic_width: float) -> dict[str, float]:
        """Floating-point operations of one image in one step by part, beside those of `passes`: heads, losses, ...

        Args:
            shape: of the batch.
            elastic_width: mean width of the drawn sizes as a share of the intact network's.
        """
        return {}

    @property
    def supernet(self) -> Supernet:
        """The one that learns: its space is drawn from, and checkpoints describe it."""
        return self.student.backbone

    @property
    def evaluated_network(self) -> Supernet:
        """The supernet of the evaluated branch."""
        return self.get_submodule(self.evaluated_branch).backbone

    def decide(self, **values: Any) -> None:
        """Change settings of the step that comes."""
        self.settings = replace(self.settings, **values)

    def drawn_sizes(self, settings: StepSettings) -> tuple[SubnetSpec, ...]:
        """The step's sizes; raises InputError if they are fewer than this objective needs."""
        if len(settings.sizes) < self.drawn:
            raise InputError(
                f"{type(self).__name__} needs {self.drawn} drawn sizes in each step, found {len(settings.sizes)}: "
                "default_hooks.subnet of the config must be a poa_bench.SubnetHook"
            )
        return settings.sizes[: self.drawn]

    def train(self, mode: bool = True) -> "Objective":
        """As usual, but what is frozen stays in eval mode."""
        super().train(mode)
        for name in self.frozen:
            self.get_submodule(name).eval()
        return self

    def frozen_tensors(self) -> dict[str, Tensor]:
        """What the state dict leaves out, by the names that it would have there."""
        modules = {name: self.get_submodule(name) for name in self.frozen}
        return {f"{name}.{own}": one for name, module in modules.items() for own, one in module.state_dict().items()}

    def teacher_compute(self) -> dict[str, Any] | None:
        """What a frozen teacher has cost (its file's ``meta.compute``); None where there is none, or nobody knows."""
        return None

    def describe(self) -> dict[str, Any]:
        """What a checkpoint says of its objective (meta `objective`), in plain values; a resumed run says the same."""
        return {
            "type": type(self).__name__,
            "branches": list(self.branches),
            "evaluated_branch": self.evaluated_branch,
        }

    def forward(
        self, inputs: dict[str, Tensor] | Tensor, data_samples: dict | None = None, mode: str = "tensor"
    ) -> dict[str, Tensor] | Tensor:
        """mmengine's entry point.

        Args:
            inputs: with mode `loss` the batch of `collate_crops` (`global_crops`, `local_crops`, `masks`); with mode
                `tensor` images (B, 3, H, W).
            mode: `loss` gives what `loss` returns; `tensor` the class features (B, W) of the evaluated intact network.
        """
        if mode == "tensor":
            return self.evaluated_network(inputs).cls
        if mode != "loss":
            raise InputError(f"mode {mode!r} is unknown: use 'loss' or 'tensor'")
        values = self.loss(Crops(inputs["global_crops"], inputs["local_crops"], inputs["masks"]), self.settings)
        if (summed := [name for name in values if "loss" in name]) != ["loss"]:  # mmengine adds these up
            raise InputError(f"{type(self).__name__} returns {summed}: one value is the 'loss', no other is named so")
        return values


def _leave_out_frozen(objective: Objective, state: dict[str, Any], prefix: str, _metadata: Any) -> None:
    for name in objective.frozen_tensors():
        del state[prefix + name]


def _put_in_frozen(objective: Objective, state: dict[str, Any], prefix: str, *_: Any) -> None:
    state.update({prefix + name: tensor for name, tensor in objective.frozen_tensors().items()})
