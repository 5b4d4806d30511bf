"""A training whose data sets or heads do not mean the same classes is refused before its first step."""

import pytest
from mmengine.config import Config
from mmengine.dataset import BaseDataset, RepeatDataset
from mmengine.hooks import Hook
from mmengine.registry import DATASETS, HOOKS
from PIL import Image
from torch import nn

from poa_bench.config_files import find_config, read_config
from poa_bench.downstream.class_names_hook import check_heads, compare_classes
from poa_bench.errors import InputError
from poa_bench.launch import build_runner
from tests.datasets.packings import coloured
from tests.datasets.test_coco import build, write_coco

pytest.importorskip("mmdet")
pytest.importorskip("mmseg")


def named(*classes: str) -> BaseDataset:
    return BaseDataset(metainfo=dict(classes=classes), lazy_init=True)


def test_lists_of_classes_are_compared_in_their_order():
    compare_classes(named("a", "b"), named("a", "b"), "val_dataloader")
    with pytest.raises(InputError, match="label 0 is 'a' in train_dataloader, but 'b' in val_dataloader: "):
        compare_classes(named("a", "b"), named("b", "a"), "val_dataloader")
    with pytest.raises(InputError, match="label 2 is 'c' in train_dataloader, but no class in val_dataloader"):
        compare_classes(named("a", "b", "c"), named("a", "b"), "val_dataloader")


def test_class_folders_of_mmpretrain(tmp_path):
    """It numbers the folders of each split apart, also where it is given their names."""
    pytest.importorskip("mmpretrain")
    folders = coloured(tmp_path / "train", "abc"), coloured(tmp_path / "val", "bcd")

    def data(folder, **settings):
        return DATASETS.build(dict(type="mmpretrain.CustomDataset", data_prefix=str(folder), pipeline=[], **settings))

    for settings in ({}, dict(metainfo=dict(classes=("x", "y", "z")))):
        train, val = (data(folder, **settings) for folder in folders)
        with pytest.raises(InputError, match="label 0 is 'a' in train_dataloader, but 'b' in val_dataloader"):
            compare_classes(train, val, "val_dataloader")
        compare_classes(train, train, "val_dataloader")
    listed = tmp_path / "val.txt"
    listed.write_text("b/0.png 1\n")  # ImageNet's folders have other names than its classes
    compare_classes(train, data(folders[1], ann_file=str(listed), **settings), "val_dataloader")


def test_a_category_of_val_that_train_has_not(tmp_path):
    categories = {1: "cat", 2: "dog", 3: "horse"}
    train = write_coco(tmp_path / "train.json", categories, annotated=["cat", "dog"])
    val = write_coco(tmp_path / "val.json", categories, annotated=["cat", "horse"])

    def data(path):
        return RepeatDataset(build(path, classes=("cat", "dog")), times=2)

    compare_classes(data(val), data(train), "val_dataloader")  # left out of both on purpose
    with pytest.raises(InputError, match="of val_dataloader have the categories 'horse', which neither the training"):
        compare_classes(data(train), data(val), "val_dataloader")


def test_heads_tell_apart_as_many_classes_as_there_are():
    head, rpn_head = nn.Linear(1, 1), nn.Linear(1, 1)
    head.num_classes, rpn_head.num_classes = 80, 1
    model = nn.ModuleDict(dict(bbox_head=head, rpn_head=rpn_head))
    with pytest.raises(InputError, match="model.bbox_head has num_classes=80, but the training data has 2 classes"):
        check_heads(model, ("a", "b"))
    head.num_classes = 2
    check_heads(model, ("a", "b"))


@HOOKS.register_module()
class Stop(Hook):
    """Ends a training in its first step."""

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        raise KeyboardInterrupt


@pytest.fixture
def segmentation(tmp_path) -> Config:
    """A segmentation of two classes, value 1 being sky."""
    for name in ("images", "maps"):
        (tmp_path / name).mkdir()
    Image.new("RGB", (32, 32)).save(tmp_path / "images/x.jpg")
    Image.new("L", (32, 32), 1).save(tmp_path / "maps/x.png")
    config = read_config(find_config("linear-seg_digits.py"), {"train_cfg.max_iters": 1, "train_cfg.val_interval": 1})
    data = dict(type="BaseSegDataset", data_root=str(tmp_path), metainfo=dict(classes=["wall", "sky"]))
    data |= dict(data_prefix=dict(img_path="images", seg_map_path="maps"))
    for loader in ("train_dataloader", "val_dataloader", "test_dataloader"):
        config[loader].dataset = dict(**data, pipeline=config[loader].dataset.pipeline)
    head = config.model.decode_head
    head.num_classes, head.loss_decode.class_weight = 2, None
    config.custom_hooks, config.work_dir, config.log_level = [dict(type="Stop")], str(tmp_path / "work"), "WARNING"
    config.launcher = "none"
    return config


def test_a_training_is_refused_before_it_begins(segmentation):
    with pytest.raises(KeyboardInterrupt):
        build_runner(segmentation).train()
    segmentation.val_dataloader.dataset.metainfo.classes = ["sky", "wall"]
    segmentation.work_dir += "2"
    with pytest.raises(InputError, match="label 0 is 'wall' in train_dataloader, but 'sky' in val_dataloader"):
        build_runner(segmentation).train()
