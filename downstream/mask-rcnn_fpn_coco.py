# Mask R-CNN with FPN on COCO, 36 epochs; any size of any family.
#   mim train mmdetection downstream/mask-rcnn_fpn_coco.py --launcher pytorch -G 8 --cfg-options \
#       model.backbone.spec=vit-b model.backbone.init_cfg.checkpoint=supernet.pth
# What else follows the size (learning rate, layer decay, drop path): see the table in downstream/README.md.
_base_ = ["../configs/_base_/models/mask_rcnn_levels.py", "../configs/_base_/runtime/coco_instances_runtime.py"]
model = dict(backbone=dict(drop_path_rate=0.1))
measurement = dict(protocol="mask-rcnn-fpn-36e/1")
