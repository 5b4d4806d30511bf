# Blood cells under a microscope (BCCD): boxes of three classes, Faster R-CNN on a frozen ViT of any size. Chosen on the
# val pictures, measured on the test pictures (docs/photos.md).
#   mim train mmdetection downstream/faster-rcnn_sfp-frozen_bccd.py --cfg-options \
#       model.backbone.spec=vit-w128-d4 model.backbone.init_cfg.checkpoint=supernet.pth
_base_ = [
    "../configs/_base_/models/faster_rcnn_sfp_small.py",
    "../configs/_base_/models/families_photos.py",
    "../configs/_base_/datasets/data_coco_boxes.py",
    "../configs/_base_/schedules/dense_frozen.py",
    "../configs/_base_/runtime/detection_runtime.py",
]
metainfo = dict(classes=("RBC", "WBC", "Platelets"), palette=[(213, 94, 0), (86, 60, 180), (0, 158, 115)])
data = dict(data_root="data/bccd/", data_prefix=dict(img="images/"), metainfo=metainfo)
size = (320, 240)
train_pipeline = _base_.train_pipeline
train_pipeline[2].update(scale=size)  # Resize, which keeps the ratio
test_pipeline = _base_.test_pipeline
test_pipeline[1].update(scale=size)  # Resize
in_this_process = dict(num_workers=0, persistent_workers=False)
train_dataloader = dict(
    batch_size=2,
    dataset=dict(ann_file="annotations/instances_train.json", pipeline=train_pipeline, **data),
    **in_this_process,
)
val_dataloader = dict(
    dataset=dict(ann_file="annotations/instances_test.json", pipeline=test_pipeline, **data), **in_this_process
)
test_dataloader = val_dataloader
val_evaluator = dict(ann_file="data/bccd/annotations/instances_test.json", classwise=True)
test_evaluator = val_evaluator
model = dict(
    backbone=dict(spec="vit-w128-d4", families=dict(_delete_=True, **_base_.photos_families)),
    roi_head=dict(bbox_head=dict(num_classes=3)),
)
optim_wrapper = dict(optimizer=dict(lr=4e-3))
train_cfg = dict(max_iters=150)
auto_scale_lr = dict(base_batch_size=2)
measurement = dict(
    task="detection",
    protocol="faster-rcnn-sfp-frozen-bccd/1",
    dataset="bccd",
    split="test",
    metrics={
        "bbox_mAP": "coco/bbox_mAP",
        "bbox_mAP_50": "coco/bbox_mAP_50",
        "RBC_AP": "coco/RBC_precision",
        "WBC_AP": "coco/WBC_precision",
        "Platelets_AP": "coco/Platelets_precision",
    },
    scale=100,
)
