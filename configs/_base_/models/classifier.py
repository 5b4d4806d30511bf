# A linear classifier on the class feature of one sub-network of any family, all of it trained.
_base_ = "./families_paper.py"

model = dict(
    type="poa_bench.SizedModel",
    base="mmpretrain.ImageClassifier",
    backbone=dict(
        type="poa_bench.SubnetBackbone",
        spec="vit-s",
        families={{_base_.families}},
        output="pooled",
        init_cfg=dict(type="Pretrained", checkpoint=None),
    ),
    neck=None,
    head=dict(
        type="LinearClsHead",
        num_classes=1000,
        in_channels="backbone.features",
        loss=dict(type="LabelSmoothLoss", label_smooth_val=0.1, mode="original"),
        init_cfg=dict(type="TruncNormal", layer="Linear", std=0.02),
    ),
)
