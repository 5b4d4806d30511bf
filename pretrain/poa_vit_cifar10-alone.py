# One size of poa_vit_cifar10.py trained alone with the same recipe: the dedicated network that POA is compared with.
#   python tools/train.py poa_vit_cifar10-alone.py --work-dir work_dirs/cifar10/alone-w64-d2 \
#       --cfg-options model.backbone.space.widths=[64] model.backbone.space.depths=[2]
_base_ = "./poa_vit_cifar10.py"
model = dict(variant="intact", backbone=dict(space=dict(widths=[192], depths=[6])))
