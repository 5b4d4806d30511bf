# A small ViT supernet for pictures of 32 px (16 patches): widths 96 to 144 by depths 2 to 4, 12 sizes.
model = dict(
    type="poa_bench.POA",
    data_preprocessor=dict(type="poa_bench.MultiCropPreprocessor", mean=[127.5] * 3, std=[63.75] * 3, crop_share=1.0),
    backbone=dict(
        type="poa_bench.Supernet",
        space=dict(family="vit", widths=[96, 112, 128, 144], depths=[2, 3, 4], head_dim=16),
        image_size=32,
        patch_size=8,
        # minutes of training need weights and positions that matter from the first step
        weight_init="jax",
        position_std=1.2,
        mask_token_std=0.02,
    ),
    head=dict(
        type="poa_bench.ProjectionHead",
        prototypes=[32, 64],  # for 10 classes and batches of 64
        hidden_features=256,
        bottleneck_features=64,
        prototype_std=0.02,  # a length of 0.16 at the start (officially 0.577): prototypes that turn faster
    ),
)
