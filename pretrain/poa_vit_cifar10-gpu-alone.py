# One size of poa_vit_cifar10-gpu.py trained alone with the same recipe.
#   python tools/train.py poa_vit_cifar10-gpu-alone.py --work-dir work_dirs/cifar10-gpu/alone-w192-d6 \
#       --cfg-options model.backbone.space.widths=[192] model.backbone.space.depths=[6]
# For as many pictures as w192-d6 was drawn for in the 1,500 steps that reports/cifar10-gpu shows, and without a GPU
# (about two hours on 2 cores), in addition: train_cfg.max_iters=260 param_scheduler.0.end=0.402
# param_scheduler.1.begin=0.402 default_hooks.patch_weight.begin=0.402 optim_wrapper.type=OptimWrapper
_base_ = "./poa_vit_cifar10-gpu.py"
model = dict(variant="intact", backbone=dict(space=dict(widths=[384], depths=[12])))
