# POA on the embedded digits: all sizes of a small ResNet supernet from one run. A few minutes on 2 cores.
#   mim train poa_bench poa_resnet-digits.py        or        python tools/train.py poa_resnet-digits.py
_base_ = [
    "../configs/_base_/models/poa_resnet_digits.py",
    "../configs/_base_/datasets/digits_pretrain.py",
    "../configs/_base_/schedules/poa_adamw.py",
]
epochs = 12
warmup = 2
train_cfg = dict(max_epochs=epochs)
optim_wrapper = dict(paramwise_cfg=dict(layer_decay=0.95))
param_scheduler = _base_.param_scheduler  # warm-up, learning rate, weight decay
param_scheduler[0].update(end=warmup)
param_scheduler[1].update(begin=warmup)
train_dataloader = dict(collate_fn=dict(mask_ratio=(0.1, 0.3)))
default_hooks = dict(
    teacher_temperature=dict(length=warmup),
    patch_weight=dict(begin=warmup),
)
