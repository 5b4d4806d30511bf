# Mask R-CNN with a simple feature pyramid on the embedded digit scenes; for ViTs of any size.
#   mim train mmdetection downstream/mask-rcnn_sfp_digits.py --cfg-options \
#       model.backbone.spec=vit-w96-d4 model.backbone.init_cfg.checkpoint=supernet.pth
_base_ = [
    "../configs/_base_/models/mask_rcnn_sfp.py",
    "../configs/_base_/models/families_digits.py",
    "../configs/_base_/datasets/data_digits_detection.py",
    "../configs/_base_/schedules/dense_digits.py",
    "../configs/_base_/runtime/detection_runtime.py",
]
# digits are 16 to 28 of 64 pixels: two levels and narrow heads are enough
strides = [4, 8]
channels = 48
model = dict(
    data_preprocessor=dict(mean=_base_.digits_mean, std=_base_.digits_std),  # as in pre-training
    backbone=dict(spec="vit-w96-d4", families=dict(_delete_=True, **_base_.digits_families)),
    neck=dict(out_channels=channels, out_strides=strides, num_outs=len(strides)),
    rpn_head=dict(
        in_channels=channels,
        feat_channels=channels,
        anchor_generator=dict(scales=[4], strides=strides),
    ),
    roi_head=dict(
        bbox_roi_extractor=dict(out_channels=channels, featmap_strides=strides),
        bbox_head=dict(in_channels=channels, fc_out_channels=128, num_classes=1),
        mask_roi_extractor=dict(out_channels=channels, featmap_strides=strides),
        mask_head=dict(num_convs=2, in_channels=channels, conv_out_channels=channels, num_classes=1),
    ),
    train_cfg=dict(
        rpn=dict(sampler=dict(num=64)),
        rpn_proposal=dict(nms_pre=200, max_per_img=64),
        rcnn=dict(sampler=dict(num=32)),
    ),
    test_cfg=dict(rpn=dict(nms_pre=200, max_per_img=64), rcnn=dict(max_per_img=30)),
)
default_hooks = dict(checkpoint=dict(interval=100))
measurement = dict(
    task="detection",
    protocol="mask-rcnn-sfp-digits/4",
    dataset="digits-scenes",
    split="val",
    metrics={
        "bbox_mAP": "coco/bbox_mAP",
        "segm_mAP": "coco/segm_mAP",
        "bbox_mAP_50": "coco/bbox_mAP_50",
        "segm_mAP_50": "coco/segm_mAP_50",
    },
    scale=100,
)
