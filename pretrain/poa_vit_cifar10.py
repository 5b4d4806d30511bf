# POA on CIFAR-10, 12 ViT sizes of patch 4. Written for an hour on 2 cores; not tuned.
#   python tools/train.py poa_vit_cifar10.py        data/cifar10_jpeg_full.npz holds JPEGs
_base_ = [
    "../configs/_base_/models/poa_vit_digits.py",
    "../configs/_base_/datasets/data_cifar10_pretrain.py",
    "../configs/_base_/schedules/poa_adamw.py",
]
epochs = 30
warmup = 3
model = dict(
    data_preprocessor=dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375]),
    backbone=dict(init_values=0.1),
    head=dict(prototypes=[512, 1024, 2048]),
)
train_cfg = dict(max_epochs=epochs)
param_scheduler = _base_.param_scheduler  # warm-up, learning rate, weight decay
param_scheduler[0].update(end=warmup)
param_scheduler[1].update(begin=warmup)
default_hooks = dict(
    teacher_temperature=dict(length=warmup),
    patch_weight=dict(begin=warmup),
    collapse=dict(type="poa_bench.CollapseHook", interval=100, begin=5),
)
