"""Small detection and segmentation data sets with whole configs, for tests that break something in them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.config import Config
from PIL import Image

WIDTH, HEIGHT = 32, 24
EXIF_ORIENTATION = 0x0112


def picture(path: Path, size: tuple[int, int] = (WIDTH, HEIGHT), orientation: int | None = None) -> None:
    """Write a JPEG of noise, ``size`` (width, height) as stored; the orientation tag 6 turns it by 90 degrees."""
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(abs(hash(path.name)) % 2**32).integers(0, 255, (size[1], size[0], 3), np.uint8)
    exif = Image.Exif()
    if orientation is not None:
        exif[EXIF_ORIENTATION] = orientation
    Image.fromarray(noise).save(path, exif=exif)


class Detection:
    """``train`` and ``val`` with pictures of 32x24 pixels, a cat (id 3) and a dog (id 7) by turns, boxes and masks.

    Attributes:
        coco: split -> COCO dict, written when :meth:`config` is called; change it at will.
        options: the config, ready to be changed.
    """

    def __init__(self, folder: Path, pictures: int = 3):
        self.folder = folder
        self.coco = {split: _coco(folder, split, pictures) for split in ("train", "val")}
        load = [dict(type="LoadImageFromFile")]
        pack = [dict(type="Resize", scale=(64, 48)), dict(type="PackDetInputs")]
        annotations = dict(type="LoadAnnotations", with_bbox=True, with_mask=True)
        self.options: dict[str, Any] = dict(
            default_scope="mmdet",
            model=dict(
                data_preprocessor=dict(type="DetDataPreprocessor", pad_mask=True, pad_size_divisor=32),
                roi_head=dict(bbox_head=dict(num_classes=2), mask_head=dict(num_classes=2)),
            ),
            train_cfg=dict(type="EpochBasedTrainLoop", max_epochs=1),
            train_dataloader=self._loader("train", [*load, annotations, *pack], shuffle=True),
            val_dataloader=self._loader("val", [*load, *pack], shuffle=False, test_mode=True),
            val_evaluator=dict(type="CocoMetric", ann_file=str(folder / "val.json"), metric=["bbox", "segm"]),
        )

    def _loader(self, split: str, pipeline: list[dict], shuffle: bool, **options: Any) -> dict:
        dataset = dict(type="CocoDataset", data_root=str(self.folder), ann_file=f"{split}.json", pipeline=pipeline)
        dataset |= dict(data_prefix=dict(img=f"{split}/"), metainfo=dict(classes=("cat", "dog")), **options)
        sampler = dict(type="DefaultSampler", shuffle=shuffle)
        return dict(batch_size=2, num_workers=0, sampler=sampler, dataset=dataset)

    def config(self) -> Config:
        """The config, after the annotation files were written."""
        for split, coco in self.coco.items():
            (self.folder / f"{split}.json").write_text(json.dumps(coco))
        return Config(self.options)


def _coco(folder: Path, split: str, pictures: int) -> dict[str, list[dict]]:
    coco = {"images": [], "annotations": [], "categories": [{"id": 3, "name": "cat"}, {"id": 7, "name": "dog"}]}
    for i in range(1, pictures + 1):
        picture(folder / split / f"{split}{i}.jpg")
        coco["images"].append({"id": i, "file_name": f"{split}{i}.jpg", "width": WIDTH, "height": HEIGHT})
        x, y, side = 2 + i, 3, 10
        square = [x, y, x + side, y, x + side, y + side, x, y + side]
        box = {"bbox": [x, y, side, side], "area": side**2, "iscrowd": 0, "segmentation": [square]}
        coco["annotations"].append({"id": i, "image_id": i, "category_id": 3 if i % 2 else 7, **box})
    return coco


class Segmentation:
    """``train`` and ``val`` with pictures of 32x24 pixels and label maps of the classes ground (0), wall and sky.

    Attributes:
        options: the config, ready to be changed.
    """

    def __init__(self, folder: Path, pictures: int = 3):
        self.folder = folder
        for split in ("train", "val"):
            for i in range(pictures):
                picture(folder / f"images/{split}/{split}{i}.jpg")
                self.write_map(split, i, np.indices((HEIGHT, WIDTH))[1] * 3 // WIDTH)
        load, annotations = dict(type="LoadImageFromFile"), dict(type="LoadAnnotations")
        resize, pack = dict(type="Resize", scale=(64, 48)), dict(type="PackSegInputs")
        self.options: dict[str, Any] = dict(
            default_scope="mmseg",
            model=dict(
                data_preprocessor=dict(type="SegDataPreProcessor", size=(48, 64)), decode_head=dict(num_classes=3)
            ),
            train_cfg=dict(type="IterBasedTrainLoop", max_iters=1),
            train_dataloader=self._loader("train", [load, annotations, resize, pack], "InfiniteSampler"),
            val_dataloader=self._loader("val", [load, resize, annotations, pack], "DefaultSampler"),
            val_evaluator=dict(type="IoUMetric", iou_metrics=["mIoU"]),
        )

    def _loader(self, split: str, pipeline: list[dict], sampler: str) -> dict:
        folders = dict(img_path=f"images/{split}", seg_map_path=f"maps/{split}")
        dataset = dict(type="BaseSegDataset", data_root=str(self.folder), data_prefix=folders, pipeline=pipeline)
        dataset |= dict(metainfo=dict(classes=("ground", "wall", "sky")))
        return dict(batch_size=2, num_workers=0, sampler=dict(type=sampler), dataset=dataset)

    def write_map(self, split: str, picture: int, values: Any) -> None:
        """Write the label map of a picture."""
        path = self.folder / f"maps/{split}/{split}{picture}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.asarray(values, np.uint8)).save(path)

    def config(self) -> Config:
        """The config."""
        return Config(self.options)
