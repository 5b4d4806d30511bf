# POA on CIFAR-10, 12 ViT sizes of patch 4. Written for an hour on 2 cores; not tuned.
#   python tools/train.py poa_vit_cifar10.py        data/cifar10_jpeg_full.npz holds JPEGs
_base_ = [
    "../configs/_base_/models/poa_vit_paper.py",
    "../configs/_base_/datasets/data_cifar10_pretrain.py",
    "../configs/_base_/schedules/poa_photos.py",
]
model = dict(
    backbone=dict(
        drop_path_rate=0.0,
        space=dict(family="vit", widths=[48, 64, 80, 96], depths=[4, 6, 8], head_dim=16),
        image_size=32,
        patch_size=4,
        init_values=0.1,
    ),
    head=dict(prototypes=[512, 1024, 2048], hidden_features=256, bottleneck_features=64),
    chunk_elements=1 << 22,
)
