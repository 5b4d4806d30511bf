# As mask-rcnn_sfp_digits.py, but the heads alone are trained, and read the digits as well: what they find is what the
# frozen backbone knows. Of the demo's settings this one tells pre-training from random weights (docs/evaluation.md).
_base_ = "./mask-rcnn_sfp_digits.py"

max_iters = 300
ten_classes = dict(single_class=False)
train_dataloader = dict(dataset=ten_classes)
val_dataloader = dict(dataset=ten_classes)
test_dataloader = dict(dataset=ten_classes)
val_evaluator = ten_classes
test_evaluator = ten_classes
model = dict(
    backbone=dict(frozen_stages="all"),
    roi_head=dict(bbox_head=dict(num_classes=10), mask_head=dict(num_classes=10)),
)
# one learning rate: the backbone has none to decay
optim_wrapper = dict(constructor="DefaultOptimWrapperConstructor", paramwise_cfg=None)
train_cfg = dict(max_iters=max_iters, val_interval=max_iters)
param_scheduler = _base_.param_scheduler  # warm-up, linear to zero
param_scheduler[1].update(end=max_iters)
default_hooks = dict(checkpoint=dict(interval=150))
measurement = dict(protocol="mask-rcnn-sfp-frozen-digits/1")
