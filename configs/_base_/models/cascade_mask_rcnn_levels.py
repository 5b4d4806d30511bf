# Cascade Mask R-CNN as iBOT and POA use it: four-convolution box heads with synchronised batch norm, GIoU loss.
_base_ = ["mmdet::_base_/models/cascade-mask-rcnn_r50_fpn.py", "./families_paper.py"]

model = dict(
    type="poa_bench.SizedModel",
    base="mmdet.CascadeRCNN",
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
    roi_head=dict(
        bbox_head=[
            dict(
                type="ConvFCBBoxHead",
                num_shared_convs=4,
                num_shared_fcs=1,
                in_channels=256,
                conv_out_channels=256,
                fc_out_channels=1024,
                roi_feat_size=7,
                num_classes=80,
                reg_class_agnostic=False,
                reg_decoded_bbox=True,
                norm_cfg=dict(type="SyncBN", requires_grad=True),
                bbox_coder=dict(
                    type="DeltaXYWHBBoxCoder",
                    target_means=[0.0, 0.0, 0.0, 0.0],
                    target_stds=[0.1 / stage, 0.1 / stage, 0.2 / stage, 0.2 / stage],
                ),
                loss_cls=dict(type="CrossEntropyLoss", use_sigmoid=False, loss_weight=1.0),
                loss_bbox=dict(type="GIoULoss", loss_weight=10.0),
            )
            for stage in (1, 2, 3)
        ],
    ),
)
