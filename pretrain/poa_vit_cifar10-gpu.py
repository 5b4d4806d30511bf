# POA on CIFAR-10, 12 larger ViT sizes of patch 4, for one GPU: about 7 minutes and 27 GiB on an H200, where 1,780 of
# 1,940 steps took 383 s. reports/cifar10-gpu holds the results of step 1,500.
#   python tools/train.py poa_vit_cifar10-gpu.py        data/cifar10_jpeg_full.npz holds JPEGs
_base_ = "./poa_vit_cifar10.py"
train_dataloader = dict(
    batch_size=512,
    num_workers=14,
    persistent_workers=True,
    pin_memory=True,
    collate_fn=dict(grid=(8, 8), mask_ratio=(0.1, 0.5)),
)
model = dict(
    backbone=dict(space=dict(widths=[192, 256, 320, 384], depths=[6, 9, 12], head_dim=32), patch_size=4),
    head=dict(prototypes=[128, 256], hidden_features=1024),
    compile_blocks=True,
)
train_cfg = dict(max_epochs=20)
optim_wrapper = dict(type="poa_bench.Bfloat16OptimWrapper", optimizer=dict(lr=1.4e-3, fused=True))  # 1e-3 at 512
param_scheduler = _base_.param_scheduler  # warm-up, learning rate, weight decay
param_scheduler[0].update(end=3)
param_scheduler[1].update(begin=3)
default_hooks = dict(patch_weight=dict(begin=3), knn=dict(interval=5), checkpoint=dict(interval=500))
