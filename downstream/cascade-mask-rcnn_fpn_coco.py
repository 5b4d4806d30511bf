# Cascade Mask R-CNN with FPN on COCO with the settings of the paper (table 2), 36 epochs; any size of any family.
#   mim train mmdetection downstream/cascade-mask-rcnn_fpn_coco.py --launcher pytorch -G 8 --cfg-options \
#       model.backbone.spec=vit-b model.backbone.init_cfg.checkpoint=supernet.pth
# What else follows the size (learning rate, layer decay, drop path): see the table in downstream/README.md.
_base_ = [
    "../configs/_base_/models/cascade_mask_rcnn_levels.py",
    "../configs/_base_/datasets/data_coco_instance_multiscale.py",
    "../configs/_base_/schedules/detection_36e.py",
    "mmdet::_base_/default_runtime.py",
]
model = dict(backbone=dict(drop_path_rate=0.1))
measurement = dict(
    task="detection",
    protocol="cascade-mask-rcnn-fpn-36e/1",
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
