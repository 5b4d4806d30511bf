"""What a pre-training run will need: operations, memory and hours, from its config alone.

Operations follow from shapes (the backbones' are counted on the meta device). Memory is parameters, optimiser and
gradients by count, and what one step of the real model allocates on tensors without values.
"""

import copy
import weakref
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache

import torch
from mmengine.config import Config
from torch import Tensor, nn
from torch._subclasses import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from poa_bench.downstream.sizes import block_costs
from poa_bench.elastic import SubnetSpec, Supernet
from poa_bench.elastic.macs import count_macs, count_parameters
from poa_bench.elastic.stochastic_depth import computed_share
from poa_bench.errors import InputError
from poa_bench.pretraining.objective import BatchShape, Crops, Objective, Pass
from poa_bench.registry import DATASETS, MODELS

GIB = 2**30
IMAGENET_1K = 1_281_167  # training pictures
# makers' data sheets: dense bf16 operations per second, memory in bytes
GPUS = {
    "a100": (312e12, 80e9),
    "h100": (989e12, 80e9),
    "h200": (989e12, 141e9),
}


@dataclass(frozen=True)
class Recipe:
    """What of a pre-training config matters for its cost."""

    model: Objective  # `memory` needs one on the meta device
    shape: BatchShape
    epochs: float
    amp: bool

    @classmethod
    def read(cls, config: Config) -> "Recipe":
        """Raises InputError if this is no pre-training config."""
        with torch.device("meta"):
            return cls.of(_objective(config), config)

    @classmethod
    def of(cls, model: Objective, config: Config) -> "Recipe":
        """With a model of the config that is built already."""
        loader = config.train_dataloader
        crops = next(step for step in loader.dataset.pipeline if step["type"] == "poa_bench.MultiCrop")
        collate = loader.collate_fn
        patches = collate.grid[0] * collate.grid[1]
        share = collate.get("mask_probability", 0.5) * sum(collate.get("mask_ratio", (0.1, 0.5))) / 2
        shape = BatchShape(
            loader.batch_size,
            crops.get("global_size", 224),
            crops.get("local_size", 96),
            crops.get("local_count", 8),
            patches,
            2 * share * patches,
        )
        return cls(model, shape, config.train_cfg.get("max_epochs", 1), config.optim_wrapper.type != "OptimWrapper")


def _objective(config: Config) -> Objective:
    if not is_pretraining(config):
        name = config.get("model", {}).get("type")
        raise InputError(
            f"{config.filename} is not a pre-training config: its model is a {name}, not a poa_bench.POA or another "
            "objective"
        )
    return MODELS.build(config.model)


def is_pretraining(config: Config) -> bool:
    """Whether the config's model is an objective."""
    name = config.get("model", {}).get("type")
    known = MODELS.get(name) if str(name).startswith(f"{MODELS.scope}.") else None
    return isinstance(known, type) and issubclass(known, Objective)


def operations_per_image(model: Objective, config: Config) -> float | None:
    """All `operations` of one image in one step; None for an objective or pictures of which they are not known."""
    pipeline = config.train_dataloader.dataset.get("pipeline", ())
    if type(model).passes is Objective.passes or all(step["type"] != "poa_bench.MultiCrop" for step in pipeline):
        return None
    return sum(operations(Recipe.of(model, config)).values())


def operations(recipe: Recipe, shares: Mapping[SubnetSpec, float] | None = None) -> dict[str, float]:
    """Floating-point operations of one image in one step, by part.

    Args:
        recipe: of the run.
        shares: how often each size is the elastic student, adding up to 1; by default as training draws them.
    """
    net, shape = recipe.model.supernet, recipe.shape
    shares = shares or net.space.probabilities()

    @cache
    def costs(size: int, visible: int | None) -> dict[int, tuple[int, list[int]]]:
        return block_costs(net.space, net.options, lambda network: _visible_macs(net, network, size, visible))

    def forward(size: int, count: int, one: Pass) -> float:
        """Of an image's crops of one kind."""
        images = shape.images if one.trained else 0
        sizes = shares if one.sizes is None else one.sizes
        found = costs(size, None if one.visible is None else int(shape.patches * one.visible))
        macs = sum(share * _macs(net, spec, found[spec.width], count * images) for spec, share in sizes.items())
        return 2.0 * count * macs

    trained = 4 if net.grad_checkpointing else 3  # forward, and two products each in backward
    found = {}
    for one in recipe.model.passes():
        seen = forward(shape.global_size, one.views, one)
        seen += forward(shape.local_size, shape.local_count, one) if one.local else 0
        found[one.name] = (trained if one.trained else 1) * seen
    lengths = {spec.width: net.width(replace(net.space.smallest, width=spec.width)) for spec in shares}
    width = sum(share * lengths[spec.width] for spec, share in shares.items()) / net.width()
    return {**found, **recipe.model.other_operations(shape, width)}


def _visible_macs(net: Supernet, network: nn.Module, size: int, visible: int | None) -> int:
    """Multiply-accumulates of a network on the meta device, for one crop of which it may compute some patches only."""
    if visible is None:
        return count_macs(network, size)
    with net.family.only_visible(network, torch.zeros(1, visible, dtype=torch.long, device="meta")):
        return count_macs(network, size)


def _macs(net: Supernet, spec: SubnetSpec, costs: tuple[int, list[int]], batch: int) -> float:
    """Multiply-accumulates of one crop; in training with a batch of crops, of which blocks may compute a share only."""
    macs, blocks = costs
    for stage, block, kept in zip(net.family.stages, blocks, net.space.kept(spec), strict=True):
        macs += block * (len(kept) - 1)
        if batch:
            modules = net.network.get_submodule(stage.rstrip("."))
            macs -= sum(block * (1 - computed_share(modules[index], batch)) for index in kept)
    return macs


def memory(recipe: Recipe, processes: int = 1, sharded: bool = False) -> dict[str, float]:
    """Peak bytes of one process, by part, when the elastic student is as large as the intact one."""
    trained = count_parameters(recipe.model.student)
    moments = 8 * trained / (processes if sharded else 1)
    backbones, kept, peak = _step_bytes(recipe)
    return {
        "weights, gradients, moments": 4 * (count_parameters(recipe.model) + trained) + moments,
        "kept of the backbones' passes": backbones,
        "kept of heads, prototypes, losses": kept - backbones,
        "more at the peak of the step": peak - kept,
    }


def _step_bytes(recipe: Recipe) -> tuple[int, int, int]:
    """What a step holds, beside the first part of `memory`: before the heads, before backward, and at its peak."""
    model, shape = copy.deepcopy(recipe.model), recipe.shape  # a copy is not compiled
    settings = replace(model.settings, sizes=(model.supernet.space.intact,) * model.drawn)
    held = []
    # tensors without values: nothing is computed; the model is still on the meta device
    with FakeTensorMode(allow_non_fake_inputs=True):
        model.to_empty(device="cpu").train()
        gradients = [torch.empty_like(parameter) for parameter in model.student.parameters()]
        for parameter, gradient in zip(model.student.parameters(), gradients, strict=True):
            parameter.grad = gradient
        crops = Crops(
            torch.empty(2 * shape.images, 3, shape.global_size, shape.global_size),
            torch.empty(shape.local_count * shape.images, 3, shape.local_size, shape.local_size),
            torch.empty(2 * shape.images, shape.patches, dtype=torch.bool),
        )
        known = [*model.parameters(), *model.buffers(), *gradients, *crops]
        step = _Allocations(known, round(shape.masked * shape.images))
        for name, part in model.student.named_children():
            if name != "backbone":  # a head
                part.register_forward_pre_hook(lambda *_: held.append(step.held))
        with step:
            with torch.autocast("cpu", torch.bfloat16, enabled=recipe.amp):
                loss = model.loss(crops, settings)["loss"]
            held.append(step.held)
            loss.backward()
    return held[0], held[-1], step.peak


class _Allocations(TorchDispatchMode):
    """Counts the bytes of the tensors that operations make, until they are freed.

    Args:
        known: tensors that are not counted.
        found: how many entries `nonzero` finds, which only values could tell.

    Attributes:
        held: bytes at this moment.
        peak: the most of them so far.
    """

    def __init__(self, known: Iterable[Tensor], found: int):
        super().__init__()
        self.found = found
        self.held = self.peak = 0
        self._sizes = {tensor.untyped_storage()._cdata: 0 for tensor in known}

    def __torch_dispatch__(self, function, types, arguments=(), named=None):
        if function is torch.ops.aten.nonzero.default:
            return arguments[0].new_empty(self.found, arguments[0].ndim, dtype=torch.long)
        outputs = function(*arguments, **(named or {}))
        for tensor in tree_leaves(outputs):
            if isinstance(tensor, Tensor):
                self._add(tensor.untyped_storage())
        return outputs

    def _add(self, storage: torch.UntypedStorage) -> None:
        key = storage._cdata
        if key not in self._sizes:  # else a view, or written in place
            self._sizes[key] = storage.nbytes()
            weakref.finalize(storage, self._free, key)
            self.held += self._sizes[key]
            self.peak = max(self.peak, self.held)

    def _free(self, key: int) -> None:
        self.held -= self._sizes.pop(key)


def predict(
    config: Config, gpu: str = "h200", gpus: int = 8, utilisation: float | None = None, images: int | None = None
) -> str:
    """The table that `poa-bench predict-cost` prints.

    Args:
        config: a pre-training config.
        gpu: a key of `GPUS`.
        gpus: number of processes.
        utilisation: assumed share of the rate in `GPUS`; by default 0.3 with `compile_blocks` and 0.2 without: an H200
            reached 0.31 and 0.20 with ViT (`benchmarks/device_step.py`).
        images: pictures of the data set; by default as many as the config's has, or ImageNet-1K where it is not here.

    Raises:
        InputError: no pre-training config, an unknown GPU, or a number that is not positive.
    """
    if gpu not in GPUS:
        raise InputError(f"unknown GPU {gpu!r}: use one of {', '.join(GPUS)}")
    recipe = Recipe.read(config)
    if utilisation is None:
        utilisation = 0.3 if config.model.get("compile_blocks") else 0.2
    for name, value in (("gpus", gpus), ("utilisation", utilisation), ("images", 1 if images is None else images)):
        if not value > 0:  # nor is NaN
            raise InputError(f"--{name} is {value}, but has to be above 0")
    images, data = (images, "images") if images is not None else count_images(config)
    sharded = config.optim_wrapper.optimizer.type == "poa_bench.ShardedAdamW"
    flops, held = operations(recipe), memory(recipe, gpus, sharded)
    rate, capacity = GPUS[gpu]
    speed = rate * utilisation / sum(flops.values())
    hours = recipe.epochs * images / (speed * gpus) / 3600
    lines = [f"{'operations per image':38} {sum(flops.values()) / 1e9:10.1f} GFLOP"]
    lines += [f"  {part:36} {value / 1e9:10.1f}  {value / sum(flops.values()):4.0%}" for part, value in flops.items()]
    total = sum(held.values())
    size = f"memory per GPU, {recipe.shape.images} images"
    lines.append(f"{size:38} {total / GIB:10.2f} GiB of {capacity / GIB:.0f}")
    lines += [f"  {part:36} {value / GIB:10.2f}" for part, value in held.items()]
    if total > 0.95 * capacity:
        lines.append(
            "  too large: model.checkpoint_activations=True, a smaller batch, or optim_wrapper.optimizer.type="
        )
        lines.append("  poa_bench.ShardedAdamW")
    assumed = f"{gpus} x {gpu}, {utilisation:.0%} of {rate / 1e12:.0f} TFLOP/s assumed"
    lines.append(f"{assumed:38} {speed * gpus:10.0f} images/s, {_digits(hours)} h, {_digits(hours * gpus)} GPU hours")
    lines.append(f"  for {recipe.epochs:g} epochs of {images:,} {data}")
    return "\n".join(lines)


def count_images(config: Config) -> tuple[int, str]:
    """How many pictures the config trains on, and what they are called; ImageNet-1K's where they are not here."""
    try:
        return len(DATASETS.build(config.train_dataloader.dataset)), "images"
    except InputError:
        return IMAGENET_1K, "images (ImageNet-1K, as the config's are not here)"


def _digits(hours: float) -> str:
    """Three digits, as few hours are worth more of them than many."""
    return f"{hours:.0f}" if hours >= 100 else f"{hours:.3g}"
