# 12 ViT sizes on CIFAR-10 from one frozen network, by its features, as distill_vit-digits.py; with poa_vit_cifar10.py
# and seed_vit_cifar10.py it makes the comparison of `poa-bench reproduce seed-table --scale small`.
#   python tools/train.py distill_vit_cifar10.py --cfg-options model.teacher.checkpoint=FILE
_base_ = [
    "../../configs/_base_/models/poa_vit_digits.py",
    "../../configs/_base_/datasets/data_cifar10_pretrain.py",
    "../../configs/_base_/schedules/distill_digits.py",
]
train_cfg = dict(max_epochs=3)
param_scheduler = _base_.param_scheduler  # warm-up, learning rate, weight decay
param_scheduler[0].update(end=0.3)
param_scheduler[1].update(begin=0.3)
model = dict(
    type="poa_bench.Distill",
    data_preprocessor=dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375]),
    backbone=dict(space=dict(widths=[64, 96, 128, 192], depths=[2, 4, 6])),
    teacher=dict(checkpoint=None),
    head=dict(_delete_=True, type="poa_bench.FeatureMatching", weights=dict(masked=0.0), normalised=True),
)
train_dataloader = _base_.train_dataloader
train_dataloader["dataset"]["pipeline"][0].update(local_count=0)
default_hooks = dict(checkpoint=dict(interval=200))
