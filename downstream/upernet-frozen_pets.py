# Three breeds of pets and their background: UPerNet on a frozen network of any size. Chosen on train pictures that were
# held out, measured on the test pictures (docs/photos.md).
#   mim train mmsegmentation downstream/upernet-frozen_pets.py --cfg-options \
#       model.backbone.spec=vit-w128-d4 model.backbone.init_cfg.checkpoint=supernet.pth
_base_ = [
    "../configs/_base_/models/upernet_levels.py",
    "../configs/_base_/models/families_photos.py",
    "../configs/_base_/datasets/data_label_maps.py",
    "../configs/_base_/schedules/dense_frozen.py",
    "../configs/_base_/runtime/segmentation_runtime.py",
]
classes = ("background", "cat_Abyssinian", "cat_Bengal", "dog_american_bulldog")
colours = [(0, 0, 0), (0, 90, 200), (0, 160, 60), (220, 60, 0)]
data = dict(data_root="data/pets3_256/", metainfo=dict(classes=classes, palette=colours))
size = (192, 192)  # the longer side is 256 px in the files
crop_size = (128, 128)
train_pipeline = _base_.train_pipeline
train_pipeline[2].update(scale=size, ratio_range=(0.75, 1.5))  # RandomResize
train_pipeline[3].update(crop_size=crop_size)  # RandomCrop
test_pipeline = _base_.test_pipeline
test_pipeline[1].update(scale=size)  # Resize
# three scales, mirrored and not
tta_model = dict(type="SegTTAModel")
tta_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(
        type="TestTimeAug",
        transforms=[
            [dict(type="Resize", scale=(side, side), keep_ratio=True) for side in (160, 192, 224)],
            [dict(type="RandomFlip", prob=0.0), dict(type="RandomFlip", prob=1.0)],
            [dict(type="LoadAnnotations")],
            [dict(type="PackSegInputs")],
        ],
    ),
]
train = dict(img_path="images/train", seg_map_path="masks/train")
test = dict(img_path="images/test", seg_map_path="masks/test")
in_this_process = dict(num_workers=0, persistent_workers=False)
train_dataloader = dict(dataset=dict(data_prefix=train, pipeline=train_pipeline, **data), **in_this_process)
val_dataloader = dict(dataset=dict(data_prefix=test, pipeline=test_pipeline, **data), **in_this_process)
test_dataloader = val_dataloader
model = dict(
    data_preprocessor=dict(size=crop_size),
    backbone=dict(spec="vit-w128-d4", families=dict(_delete_=True, **_base_.photos_families), frozen_stages="all"),
    neck=dict(out_strides=(8, 8, 16, 32)),
    decode_head=dict(channels=48, pool_scales=(1, 2), num_classes=len(classes)),
    auxiliary_head=None,
)
optim_wrapper = dict(optimizer=dict(lr=5e-3))
train_cfg = dict(max_iters=60)
auto_scale_lr = dict(base_batch_size=8)
default_hooks = dict(checkpoint=dict(interval=100, max_keep_ckpts=1))
measurement = dict(
    task="segmentation",
    protocol="upernet-frozen-pets/1",
    dataset="pets3",
    split="test",
    metrics={"mIoU": "mIoU", "mAcc": "mAcc", "aAcc": "aAcc"},
)
