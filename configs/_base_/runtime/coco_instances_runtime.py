# Instance segmentation on COCO, 36 epochs, but for the model and the name of the protocol.
_base_ = [
    "../datasets/data_coco_instance_multiscale.py",
    "../schedules/detection_36e.py",
    "mmdet::_base_/default_runtime.py",
]
measurement = dict(
    task="detection",
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
