# UPerNet (arXiv 1807.10221) on the four levels of one sub-network of any family, as in BEiT, iBOT and POA.
# The head is as wide as the last level: 384 for ViT-S, 768 for ViT-B. For Swin and ResNet the field takes 512:
# model.decode_head.channels=512.
_base_ = "./families_paper.py"

norm_cfg = dict(type="SyncBN", requires_grad=True)
model = dict(
    type="poa_bench.SizedModel",
    base="mmseg.EncoderDecoder",
    data_preprocessor=dict(
        type="SegDataPreProcessor",
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        pad_val=0,
        seg_pad_val=255,
        size=(512, 512),
    ),
    backbone=dict(
        type="poa_bench.SubnetBackbone",
        spec="vit-s",
        families={{_base_.families}},
        init_cfg=dict(type="Pretrained", checkpoint=None),
    ),
    neck=dict(type="poa_bench.LevelResampling", in_channels="backbone.channels", in_strides="backbone.strides"),
    decode_head=dict(
        type="UPerHead",
        in_channels="backbone.channels",
        in_index=[0, 1, 2, 3],
        pool_scales=(1, 2, 3, 6),
        channels="backbone.width",
        dropout_ratio=0.1,
        num_classes=150,
        norm_cfg=norm_cfg,
        align_corners=False,
        loss_decode=dict(type="CrossEntropyLoss", use_sigmoid=False, loss_weight=1.0),
    ),
    auxiliary_head=dict(
        type="FCNHead",
        in_channels="backbone.channels[2]",
        in_index=2,
        channels=256,
        num_convs=1,
        concat_input=False,
        dropout_ratio=0.1,
        num_classes=150,
        norm_cfg=norm_cfg,
        align_corners=False,
        loss_decode=dict(type="CrossEntropyLoss", use_sigmoid=False, loss_weight=0.4),
    ),
    train_cfg=dict(),
    test_cfg=dict(mode="whole"),
)
