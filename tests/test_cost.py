"""Predicted cost against measured small runs."""

import pytest
import torch
from mmengine.config import Config
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.pretrain_step import peak_bytes
from poa_bench.config_files import find_config
from poa_bench.cost import Recipe, memory, operations, predict
from poa_bench.errors import InputError
from poa_bench.pretraining.poa import Crops
from poa_bench.registry import MODELS

BATCH, LOCAL = 4, 4


def recipe_config() -> Config:
    """The digits model with one size, so that its elastic student is no mean over draws."""
    config = Config.fromfile(find_config("poa_vit-digits.py"))
    config.model.backbone.space.update(widths=[96], depths=[4])
    config.model.backbone.update(patch_size=4)
    config.train_dataloader.collate_fn.grid = (8, 8)
    config.train_dataloader.dataset.pipeline[0].local_count = LOCAL
    config.model.chunk_elements = 1 << 14
    config.train_dataloader.batch_size = BATCH
    return config


@pytest.fixture(scope="module")
def step():
    """Recipe, model and a batch with exactly the expected number of masked patches."""
    config = recipe_config()
    recipe = Recipe.read(config)
    masks = torch.zeros(2 * BATCH, 64, dtype=torch.bool)
    masks.flatten()[: round(recipe.masked * BATCH)] = True
    crops = Crops(torch.randn(2 * BATCH, 3, 32, 32), torch.randn(LOCAL * BATCH, 3, 16, 16), masks)
    model = MODELS.build(config.model).train()
    return recipe, model, crops


def test_operations_within_15_percent(step):
    recipe, model, crops = step
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        model.loss(crops)["loss"].backward()
    predicted = sum(operations(recipe).values())
    assert predicted == pytest.approx(counter.get_total_flops() / BATCH, rel=0.15)


def test_memory_within_20_percent(step):
    """The allocator's peak of a step, from torch's profiler, and what is there before it."""
    recipe, model, crops = step
    optimizer = torch.optim.AdamW(model.student.parameters())
    for _ in range(2):  # the second step has moments and gradients
        model.loss(crops)["loss"].backward()
        optimizer.step()
    held = sum(p.numel() * p.element_size() for p in model.parameters())
    held += 3 * sum(p.numel() * p.element_size() for p in model.student.parameters())  # gradients, two moments
    peak = peak_bytes(lambda: model.loss(crops)["loss"].backward())
    assert sum(memory(recipe).values()) == pytest.approx(held + peak, rel=0.20)


def test_table_names_every_part_and_refuses_other_configs():
    table = predict(recipe_config(), "h100", gpus=2)
    for part in ("intact student", "prototypes", "backbone activations", "2 x h100", "GPU hours"):
        assert part in table
    with pytest.raises(InputError, match="unknown GPU 'tpu': use one of a100, h100, h200"):
        predict(recipe_config(), "tpu")
    with pytest.raises(InputError, match="no pre-training config"):
        predict(Config({"model": {"type": "mmdet.MaskRCNN"}}))
