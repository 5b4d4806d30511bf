# A linear head on a frozen backbone: one 1x1 convolution on the four levels, resized to one size and concatenated.
_base_ = "./families_paper.py"

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
        spec="vit-b",
        families={{_base_.families}},
        frozen_stages="all",
        init_cfg=dict(type="Pretrained", checkpoint=None),
    ),
    decode_head=dict(
        type="FCNHead",
        in_channels="backbone.channels",
        in_index=[0, 1, 2, 3],
        input_transform="resize_concat",
        channels="sum(backbone.channels)",
        num_convs=0,
        concat_input=False,
        dropout_ratio=0.0,
        num_classes=150,
        align_corners=False,
        loss_decode=dict(type="CrossEntropyLoss", use_sigmoid=False, loss_weight=1.0),
    ),
    train_cfg=dict(),
    test_cfg=dict(mode="whole"),
)
