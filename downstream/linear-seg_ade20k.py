# A linear head on a frozen backbone, ADE20K, 160k iterations; any size of any family.
#   mim train mmsegmentation downstream/linear-seg_ade20k.py --launcher pytorch -G 8 --cfg-options \
#       model.backbone.spec=vit-b model.backbone.init_cfg.checkpoint=supernet.pth
_base_ = [
    "../configs/_base_/models/linear_segmentation.py",
    "../configs/_base_/datasets/data_ade20k_512.py",
    "../configs/_base_/schedules/segmentation_160k.py",
    "../configs/_base_/runtime/segmentation_runtime.py",
]
model = dict(test_cfg=dict(mode="slide", crop_size=(512, 512), stride=(341, 341)))
# the backbone is frozen: nothing to decay over
optim_wrapper = dict(optimizer=dict(lr=7e-4), constructor="DefaultOptimWrapperConstructor", paramwise_cfg=None)
measurement = dict(
    task="segmentation",
    protocol="linear-segmentation-160k/1",
    dataset="ade20k",
    split="val",
    metrics={"mIoU": "mIoU", "mAcc": "mAcc", "aAcc": "aAcc"},
)
