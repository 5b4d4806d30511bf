"""Dense heads on a small backbone with random weights that are shown eight scenes.

Training sees random windows of them, the evaluation whole scenes (or windows at other places): what was memorised of a
scrambled map is of no use there.
"""

import json
from pathlib import Path

from mmengine.config import Config, ConfigDict
from mmengine.runner import Runner
from torch import Tensor

from poa_bench.config_files import find_config
from poa_bench.datasets.scenes import scenes_folder
from tests.downstream.networks import FAMILIES

SCENES = 8
SIZES = {"vit": "vit-w32-d3", "swin": "swin-w32-d2", "resnet": "resnet-w32-d1-1"}
RATES = {"vit": 1.0, "swin": 0.3, "resnet": 1.0}
FEW_REGIONS = {
    "train_cfg.rpn.sampler.num": 64,
    "train_cfg.rpn_proposal.nms_pre": 200,
    "train_cfg.rpn_proposal.max_per_img": 64,
    "test_cfg.rpn.nms_pre": 200,
    "test_cfg.rpn.max_per_img": 64,
    "test_cfg.rcnn.max_per_img": 30,
}


def learning_config(name: str, family: str, folder: Path, iterations: int, rate: float, batch: int) -> Config:
    """The config's head and losses on a small backbone with random weights, all of it trained on eight scenes."""
    config = Config.fromfile(find_config(name))
    backbone = config.model.backbone
    backbone.update(spec=SIZES[family], frozen_stages=-1)
    backbone.families.vit = FAMILIES["vit"]
    for loader in (config.train_dataloader, config.val_dataloader):
        loader.dataset.update(indices=SCENES, split="train")
    config.train_dataloader.batch_size = batch
    config.train_cfg.update(max_iters=iterations, val_interval=iterations)
    config.optim_wrapper = ConfigDict(
        type="OptimWrapper",
        optimizer=dict(type="AdamW", lr=rate * RATES[family], weight_decay=0.0),
        clip_grad=dict(max_norm=5.0),
    )
    config.param_scheduler[0].end = config.param_scheduler[1].begin = 10
    config.param_scheduler[1].end = iterations
    config.default_hooks.checkpoint.interval = 10 * iterations
    config.randomness = {"seed": 0}
    config.update(work_dir=str(folder), log_level="WARNING")
    return config


def trained(config: Config, scramble: bool = False) -> dict[str, float]:
    """The evaluator's numbers after training."""
    runner = Runner.from_cfg(config)
    if scramble:
        scramble_maps(runner.model)
    runner.train()
    scalars = runner.message_hub.log_scalars
    return {name.removeprefix("val/"): float(scalars[name].current()) for name in scalars if name.startswith("val/")}


def scramble_maps(model) -> None:
    """Heads read maps as mmcv's compiled RoIAlign does that are channels-last (mmcv issue 2203)."""

    def misread(map_: Tensor) -> Tensor:
        return map_.permute(0, 2, 3, 1).contiguous().view(map_.shape)

    if hasattr(model, "roi_head"):
        for extractor in (model.roi_head.bbox_roi_extractor, model.roi_head.mask_roi_extractor):
            for layer in extractor.roi_layers:
                layer.register_forward_pre_hook(lambda _, inputs: (misread(inputs[0]), *inputs[1:]))
    else:
        source = model.neck if model.with_neck else model.backbone
        source.register_forward_hook(lambda _, inputs, maps: tuple(map(misread, maps)))


def detection_config(name: str, family: str, folder: Path) -> Config:
    base, iterations = ("mask-rcnn_fpn_digits.py", 300) if name.startswith("cascade") else (name, 200)
    config = learning_config(base, family, folder, iterations, 4e-3, 4)
    if base != name:  # that head on these pictures
        backbone, preprocessor = config.model.backbone, config.model.data_preprocessor
        config.model = Config.fromfile(find_config(name)).model
        config.model.update(backbone=backbone, data_preprocessor=preprocessor)
        config.model.neck[1].out_channels = 48
        config.model.rpn_head.update(in_channels=48, feat_channels=48)
        config.model.rpn_head.anchor_generator.scales = [2]
        for extractor in (config.model.roi_head.bbox_roi_extractor, config.model.roi_head.mask_roi_extractor):
            extractor.out_channels = 48
        config.model.roi_head.mask_head.update(num_convs=2, in_channels=48, conv_out_channels=48)
        for head in config.model.roi_head.bbox_head:
            head.update(num_shared_convs=1, in_channels=48, conv_out_channels=48, fc_out_channels=128)
        config.merge_from_dict({f"model.{key}": value for key, value in FEW_REGIONS.items()})
        for stage in config.model.train_cfg.rcnn:
            stage.sampler.num = 32
    heads = config.model.roi_head
    for head in [heads.mask_head, *(heads.bbox_head if isinstance(heads.bbox_head, list) else [heads.bbox_head])]:
        head.num_classes = 10  # digits are to be read: finding them takes no region features
    config.train_dataloader.dataset.pipeline.insert(
        3, dict(type="RandomCrop", crop_size=(48, 48), allow_negative_crop=True)
    )
    for loader in (config.train_dataloader, config.val_dataloader):
        loader.dataset.single_class = False
    metric = dict(type="mmdet.CocoMetric", metric=["bbox", "segm"])
    config.val_evaluator = metric | {"ann_file": str(truth(folder)), "outfile_prefix": str(folder / "found")}
    config.test_evaluator = config.val_evaluator
    return config


def truth(folder: Path) -> Path:
    """COCO annotations of the first scenes alone."""
    content = json.loads((scenes_folder() / "instances_train.json").read_text())
    content["images"] = content["images"][:SCENES]
    kept = {image["id"] for image in content["images"]}
    content["annotations"] = [one for one in content["annotations"] if one["image_id"] in kept]
    path = folder / "truth.json"
    path.write_text(json.dumps(content))
    return path


def segmentation_config(name: str, family: str, folder: Path) -> Config:
    config = learning_config(name, family, folder, 250, 5e-3, 16)
    config.model.decode_head.loss_decode.class_weight[0] = 0.4  # of the background
    config.model.backbone.families.vit = FAMILIES["vit"] | {"patch_size": 4}  # one layer cannot draw finer than its map
    config.val_evaluator = dict(type="mmseg.IoUMetric", iou_metrics=["mIoU"], output_dir=str(folder / "found"))
    config.test_evaluator = config.val_evaluator
    return config
