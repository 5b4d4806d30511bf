# One size of poa_vit_cifar10.py trained alone with the same recipe: the dedicated network that POA is compared with.
#   python tools/train.py poa_vit_cifar10-alone.py --work-dir work_dirs/cifar10/alone-w64-d2 \
#       --cfg-options model.backbone.space.widths=[64] model.backbone.space.depths=[2]
# For as many pictures as a size was drawn for in the supernet's 2,343 steps (w64-d2: 432, w128-d4: 153), with the same
# share of warm-up (0.3 epochs times 432 / 2343), in addition: train_cfg.max_iters=432 param_scheduler.0.end=0.0553
# param_scheduler.1.begin=0.0553 default_hooks.patch_weight.begin=0.0553
_base_ = "./poa_vit_cifar10.py"
model = dict(variant="intact", backbone=dict(space=dict(widths=[192], depths=[6])))
