"""Test-time augmentation by our tool and theirs, against means of single views; rates that follow the batch."""

import re

import cv2
import numpy as np
import pytest
import torch
from mmengine.runner import Runner

from poa_bench import launch
from poa_bench.config_files import read_config, runnable_configs
from poa_bench.datasets.scenes import scenes_folder
from poa_bench.errors import InputError
from tests.downstream.test_dense_configs import segmentation
from tests.downstream.trained import CONFIGS, FEW, SCENES, SIZE, arguments, measured, run_tool, train

pytest.importorskip("mmdet")
pytest.importorskip("mmseg")

SPEC = f"model.backbone.spec={SIZE}"


@pytest.fixture(scope="module")
def segmentor(tmp_path_factory):
    """Trained at half the rate, since its batch is half of the config's."""
    folder = tmp_path_factory.mktemp("segmentor")
    return train("mmseg", folder, SPEC, "train_dataloader.batch_size=8", iterations=25, auto_scale_lr=True)


def mean_iou(predictions: list[np.ndarray]) -> float:
    """In percent over the classes that are there, from a confusion matrix."""
    confusion = np.zeros((11, 11), np.int64)
    for number, found in enumerate(predictions):
        truth = cv2.imread(str(scenes_folder() / f"semantic/val/{number:06d}.png"), cv2.IMREAD_UNCHANGED)
        kept = truth != 255
        np.add.at(confusion, (truth[kept], found[kept]), 1)
    union = confusion.sum(0) + confusion.sum(1) - np.diag(confusion)
    return float(100 * np.nanmean(np.where(union > 0, np.diag(confusion) / np.maximum(union, 1), np.nan)))


def test_segmentation_is_merged_over_scales(segmentor, tmp_path):
    from mmseg.apis import inference_model, init_model

    options = {"model.backbone.spec": SIZE}
    views = []
    for side in (48, 64, 80):
        config = read_config(CONFIGS["mmseg"])
        config.test_pipeline[1].scale = (side, side)
        model = init_model(config, str(segmentor), device="cpu", cfg_options=options)
        pictures = [str(scenes_folder() / f"images/val/{number:06d}.jpg") for number in range(SCENES)]
        views.append(torch.stack([inference_model(model, one).seg_logits.data.softmax(0) for one in pictures]))
    merged = [each.numpy() for each in torch.stack(views).mean(0).argmax(1)]
    plain = [each.numpy() for each in views[1].argmax(1)]
    run_tool("mmseg", segmentor, tmp_path / "theirs", SPEC, words=["--tta"])
    launch.test(arguments(CONFIGS["mmseg"], tmp_path / "ours", *FEW, checkpoint=str(segmentor), tta=True))
    for folder in ("theirs", "ours"):
        assert measured(tmp_path / folder, "mIoU")[0] == pytest.approx(mean_iou(merged), abs=0.006)
    assert measured(segmentor.parent, "mIoU")[-1] == pytest.approx(mean_iou(plain), abs=0.006)
    assert mean_iou(merged) != pytest.approx(mean_iou(plain), abs=0.006)
    with pytest.raises(InputError, match="the checkpoint holds a network with spec"):
        run_tool("mmseg", segmentor, tmp_path / "forgotten", words=["--tta"])


def test_ade20k_is_seen_at_six_scales_and_mirrored(tmp_path):
    from mmengine.registry import init_default_scope
    from mmseg.registry import DATASETS

    config = segmentation("upernet_ade20k.py", tmp_path, "vit-w16-d3", side=None)
    init_default_scope("mmseg")
    data = DATASETS.build({**config.test_dataloader.dataset, "pipeline": config.tta_pipeline})
    views = data[0]["inputs"]
    short_sides = [min(view.shape[1:]) for view in views]
    assert short_sides == [side for side in (256, 384, 512, 640, 768, 896) for _ in range(2)]
    for plain, mirrored in zip(views[::2], views[1::2], strict=True):
        assert torch.equal(plain.flip(-1), mirrored)
    truth = cv2.imread(data.get_data_info(0)["seg_map_path"], cv2.IMREAD_UNCHANGED)
    for sample in data[0]["data_samples"]:
        np.testing.assert_array_equal(sample.gt_sem_seg.data[0].numpy(), truth - np.uint8(1))  # 0 becomes 255


def test_a_detection_config_has_none(tmp_path):
    with pytest.raises(InputError, match="--tta: .*mask-rcnn_sfp_digits.py has no tta_model; the segmentation configs"):
        launch.test(arguments(CONFIGS["mmdet"], tmp_path, checkpoint="nowhere.pth", tta=True))


def test_the_rate_follows_the_batch(segmentor):
    log = next(segmentor.parent.glob("*/*.log")).read_text()
    assert "batch size of 16 and the current batch size is 8" in log
    state = torch.load(segmentor, weights_only=False)
    assert {group["initial_lr"] for group in state["optimizer"]["param_groups"]} == {0.5e-2}


DENSE = [path for path in runnable_configs().values() if path.parent.name == "downstream"]


@pytest.mark.parametrize("path", DENSE, ids=lambda path: path.name)
def test_every_config_says_for_which_batch_its_rate_is(path):
    """The batch of its own data, on as many GPUs as the command in its first lines has."""
    config = read_config(path)
    gpus = int((re.search(r"-G (\d+)", path.read_text()) or [0, 1])[1])
    assert config.auto_scale_lr.enable is False
    assert ("tta_model" in config and "tta_pipeline" in config) == (config.measurement.task == "segmentation")
    assert config.auto_scale_lr.base_batch_size == gpus * config.train_dataloader.batch_size


def test_fine_tuning_follows_the_batch(tmp_path):
    """Also with layer-wise decay and a schedule of our own."""
    from tests.downstream.test_finetune import classification

    config = classification(tmp_path, "vit")
    peak = config.optim_wrapper.optimizer.lr
    config.train_cfg.update(max_epochs=1, val_interval=1)
    config.auto_scale_lr.enable = True
    runner = Runner.from_cfg(config)
    runner.train()
    base = config.auto_scale_lr.base_batch_size
    assert base == 2048
    groups = runner.optim_wrapper.optimizer.param_groups
    assert max(group["initial_lr"] for group in groups) == pytest.approx(peak * 2 / base)
