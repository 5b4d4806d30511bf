# Minutes, for distillation: three times the learning rate of poa_digits.py (docs/distill.md), else as there.
_base_ = "./pretrain_adamw.py"

train_cfg = dict(max_epochs=10)
optim_wrapper = dict(
    optimizer=dict(lr=1.2e-2),  # 3e-3 at 64 pictures
    paramwise_cfg=dict(layer_decay=1.0, patch_embed_lr=1.0),
)
param_scheduler = _base_.param_scheduler  # warm-up, learning rate, weight decay
param_scheduler[0].update(end=2)
param_scheduler[1].update(begin=2)
param_scheduler[2].update(eta_min_ratio=5)
default_hooks = dict(logger=dict(interval=20), checkpoint=dict(interval=100))
log_processor = dict(window_size=20)
