# Mask R-CNN with a simple feature pyramid on COCO, 36 epochs; for ViTs of any size.
#   mim train mmdetection downstream/mask-rcnn_sfp_coco.py --launcher pytorch -G 8 --cfg-options \
#       model.backbone.spec=vit-b model.backbone.init_cfg.checkpoint=supernet.pth
# What else follows the size (learning rate, layer decay, drop path): see the table in downstream/README.md.
_base_ = [
    "../configs/_base_/models/mask_rcnn_sfp.py",
    "../configs/_base_/datasets/data_coco_instance_multiscale.py",
    "../configs/_base_/schedules/detection_36e.py",
    "mmdet::_base_/default_runtime.py",
]
model = dict(backbone=dict(drop_path_rate=0.1))
measurement = dict(
    task="detection",
    protocol="mask-rcnn-sfp-36e/2",
    dataset="coco2017",
    split="val",
    metrics={
        "bbox_mAP": "coco/bbox_mAP",
        "segm_mAP": "coco/segm_mAP",
        "bbox_mAP_50": "coco/bbox_mAP_50",
        "segm_mAP_50": "coco/segm_mAP_50",
    },
    scale=100,
)
