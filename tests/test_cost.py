"""Predicted cost against measured small runs."""

import re

import pytest
import torch
from mmengine.config import Config
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.pretrain_step import peak_bytes
from poa_bench.config_files import find_config
from poa_bench.cost import Recipe, count_images, memory, operations, predict
from poa_bench.errors import InputError
from poa_bench.pretraining.objective import Crops
from poa_bench.pretraining.objectives.poa import VARIANTS
from poa_bench.registry import MODELS
from tests.conftest import but_slow

BATCH, LOCAL = 8, 4
FAMILIES = {  # the largest and a much smaller size; patches of the global crops
    # of the four blocks three compute a share of the batch only
    "vit": (dict(widths=[48, 96], depths=[2, 4]), dict(patch_size=4, drop_path_rate=0.45), (8, 8)),
    "swin": (dict(widths=[16, 32], depths=[2, 4]), {}, (4, 4)),
    "resnet": (dict(widths=[16, 32], depths=[[1, 2], [1, 3]]), {}, (4, 4)),
}


def recipe_config(family: str = "vit", amp: bool = False, **model) -> Config:
    """The digits model of a family with few sizes."""
    config = Config.fromfile(find_config(f"poa_{family}-digits.py"))
    space, network, grid = FAMILIES[family]
    config.model.backbone.space.update(space)
    config.model.backbone.update(network)
    config.model.update(chunk_elements=1 << 14, **model)
    config.train_dataloader.collate_fn.grid = grid
    config.train_dataloader.dataset.pipeline[0].local_count = LOCAL
    config.train_dataloader.batch_size = BATCH
    config.optim_wrapper.type = "poa_bench.Bfloat16OptimWrapper" if amp else "OptimWrapper"
    return config


def recipe_and_step(config: Config, amp: bool = False, as_predicted: bool = False):
    """Recipe, model, and a step on a batch with exactly the expected number of masked patches.

    Predicted is as if the first layer handed its gradient on.
    """
    recipe = Recipe.read(config)
    rows, columns = config.train_dataloader.collate_fn.grid
    masks = torch.zeros(2 * BATCH, rows * columns, dtype=torch.bool)
    masks.flatten()[: round(recipe.shape.masked * BATCH)] = True
    crops = Crops(torch.randn(2 * BATCH, 3, 32, 32), torch.randn(LOCAL * BATCH, 3, 16, 16), masks)
    model = MODELS.build(config.model).train()
    model.decide(sizes=(model.supernet.space.intact,) * model.drawn)
    for views in crops[:2] if as_predicted else ():
        views.requires_grad_()

    def step() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=amp):
            loss = model.loss(crops, model.settings)["loss"]
        loss.backward()

    return recipe, model, step


@pytest.mark.parametrize(
    ("family", "variant", "checkpointed"),
    [*(("vit", variant, False) for variant in VARIANTS), ("vit", "poa", True)]
    + [(family, "poa", checkpointed) for family in ("swin", "resnet") for checkpointed in (False, True)],
)
def test_operations_are_those_of_a_step(family, variant, checkpointed):
    """Of a step with the smallest elastic student and a good share of heads and prototypes."""
    config = recipe_config(family, variant=variant, checkpoint_activations=checkpointed)
    config.model.head.update(prototypes=[8192, 8192], hidden_features=1024)
    recipe, model, step = recipe_and_step(config, as_predicted=True)
    model.decide(sizes=(model.student.backbone.space.smallest,) * model.drawn)
    # the losses' sums of gradients, which torch's counter does not know
    counts_too = {torch.ops.aten.addmm_: lambda _sum, left, right, **_: 2 * left[0] * left[1] * right[1]}
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False, custom_mapping=counts_too) as counter:
        step()
    predicted, counted = operations(recipe, {model.supernet.space.smallest: 1.0}), counter.get_total_flops() / BATCH
    assert min(predicted["heads"], predicted["prototypes"]) > 0.15 * counted
    print(f"predicted / counted: {sum(predicted.values()) / counted:.3f}")
    # predicted as if all were recomputed: the stem and the last norm are not
    assert sum(predicted.values()) == pytest.approx(counted, rel=0.05 if checkpointed else 0.01)


@pytest.mark.parametrize(
    ("family", "amp", "checkpointed"),
    but_slow(
        [("vit", amp, checkpointed) for amp in (False, True) for checkpointed in (False, True)]
        + [(family, amp, amp) for family in ("swin", "resnet") for amp in (False, True)]
        + [("resnet", False, True)],
        [("vit", False, False), ("vit", True, True), ("resnet", False, True)],
    ),
)
def test_memory_within_20_percent(family, amp, checkpointed):
    """The allocator's peak of a step, from torch's profiler, and what is there before it."""
    recipe, model, step = recipe_and_step(recipe_config(family, amp, checkpoint_activations=checkpointed), amp)
    optimizer = torch.optim.AdamW(model.student.parameters())
    for _ in range(2):  # the second step has moments and gradients
        step()
        optimizer.step()
    held = sum(p.numel() * p.element_size() for p in model.parameters())
    held += 3 * sum(p.numel() * p.element_size() for p in model.student.parameters())  # gradients, two moments
    with torch.backends.mkldnn.flags(enabled=False):  # its scratch space for convolutions is no GPU's
        peak = peak_bytes(step)
    predicted = memory(recipe)
    assert predicted.pop("weights, gradients, moments") == held
    print(f"predicted / measured: {sum(predicted.values()) / peak:.3f}")
    assert sum(predicted.values()) == pytest.approx(peak, rel=0.20)


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_headers_of_the_imagenet_configs_say_what_is_predicted(family):
    path = find_config(f"poa_{family}_imagenet.py")
    said = re.search(r"# Predicted for (\d+) (H200) of (\d+) images: ([\d.]+) GiB each, ([\d.]+) h ", path.read_text())
    table = predict(Config.fromfile(path), said[2].lower(), int(said[1]))
    found = re.search(r"memory per GPU, (\d+) images +([\d.]+) GiB", table)
    hours = re.search(r"images/s, ([\d.]+) h, ", table)[1]
    expected = [float(number) for number in (*found.groups(), hours)]
    assert [float(said[group]) for group in (3, 4, 5)] == pytest.approx(expected, rel=0.01)


def test_table_names_every_part_and_refuses_other_configs():
    table = predict(recipe_config(), "h100", gpus=2)
    for part in ("intact student", "prototypes", "kept of the backbones' passes", "2 x h100", "GPU hours"):
        assert part in table
    short = predict(recipe_config(), "h100", gpus=2, images=1000)
    assert 0 < float(re.search(r"images/s, ([\d.e-]+) h, ", short)[1]) < 0.01
    for images, utilisation in ((0, None), (None, float("nan"))):
        with pytest.raises(InputError, match="has to be above 0"):
            predict(recipe_config(), images=images, utilisation=utilisation)
    with pytest.raises(InputError, match="unknown GPU 'tpu': use one of a100, h100, h200"):
        predict(recipe_config(), "tpu")
    with pytest.raises(InputError, match="is not a pre-training config"):
        predict(Config({"model": {"type": "mmdet.MaskRCNN"}}))


def test_pictures_are_the_data_sets_own_where_it_is_here(tmp_path):
    config = recipe_config()
    assert "epochs of 4,312 images" in predict(config)  # the embedded digits
    config.train_dataloader.dataset = dict(type="poa_bench.Images", path=str(tmp_path / "train"), pipeline=[])
    assert count_images(config) == (1_281_167, "images (ImageNet-1K, as the config's are not here)")


def test_assumed_rate_follows_compiling():
    config = recipe_config()
    assert "20% of 989" in predict(config, images=1)
    config.model.compile_blocks = True
    assert "30% of 989" in predict(config, images=1)
