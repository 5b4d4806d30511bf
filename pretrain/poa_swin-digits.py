# POA on the embedded digits: all sizes of a small Swin supernet from one run. A few minutes on 2 cores.
#   mim train poa_bench poa_swin-digits.py        or        python tools/train.py poa_swin-digits.py
_base_ = [
    "../configs/_base_/models/poa_swin_digits.py",
    "../configs/_base_/datasets/digits_pretrain.py",
    "../configs/_base_/schedules/poa_adamw.py",
]
epochs = 12
warmup = 2
train_cfg = dict(max_epochs=epochs)
param_scheduler = _base_.param_scheduler  # warm-up, learning rate, weight decay
param_scheduler[0].update(end=warmup)
param_scheduler[1].update(begin=warmup)
train_dataloader = dict(collate_fn=dict(grid=(4, 4), mask_ratio=(0.1, 0.3)))
default_hooks = dict(
    teacher_temperature=dict(length=warmup),
    patch_weight=dict(begin=warmup),
)
