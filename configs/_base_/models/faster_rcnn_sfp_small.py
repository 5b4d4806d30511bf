# Faster R-CNN for minutes of one core: a frozen ViT, and heads of 64 channels on the strides 8, 16 and 32 of its simple
# feature pyramid. Boxes alone. Anchors of stride s are squares of the side 3 s, and as large ones of 1:2 and 2:1.
_base_ = "./mask_rcnn_sfp.py"

channels = 64
strides = [8, 16, 32]
model = dict(
    base="mmdet.FasterRCNN",
    data_preprocessor=dict(pad_mask=False),
    backbone=dict(frozen_stages="all"),
    neck=dict(out_channels=channels, out_strides=strides, num_outs=len(strides)),
    rpn_head=dict(
        in_channels=channels,
        feat_channels=channels,
        anchor_generator=dict(scales=[3], strides=strides),
    ),
    roi_head=dict(
        bbox_roi_extractor=dict(
            out_channels=channels, featmap_strides=strides, finest_scale=28, roi_layer=dict(sampling_ratio=2)
        ),
        bbox_head=dict(in_channels=channels, fc_out_channels=128),
        mask_roi_extractor=None,
        mask_head=None,
    ),
    train_cfg=dict(
        rpn=dict(sampler=dict(num=64)),
        rpn_proposal=dict(nms_pre=200, max_per_img=64),
        rcnn=dict(sampler=dict(num=64, pos_fraction=0.5)),  # few regions: half of them on objects
    ),
    test_cfg=dict(rpn=dict(nms_pre=200, max_per_img=100), rcnn=dict(max_per_img=50)),
)
