# POA on the photos of CIFAR-10, 12 ViT sizes of patch 8: half an hour on 2 cores; reports/cifar10 holds its results.
#   python tools/train.py poa_vit_cifar10.py        data/cifar10_jpeg_full.npz holds JPEGs
_base_ = [
    "../configs/_base_/models/poa_vit_digits.py",
    "../configs/_base_/datasets/data_cifar10_pretrain.py",
    "../configs/_base_/schedules/poa_digits.py",
]
train_cfg = dict(max_epochs=3)
param_scheduler = _base_.param_scheduler  # warm-up, learning rate, weight decay
param_scheduler[0].update(end=0.3)
param_scheduler[1].update(begin=0.3)
model = dict(
    data_preprocessor=dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375]),
    backbone=dict(space=dict(widths=[64, 96, 128, 192], depths=[2, 4, 6])),
    head=dict(prototypes=[64, 128]),
)
default_hooks = dict(
    patch_weight=dict(begin=0.3),
    checkpoint=dict(interval=200),
    knn=dict(type="poa_bench.KnnHook", data="cifar10-10k", interval=0.5),
)
