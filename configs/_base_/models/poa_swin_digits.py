# A small Swin supernet for pictures of 32 px: widths 16 to 32, stage 3 from 2 to 4 blocks, 9 sizes.
# The maps are 16, 8, 4 and 2 positions wide.
_base_ = "./poa_vit_digits.py"
model = dict(
    backbone=dict(
        _delete_=True,
        type="poa_bench.Supernet",
        space=dict(family="swin", widths=[16, 24, 32], depths=[2, 3, 4], head_dim=8),
        image_size=32,
        patch_size=2,
        window_size=4,
        mask_token_std=0.02,
        fixed_depths=[1, 1, 1],
        drop_path_rate=0.0,
        weight_init="jax",
    ),
)
