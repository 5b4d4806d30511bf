# A linear head on a frozen backbone, on the embedded digit scenes; any size of any family.
#   mim train mmsegmentation downstream/linear-seg_digits.py --cfg-options \
#       model.backbone.spec=vit-w96-d4 model.backbone.init_cfg.checkpoint=supernet.pth
_base_ = [
    "../configs/_base_/models/linear_segmentation.py",
    "../configs/_base_/models/families_digits.py",
    "../configs/_base_/datasets/data_digits_segmentation.py",
    "../configs/_base_/schedules/dense_digits.py",
    "../configs/_base_/runtime/segmentation_runtime.py",
]
model = dict(
    data_preprocessor=dict(mean=_base_.digits_mean, std=_base_.digits_std, size=_base_.window),  # as in pre-training
    test_cfg=_base_.sliding_test,
    backbone=dict(spec="vit-w96-d4", families=dict(_delete_=True, **_base_.digits_families)),
    decode_head=dict(
        num_classes=11,
        loss_decode=dict(class_weight=_base_.digit_weights),
    ),
)
# the backbone is frozen: nothing to decay over, and one layer alone takes a higher rate
optim_wrapper = dict(optimizer=dict(lr=1e-2), constructor="DefaultOptimWrapperConstructor", paramwise_cfg=None)
default_hooks = dict(checkpoint=dict(interval=100, max_keep_ckpts=1))
measurement = dict(
    task="segmentation",
    protocol="linear-segmentation-digits/3",
    dataset="digits-scenes",
    split="val",
    metrics={"mIoU": "mIoU", "mAcc": "mAcc", "aAcc": "aAcc"},
)
