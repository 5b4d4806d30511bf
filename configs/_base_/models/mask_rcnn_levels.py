# Mask R-CNN with FPN on the four levels of one sub-network of any family; ViT levels are resampled as in BEiT.
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
    neck=[
        dict(type="poa_bench.LevelResampling", in_channels="backbone.channels", in_strides="backbone.strides"),
        dict(type="FPN", in_channels="backbone.channels", out_channels=256, num_outs=5),
    ],
)
