"""What a pre-training run will need: operations, memory and hours, from its config alone.

Operations follow from shapes (the backbones' are counted on the meta device). Memory is parameters, optimiser and
gradients by count, and the activations that autograd keeps, measured on the CPU for one and two blocks of full width
and extended to the full depth.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from mmengine.config import Config
from torch import Tensor, nn

from poa_bench.downstream.macs import count_macs, count_parameters
from poa_bench.downstream.sizes import affine_in_depths
from poa_bench.elastic import SubnetSpec, Supernet
from poa_bench.errors import InputError
from poa_bench.pretraining.poa import POA
from poa_bench.pretraining.terms import VARIANTS
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

    model: POA  # on the meta device
    global_size: int
    local_size: int
    local_count: int
    masked: float  # expected masked patches per image, both views
    batch_size: int  # per process
    epochs: float
    amp: bool

    @classmethod
    def read(cls, config: Config) -> "Recipe":
        """Raises InputError if this is no pre-training config."""
        if config.get("model", {}).get("type") != "poa_bench.POA":
            raise InputError(f"{config.filename} is no pre-training config: its model is not a poa_bench.POA")
        with torch.device("meta"):
            model = MODELS.build(config.model)
        loader = config.train_dataloader
        crops = next(step for step in loader.dataset.pipeline if step["type"] == "poa_bench.MultiCrop")
        collate = loader.collate_fn
        share = collate.get("mask_probability", 0.5) * sum(collate.get("mask_ratio", (0.1, 0.5))) / 2
        return cls(
            model,
            crops.get("global_size", 224),
            crops.get("local_size", 96),
            crops.get("local_count", 8),
            2 * share * collate.grid[0] * collate.grid[1],
            loader.batch_size,
            config.train_cfg.get("max_epochs", 1),
            config.optim_wrapper.type != "OptimWrapper",
        )


def operations(recipe: Recipe, shares: Mapping[SubnetSpec, float] | None = None) -> dict[str, float]:
    """Floating-point operations of one image in one step, by part.

    Args:
        recipe: of the run.
        shares: how often each size is the elastic student, adding up to 1; by default as training draws them.
    """
    net, students = recipe.model.student.backbone, VARIANTS[recipe.model.variant]
    macs = {
        size: affine_in_depths(net.space, net.options, lambda network, size=size: count_macs(network, size))
        for size in {recipe.global_size, recipe.local_size}
    }

    def forward(spec: SubnetSpec) -> float:
        return 2 * (2 * macs[recipe.global_size][spec] + recipe.local_count * macs[recipe.local_size][spec])

    elastic = sum(share * forward(spec) for spec, share in (shares or net.space.probabilities()).items())
    passes = 4 if net.grad_checkpointing else 3  # forward, and two products each in backward
    found = {"teacher": 4.0 * macs[recipe.global_size][net.space.intact]}
    if "intact" in students:
        found["intact student"] = passes * forward(net.space.intact)
    if "elastic" in students:
        found["elastic student"] = passes * elastic
    return {**found, **_head_operations(recipe, len(students))}


def _head_operations(recipe: Recipe, students: int) -> dict[str, float]:
    head = recipe.model.student.head
    first, second, third = (head.mlp0[index].weight.numel() for index in (0, 2, 4))
    rows, teacher_rows = 2 + recipe.local_count + recipe.masked, 2 + recipe.masked
    mlps = 2 * head.count * (first + second + third) * (3 * students * rows + teacher_rows)
    # per prototype: student logits and their two gradients; teacher: Sinkhorn-Knopp, target, and the target's two
    # shares of the gradients; the intact student as a target: the last three
    iterations = getattr(recipe.model.targets, "iterations", 0)
    products = 3 * students * rows + (iterations + 3) * teacher_rows
    if students == 2:
        products += 3 * (2 + recipe.local_count)
    return {"heads": mlps, "prototypes": 2 * sum(weight.numel() for weight in head.prototypes()) * products}


def memory(recipe: Recipe, processes: int = 1, sharded: bool = False) -> dict[str, float]:
    """Peak bytes of one process, by part, when the elastic student is as large as the intact one."""
    net, head = recipe.model.student.backbone, recipe.model.student.head
    students = len(VARIANTS[recipe.model.variant])
    parameters = count_parameters(recipe.model.student)
    moments = 8 * parameters / (processes if sharded else 1)
    width = 2 if recipe.amp else 4
    rows = students * (2 + recipe.local_count + recipe.masked)
    hidden = head.mlp0[0].out_features
    prototypes = sum(weight.numel() for weight in head.prototypes())
    return {
        "weights, gradients, moments, teacher": 12 * parameters + moments,
        "copies in bf16": 2 * parameters * recipe.amp,
        "backbone activations": students * recipe.batch_size * _kept_bytes(net, recipe),
        # what two linear layers, two GELUs and the last layer keep
        "head activations": head.count * recipe.batch_size * rows * (4 * hidden * width + 4 * net.width()),
        # normalised prototypes of both branches and their gradient, until backward
        "prototypes": 4 * 4 * prototypes,
        "logits": 3 * 4 * recipe.model.chunk_elements,
    }


def _kept_bytes(net: Supernet, recipe: Recipe) -> float:
    """Bytes that autograd keeps of one image's global and local crops, at full size."""
    costs = []
    for extra in range(len(net.space.depths) + 1):
        depths = tuple(1 + (stage + 1 == extra) for stage in range(len(net.space.depths)))
        spec = SubnetSpec(net.space.family, net.space.widths[-1], depths)
        network = net.family.build(net.space, spec, net.options).train()
        if net.grad_checkpointing:
            network.set_grad_checkpointing(True)
        costs.append(
            kept_bytes(network, torch.zeros(2, 3, recipe.global_size, recipe.global_size), recipe.amp)
            + recipe.local_count
            / 2
            * kept_bytes(network, torch.zeros(2, 3, recipe.local_size, recipe.local_size), recipe.amp)
        )
    slopes = [cost - costs[0] for cost in costs[1:]]
    depths = net.space.intact.depths
    return costs[0] + sum(slope * (depth - 1) for slope, depth in zip(slopes, depths, strict=True))


def kept_bytes(network: nn.Module, images: Tensor, amp: bool) -> int:
    """Bytes of the tensors that autograd keeps of a forward pass for backward, parameters not counted."""
    own = {parameter.untyped_storage().data_ptr() for parameter in network.parameters()}
    kept: dict[int, Tensor] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = tensor  # holding it, so that its place is not used again
        return tensor

    with (
        torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor),
        torch.autocast("cpu", torch.bfloat16, enabled=amp, cache_enabled=False),
    ):
        network(images)
    shapes = {tuple(parameter.shape) for parameter in network.parameters() if parameter.ndim > 1}
    shapes |= {shape[::-1] for shape in shapes}
    # casts of weights are not activations
    return sum(tensor.untyped_storage().nbytes() for tensor in kept.values() if tuple(tensor.shape) not in shapes)


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
    lines.append(f"{f'memory per GPU, {recipe.batch_size} images':38} {total / GIB:10.2f} GiB of {capacity / GIB:.0f}")
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
