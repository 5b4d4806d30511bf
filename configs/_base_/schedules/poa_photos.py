# Three epochs of fifty thousand small photos: the digits' schedule, longer.
_base_ = "./poa_digits.py"

epochs = 3
train_cfg = dict(max_epochs=epochs)
param_scheduler = _base_.param_scheduler  # warm-up, learning rate, weight decay
param_scheduler[0].update(end=0.3)
param_scheduler[1].update(begin=0.3)
default_hooks = dict(
    patch_weight=dict(begin=0.3),
    checkpoint=dict(interval=200),
)
