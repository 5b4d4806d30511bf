# POA on the photos of Caltech-101 (96 px), 12 ViT sizes of patch 8. Written for an hour on 2 cores; not tuned.
#   python tools/train.py poa_vit_caltech101.py        data/caltech101_s96.zip is read without unpacking
_base_ = [
    "../configs/_base_/models/poa_vit_paper.py",
    "../configs/_base_/datasets/data_caltech101_pretrain.py",
    "../configs/_base_/schedules/poa_digits.py",
]
train_cfg = dict(max_epochs=30)
param_scheduler = _base_.param_scheduler  # warm-up, learning rate, weight decay
param_scheduler[0].update(end=3)
param_scheduler[1].update(begin=3)
default_hooks = dict(patch_weight=dict(begin=3), checkpoint=dict(interval=200))
model = dict(
    data_preprocessor=dict(crop_share=1.0),  # the pictures are hardly larger than the crops
    backbone=dict(
        drop_path_rate=0.0,
        space=dict(family="vit", widths=[64, 96, 128, 192], depths=[4, 6, 8], head_dim=32),
        image_size=96,
        patch_size=8,
        init_values=0.1,
    ),
    head=dict(prototypes=[128, 256], hidden_features=256, bottleneck_features=64),
    chunk_elements=1 << 22,
)
