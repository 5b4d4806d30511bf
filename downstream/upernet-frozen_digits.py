# As upernet_digits.py, but the head alone is trained: what it finds is what the frozen backbone knows. Of the demo's
# settings this one tells pre-training from random weights (docs/evaluation.md).
_base_ = "./upernet_digits.py"

max_iters = 400
model = dict(backbone=dict(frozen_stages="all"))
# one learning rate, a high one: the backbone has none
optim_wrapper = dict(
    optimizer=dict(lr=1e-2, fused=True), constructor="DefaultOptimWrapperConstructor", paramwise_cfg=None
)
train_cfg = dict(max_iters=max_iters, val_interval=max_iters)
param_scheduler = _base_.param_scheduler  # warm-up, linear to zero
param_scheduler[1].update(end=max_iters)
default_hooks = dict(checkpoint=dict(interval=max_iters))
measurement = dict(protocol="upernet-frozen-digits/1")
