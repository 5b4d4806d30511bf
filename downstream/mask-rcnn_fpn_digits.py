# Mask R-CNN with FPN on the embedded digit scenes; any size of any family.
#   mim train mmdetection downstream/mask-rcnn_fpn_digits.py --cfg-options \
#       model.backbone.spec=vit-w96-d4 model.backbone.init_cfg.checkpoint=supernet.pth
_base_ = "./mask-rcnn_sfp_digits.py"

strides = [4, 8, 16, 32]
model = dict(
    neck=[
        dict(
            type="poa_bench.LevelResampling",
            in_channels="backbone.channels",
            in_strides="backbone.strides",
            out_strides=strides,
        ),
        dict(type="FPN", in_channels="backbone.channels", out_channels={{_base_.channels}}, num_outs=len(strides)),
    ],
    rpn_head=dict(anchor_generator=dict(strides=strides)),
    roi_head=dict(
        bbox_roi_extractor=dict(featmap_strides=strides),
        mask_roi_extractor=dict(featmap_strides=strides),
    ),
)
measurement = dict(protocol="mask-rcnn-fpn-digits/3")
