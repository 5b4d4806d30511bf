# UPerNet on ADE20K with the settings of the paper (table 2), 160k iterations; any size of any family.
#   mim train mmsegmentation downstream/upernet_ade20k.py --launcher pytorch -G 8 --cfg-options \
#       model.backbone.spec=vit-b model.backbone.init_cfg.checkpoint=supernet.pth
# What else follows the size (learning rate, layer decay, drop path): see the table in downstream/README.md.
_base_ = [
    "../configs/_base_/models/upernet_levels.py",
    "../configs/_base_/datasets/data_ade20k_512.py",
    "../configs/_base_/schedules/segmentation_160k.py",
    "../configs/_base_/runtime/segmentation_runtime.py",
]
model = dict(
    backbone=dict(drop_path_rate=0.1),
    test_cfg=dict(mode="slide", crop_size=(512, 512), stride=(341, 341)),
)
optim_wrapper = dict(optimizer=dict(lr=6e-5), paramwise_cfg=dict(layer_decay_rate=0.8))
measurement = dict(
    task="segmentation",
    protocol="upernet-160k/1",
    dataset="ade20k",
    split="val",
    metrics={"mIoU": "mIoU", "mAcc": "mAcc", "aAcc": "aAcc"},
)
