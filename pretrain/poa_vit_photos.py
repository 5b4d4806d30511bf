# POA on 4,572 photographs without labels (96 px): 12 ViT sizes of patch 16 from one run, up to 2 M parameters. 16
# epochs are half an hour on 2 quiet cores. docs/photos.md says what its sizes are measured by.
#   python tools/train.py poa_vit_photos.py
_base_ = [
    "../configs/_base_/models/vit_photos.py",
    "../configs/_base_/datasets/data_photos_pretrain.py",
    "../configs/_base_/schedules/poa_digits.py",
]
train_cfg = dict(max_epochs=16)
param_scheduler = _base_.param_scheduler  # warm-up, learning rate, weight decay
param_scheduler[0].update(end=2)
param_scheduler[1].update(begin=2)
default_hooks = dict(patch_weight=dict(begin=2), checkpoint=dict(interval=200))
