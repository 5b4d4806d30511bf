# One size of poa_vit_cifar10-gpu.py trained alone with the same recipe.
#   python tools/train.py poa_vit_cifar10-gpu-alone.py --work-dir work_dirs/cifar10-gpu/alone-w192-d6 \
#       --cfg-options model.backbone.space.widths=[192] model.backbone.space.depths=[6]
_base_ = "./poa_vit_cifar10-gpu.py"
model = dict(variant="intact", backbone=dict(space=dict(widths=[384], depths=[12])))
