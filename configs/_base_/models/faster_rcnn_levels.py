# Faster R-CNN with FPN on the four levels of one sub-network of any family: Mask R-CNN without masks.
_base_ = "./mask_rcnn_levels.py"

model = dict(
    base="mmdet.FasterRCNN",
    data_preprocessor=dict(pad_mask=False),
    roi_head=dict(mask_roi_extractor=None, mask_head=None),
)
