# A small ResNet supernet for pictures of 32 px: mid channels 16 to 32, stage 2 of 1 or 2 and stage 3 of 1 to 3 blocks,
# 18 sizes. Stage 4 is dilated, so that the maps are 8, 4, 2 and 2 positions wide.
_base_ = "./poa_vit_digits.py"
model = dict(
    backbone=dict(
        _delete_=True,
        type="poa_bench.Supernet",
        space=dict(family="resnet", widths=[16, 24, 32], depths=[[1, 2], [1, 2, 3]]),
        channels=[16, 32, 64, 128],
        num_groups=8,
        mask_token_std=0.02,
        fixed_depths=[1, 1],
        output_stride=16,
        zero_init_last=False,  # minutes of training need blocks that matter from the first step
    ),
)
