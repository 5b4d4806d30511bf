# How the networks of each family are built in the pre-training on the embedded digits, and the normalisation there.
digits_families = dict(
    vit=dict(image_size=32, patch_size=8, head_dim=16, weight_init="jax", position_std=1.2),
    swin=dict(image_size=32, patch_size=2, window_size=4, fixed_depths=[1, 1, 1], head_dim=8),
    resnet=dict(channels=[16, 32, 64, 128], num_groups=8, fixed_depths=[1, 1], output_stride=16),
)
digits_mean = [127.5] * 3
digits_std = [63.75] * 3
