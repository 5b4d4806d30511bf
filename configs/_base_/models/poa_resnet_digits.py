# A small ResNet supernet for pictures of 32 px: mid channels 16 to 32, stage 2 of 1 or 2 and stage 3 of 2 or 4 blocks,
# 12 sizes. Stages 3 and 4 are dilated, so that the maps are 8, 4, 4, 4.
_base_ = "./poa_vit_digits.py"
model = dict(
    backbone=dict(
        _delete_=True,
        type="poa_bench.Supernet",
        space=dict(family="resnet", widths=[16, 24, 32], depths=[[1, 2], [2, 4]]),
        channels=[32, 64, 128, 256],
        num_groups=8,
        fixed_depths=[1, 1],
        output_stride=8,
    ),
)
