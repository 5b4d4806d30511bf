# Mask R-CNN with the simple feature pyramid of ViTDet (arXiv 2203.16527) on one sub-network; for ViTs.
_base_ = ["mmdet::_base_/models/mask-rcnn_r50_fpn.py", "./families_paper.py"]

model = dict(
    type="poa_bench.SizedModel",
    base="mmdet.MaskRCNN",
    backbone=dict(
        _delete_=True,
        type="poa_bench.SubnetBackbone",
        spec="vit-s",
        families={{_base_.families}},
        init_cfg=dict(type="Pretrained", checkpoint=None),
    ),
    neck=dict(
        _delete_=True,
        type="poa_bench.SimpleFeaturePyramid",
        in_channels="backbone.channels[-1]",
        in_stride="backbone.strides[-1]",
        out_channels=256,
    ),
)
