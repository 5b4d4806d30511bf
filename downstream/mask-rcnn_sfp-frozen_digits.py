# As mask-rcnn_sfp_digits.py, but the heads alone are trained, and read the digits as well: what they find is what the
# frozen backbone knows. Of the demo's settings this one tells pre-training from random weights (docs/evaluation.md).
_base_ = "./mask-rcnn_sfp_digits.py"

max_iters = 200
ten_classes = dict(single_class=False)
train_dataloader = dict(dataset=ten_classes)
val_dataloader = dict(dataset=ten_classes)
test_dataloader = dict(dataset=ten_classes)
val_evaluator = ten_classes
test_evaluator = ten_classes
model = dict(
    backbone=dict(frozen_stages="all"),
    roi_head=dict(
        bbox_head=dict(num_classes=10),
        # masks of 14 px, about as large as digits are at 64 px, take a quarter of the operations of those of 28 px
        mask_roi_extractor=dict(roi_layer=dict(output_size=7)),
        mask_head=dict(num_classes=10),
    ),
    train_cfg=dict(rcnn=dict(mask_size=14)),
    test_cfg=dict(rcnn=dict(max_per_img=15)),  # a scene has 2 to 5 digits
)
# one learning rate, a high one: the backbone has none
optim_wrapper = dict(
    optimizer=dict(lr=4e-3, fused=True), constructor="DefaultOptimWrapperConstructor", paramwise_cfg=None
)
train_cfg = dict(max_iters=max_iters, val_interval=max_iters)
param_scheduler = _base_.param_scheduler  # warm-up, linear to zero
param_scheduler[1].update(end=max_iters)
default_hooks = dict(checkpoint=dict(interval=max_iters))
measurement = dict(protocol="mask-rcnn-sfp-frozen-digits/2")
