# A ViT supernet for photographs at 96 px (36 patches): widths 64 to 192 by depths 2 to 4, 12 sizes.
_base_ = "./poa_vit_digits.py"

model = dict(
    data_preprocessor=dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375]),
    backbone=dict(
        space=dict(widths=[64, 96, 128, 192], depths=[2, 3, 4], head_dim=32),
        image_size=96,
        patch_size=16,
    ),
    head=dict(prototypes=[64, 128]),
)
