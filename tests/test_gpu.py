"""What a GPU computes is what the CPU computes, and what only a GPU has: fp16 training with its scaler, memory."""

from pathlib import Path
from random import Random

import pytest
import torch
from mmengine.config import Config

from poa_bench.config_files import find_config
from poa_bench.cost import Recipe, memory
from poa_bench.elastic import load_supernet
from poa_bench.pretraining.objective import Crops
from poa_bench.pretraining.photometric import Photometric, change_batch
from poa_bench.registry import MODELS
from poa_bench.sweep.light import evaluate_checkpoint
from tests.downstream.learning import detection_config, trained
from tests.pretraining.runs import logged, train_here
from tests.pretraining.tiny import random_crops, tiny_poa

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")]

FP16 = ("optim_wrapper.type=AmpOptimWrapper", "optim_wrapper.dtype=float16", "optim_wrapper.loss_scale=dynamic")


def losses_and_gradient(device: str) -> tuple[dict[str, float], torch.Tensor]:
    """Of one float32 step of the same network on the same batch."""
    torch.manual_seed(0)
    model = tiny_poa(loss_weights={"koleo": 0.0}).to(device)
    model.decide(sizes=(model.student.backbone.space.smallest,))
    losses = model.loss(Crops(*(tensor.to(device) for tensor in random_crops())), model.settings)
    losses["loss"].backward()
    gradients = [p.grad.flatten().cpu() for p in model.student.parameters() if p.grad is not None]
    return {name: value.item() for name, value in losses.items()}, torch.cat(gradients)


def test_a_float32_step_is_that_of_the_cpu():
    """KoLeo is off: features of an untrained network are almost equal, and rounding decides which are neighbours."""
    (expected, there), (found, here) = losses_and_gradient("cpu"), losses_and_gradient("cuda")
    assert found == pytest.approx(expected, rel=1e-4, abs=1e-5)
    assert torch.cosine_similarity(here, there, dim=0) > 0.9999


def test_photometric_changes_are_those_of_the_cpu():
    images = torch.randint(256, (64, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    rows = torch.tensor([Photometric().draw(index % 3, Random(index)) for index in range(len(images))])
    torch.testing.assert_close(change_batch(images.cuda(), rows).cpu(), change_batch(images, rows), rtol=0, atol=1e-4)


@pytest.mark.parametrize("amp", [(), FP16, ("optim_wrapper.type=poa_bench.Bfloat16OptimWrapper",)])
def test_run_goes_on_from_its_checkpoint(amp, tmp_path):
    """Ten steps, five and five: the same numbers but for the order of the GPU's sums; the CPU reads the checkpoint."""
    options = (*amp, "train_dataloader.dataset.pipeline.0.on_device=True", "train_dataloader.pin_memory=True")
    straight = train_here(tmp_path / "straight", *options)
    assert next(straight.model.parameters()).is_cuda

    def resume(config: Config) -> None:
        config.resume, config.load_from = True, str(tmp_path / "straight" / "iter_5.pth")

    train_here(tmp_path / "resumed", *options, change=resume)
    terms = ("loss", "intact_global", "elastic_local", "lr", "elastic_width")
    expected, found = logged(tmp_path / "straight", *terms), logged(tmp_path / "resumed", *terms)
    assert sorted(found) == [6, 7, 8, 9, 10]
    for step, numbers in found.items():
        assert numbers == pytest.approx(expected[step], rel=2e-2)
    assert load_supernet(tmp_path / "resumed" / "iter_10.pth").mask_token.device.type == "cpu"


def test_fp16_scale_is_kept_in_the_checkpoint(tmp_path):
    runner = train_here(tmp_path, *FP16, "log_processor.window_size=1")  # else norms are logged as means
    steps = logged(tmp_path, "loss", "grad_norm")
    assert len(steps) == 10 and all(torch.tensor(loss).isfinite() for loss, _ in steps.values())
    applied = [norm for _, norm in steps.values() if torch.tensor(norm).isfinite()]
    assert len(applied) >= 5  # while the scale is found, steps are left out
    kept = torch.load(tmp_path / "iter_10.pth", weights_only=False)["optimizer"]["loss_scaler"]
    assert kept == runner.optim_wrapper.loss_scaler.state_dict()
    assert kept["scale"] == 65536 * 0.5 ** (10 - len(applied))


def test_evaluation_gives_the_scores_of_the_cpu(tmp_path):
    config, choice = find_config("poa_vit-digits-quick.py"), {"initialisation": "random", "specs": ["smallest"]}
    scores = {}
    for device in ("cpu", "cuda"):
        results = evaluate_checkpoint(str(config), "digits", tmp_path / device, device, **choice)
        scores[device] = {result.task: result for result in results}
    for task in ("knn", "linear"):
        assert scores["cuda"][task].primary == pytest.approx(scores["cpu"][task].primary, abs=0.3)
    facts = scores["cuda"]["profile"]
    assert facts.metrics["latency_p50_ms_batch1"] > 0
    assert torch.cuda.get_device_name() in facts.model_dump_json()


def test_dense_scores_of_patches_are_those_of_the_cpu(tmp_path):
    config, scores = find_config("poa_vit-digits-quick.py"), {}
    few = {f"evaluation.{split}.indices": 20 for split in ("train", "val", "test")}
    choice = {"initialisation": "random", "specs": ["smallest"], "settings": {"cfg_options": few}}
    for device in ("cpu", "cuda"):
        tasks = ["patch-knn", "patch-linear"]
        found = evaluate_checkpoint(str(config), "digits-scenes", tmp_path / device, device, tasks=tasks, **choice)
        scores[device] = {result.task: result.metrics["aAcc"] for result in found}
    assert scores["cuda"] == pytest.approx(scores["cpu"], abs=0.3)


@pytest.mark.parametrize("name", ["poa_vit_cifar10-gpu.py", "poa_vit_imagenet.py"])
def test_memory_of_a_step_is_predicted_within_20_percent(name):
    """The largest elastic student, whose memory is predicted; a batch of the config's own crops."""
    from benchmarks.device_step import make_batch, make_step

    config = Config.fromfile(find_config(name))
    config.train_dataloader.batch_size = 16 if "imagenet" in name else 256
    recipe = Recipe.read(config)
    config.model.backbone.space.update(widths=[recipe.model.student.backbone.space.intact.width])
    config.model.backbone.space.update(depths=[recipe.model.student.backbone.space.intact.depths[0]])
    step, _ = make_step(config, recipe, "cuda")
    torch.cuda.empty_cache()
    step(0)
    torch.cuda.reset_peak_memory_stats()
    step(1)
    peak = torch.cuda.max_memory_allocated()
    print(f"{name}: predicted / measured {sum(memory(recipe).values()) / peak:.3f}")
    assert sum(memory(recipe).values()) == pytest.approx(peak, rel=0.2)
    assert make_batch(config, recipe, "cuda")["inputs"]["masks"].any()


def test_checkpoints_of_the_gpu_are_whole_files(tmp_path: Path):
    """Every tensor of a run's checkpoint, moments included, is there for a machine without a GPU."""
    train_here(tmp_path)
    checkpoint = torch.load(tmp_path / "iter_10.pth", map_location="cpu", weights_only=False)
    model = MODELS.build(Config.fromfile(tmp_path / "poa_vit-digits_resolved.py").model)
    model.load_state_dict(checkpoint["state_dict"], strict=True)
    assert checkpoint["optimizer"]["state"]


def test_detection_learns_with_the_operators_of_torchvision(tmp_path):
    """The same test as on the CPU (`tests/downstream/test_heads_learn.py`), where nothing was compiled for this GPU."""
    ext = pytest.importorskip("mmcv._ext")
    if not ext.__file__.endswith(".py"):
        pytest.skip("mmcv's own operators are compiled here: make setup MMCV_OPS=torchvision")
    found = trained(detection_config("mask-rcnn_sfp_digits.py", "vit", tmp_path))
    assert found["coco/bbox_mAP_50"] > 0.8, found


def test_region_features_are_those_of_the_cpu():
    ops = pytest.importorskip("mmcv.ops")
    generator = torch.Generator().manual_seed(0)
    maps = torch.randn(2, 5, 20, 24, generator=generator)
    corners = 60 * torch.rand(30, 2, generator=generator)
    regions = torch.cat([torch.arange(30.0)[:, None] % 2, corners, corners + 30], 1)
    found = []
    for device, layout in (("cpu", torch.contiguous_format), ("cuda", torch.channels_last)):
        given = maps.to(device).contiguous(memory_format=layout).requires_grad_()
        value = ops.RoIAlign(7, 0.25, 0)(given, regions.to(device))
        found.append((value.cpu(), torch.autograd.grad((value**2).sum(), given)[0].cpu()))
    for here, there in zip(*found, strict=True):
        torch.testing.assert_close(there, here, rtol=1e-4, atol=1e-4)
