"""Whole optimiser steps of a pre-training config: images per second, memory, and the share of the matmul rate.

    python -m benchmarks.device_step poa_vit_imagenet.py
    python -m benchmarks.device_step poa_vit_cifar10-gpu.py --amp float16 --profile
    python -m benchmarks.device_step poa_vit_imagenet.py --cfg-options train_dataloader.batch_size=32

A step is training's own: the preprocessor on bytes that are on the device already, both students and the teacher with
a size drawn as in training, backward, clipping, AdamW, the teacher's update. Data loading and logs are not in it. The
operations are those of `poa_bench.cost` for the sizes that were drawn. On a CPU, seconds are the processor's.
"""

import argparse
from collections import Counter
from collections.abc import Callable

import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from torch import Tensor

from benchmarks.pretrain_step import matmul_rate, profile_table, seconds_of
from poa_bench.cost import GIB, Recipe, memory, operations
from poa_bench.launch import read_config, set_float32_precision, set_precision
from poa_bench.pretraining.samplers import SampleIndex
from poa_bench.registry import FUNCTIONS, MODELS


def make_batch(config: Config, recipe: Recipe, device: str) -> dict:
    """What the data loader would give, with noise for images."""
    generator = torch.Generator().manual_seed(0)

    def crops(count: int, side: int) -> Tensor:
        return torch.randint(256, (count, side, side, 3), generator=generator, dtype=torch.uint8).permute(0, 3, 1, 2)

    items = [
        {
            "global_crops": crops(2, recipe.shape.global_size),
            "local_crops": crops(recipe.shape.local_count, recipe.shape.local_size),
            "sample_idx": SampleIndex(index, position=index),
            "name": "noise",
            "label": 0,
        }
        for index in range(recipe.shape.images)
    ]
    settings = config.train_dataloader.collate_fn.to_dict()
    inputs = FUNCTIONS.get(settings.pop("type"))(items, **settings)["inputs"]
    return {"inputs": {name: tensor.to(device) for name, tensor in inputs.items()}}


def make_step(config: Config, recipe: Recipe, device: str) -> tuple[Callable[[int], None], Counter]:
    """A function that does the i-th step, and the count of the sizes that it has drawn."""
    torch.manual_seed(0)
    with torch.device(device):  # a GPU draws the first weights in a moment
        model = MODELS.build(config.model)
    model = model.to(device).train()  # the preprocessor remembers its device
    wrapper = build_optim_wrapper(model, config.optim_wrapper)
    batch, drawn = make_batch(config, recipe, device), Counter()

    def step(iteration: int) -> None:
        size = model.supernet.space.draw(0, iteration)
        model.decide(sizes=(size,))
        drawn[size] += 1
        model.train_step(batch, wrapper)
        model.after_update()

    return step, drawn


def measure(arguments: argparse.Namespace, config: Config) -> str:
    """Time the steps and say what was found."""
    recipe, device = Recipe.read(config), arguments.device
    step, drawn = make_step(config, recipe, device)
    for iteration in range(arguments.warm_up):
        step(iteration)
    drawn.clear()
    measured = range(arguments.warm_up, arguments.warm_up + arguments.steps)
    seconds = seconds_of(lambda: [step(iteration) for iteration in measured], device) / arguments.steps
    counted = sum(operations(recipe, {spec: n / drawn.total() for spec, n in drawn.items()}).values())
    rate = max(matmul_rate(device, recipe.amp) for _ in range(5))
    done = counted * recipe.shape.images / seconds
    predicted = sum(memory(recipe).values()) / GIB
    peak = f"{torch.cuda.max_memory_allocated() / GIB:.2f}" if device == "cuda" else "not measured on a CPU"
    return (
        f"{arguments.config}, {config.optim_wrapper.type}, {recipe.shape.images} images a step, mean of "
        f"{arguments.steps} steps with {len(drawn)} sizes\n"
        f"on {torch.cuda.get_device_name() if device == 'cuda' else 'a CPU'}, torch {torch.__version__}, "
        f"float32 products '{torch.get_float32_matmul_precision()}'\n"
        f"  {recipe.shape.images / seconds:8.1f} images/s, {1000 * seconds:.1f} ms a step\n"
        f"  {peak:>8} GiB at the peak, {predicted:.2f} predicted\n"
        f"  {counted / 1e9:8.1f} GFLOP per image, {done / 1e12:.4g} TFLOP/s: {done / rate:.1%} of the rate of a square "
        f"product ({rate / 1e12:.4g} TFLOP/s)"
    )


def profile(arguments: argparse.Namespace, config: Config) -> str:
    """The operations that take most of three steps."""
    step, _ = make_step(config, Recipe.read(config), arguments.device)
    for iteration in range(arguments.warm_up):
        step(iteration)
    return profile_table(lambda: [step(iteration) for iteration in range(3)], arguments.device)


def parse_arguments() -> argparse.Namespace:
    """The config, and how long to measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", help="path of a pre-training config, or the base name of one of this project's")
    parser.add_argument("--amp", choices=("bfloat16", "float16"), help="default: as the config says")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--warm-up", type=int, default=5)
    parser.add_argument("--profile", action="store_true", help="where the time goes instead")
    parser.add_argument("--cfg-options", nargs="+", default=[], metavar="KEY=VALUE")
    arguments = parser.parse_args()
    arguments.launcher, arguments.work_dir = "none", None
    return arguments


def main() -> None:
    """Measure or profile."""
    arguments = parse_arguments()
    config = read_config(arguments)
    set_float32_precision(config)
    set_precision(config, arguments.amp)
    print((profile if arguments.profile else measure)(arguments, config))


if __name__ == "__main__":
    main()
