# A miniature of COCO with its 12 super-classes: boxes, Faster R-CNN on a frozen ViT of any size. 218 photographs are
# few, so this is the hard one. Chosen on train pictures that were held out, measured on val (docs/photos.md).
#   mim train mmdetection downstream/faster-rcnn_sfp-frozen_coco-mini.py --cfg-options \
#       model.backbone.spec=vit-w128-d4 model.backbone.init_cfg.checkpoint=supernet.pth
_base_ = [
    "../configs/_base_/models/faster_rcnn_sfp_small.py",
    "../configs/_base_/models/families_photos.py",
    "../configs/_base_/datasets/data_coco_boxes.py",
    "../configs/_base_/schedules/dense_frozen.py",
    "../configs/_base_/runtime/detection_runtime.py",
]
classes = ("person", "vehicle", "outdoor", "animal", "accessory", "sports")
classes += ("kitchen", "food", "furniture", "electronic", "appliance", "indoor")
data = dict(data_root="data/coco_mini/", data_prefix=dict(img="images/"), metainfo=dict(classes=classes))
size = (256, 256)  # the longer side
train_pipeline = _base_.train_pipeline
train_pipeline[2].update(scale=size)  # Resize, which keeps the ratio
test_pipeline = _base_.test_pipeline
test_pipeline[1].update(scale=size)  # Resize
in_this_process = dict(num_workers=0, persistent_workers=False)
train_dataloader = dict(
    batch_size=2,
    dataset=dict(ann_file="annotations/instances_train_super12.json", pipeline=train_pipeline, **data),
    **in_this_process,
)
val_dataloader = dict(
    dataset=dict(ann_file="annotations/instances_val_super12.json", pipeline=test_pipeline, **data), **in_this_process
)
test_dataloader = val_dataloader
val_evaluator = dict(ann_file="data/coco_mini/annotations/instances_val_super12.json")
test_evaluator = val_evaluator
model = dict(
    backbone=dict(spec="vit-w128-d4", families=dict(_delete_=True, **_base_.photos_families)),
    rpn_head=dict(anchor_generator=dict(scales=[2, 4])),  # objects of 16 to 128 px
    roi_head=dict(bbox_head=dict(num_classes=len(classes))),
)
optim_wrapper = dict(optimizer=dict(lr=4e-3))
train_cfg = dict(max_iters=150)
auto_scale_lr = dict(base_batch_size=2)
measurement = dict(
    task="detection",
    protocol="faster-rcnn-sfp-frozen-coco-mini/1",
    dataset="coco-mini",
    split="val",
    metrics={"bbox_mAP": "coco/bbox_mAP", "bbox_mAP_50": "coco/bbox_mAP_50"},
    scale=100,
)
