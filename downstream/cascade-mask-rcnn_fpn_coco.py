# Cascade Mask R-CNN with FPN on COCO with the settings of the paper (table 2), 36 epochs; any size of any family.
#   mim train mmdetection downstream/cascade-mask-rcnn_fpn_coco.py --launcher pytorch -G 8 --cfg-options \
#       model.backbone.spec=vit-b model.backbone.init_cfg.checkpoint=supernet.pth
# What else follows the size (learning rate, layer decay, drop path): see the table in downstream/README.md.
_base_ = ["../configs/_base_/models/cascade_mask_rcnn_levels.py", "../configs/_base_/runtime/coco_instances_runtime.py"]
model = dict(backbone=dict(drop_path_rate=0.1))
measurement = dict(protocol="cascade-mask-rcnn-fpn-36e/1")
