# A small ViT supernet for pictures of 32 px: widths 48 to 96 by depths 4 to 8, 12 sizes.
model = dict(
    type="poa_bench.POA",
    data_preprocessor=dict(type="poa_bench.MultiCropPreprocessor", mean=[127.5] * 3, std=[63.75] * 3),
    backbone=dict(
        type="poa_bench.Supernet",
        space=dict(family="vit", widths=[48, 64, 80, 96], depths=[4, 6, 8], head_dim=16),
        image_size=32,
        patch_size=4,
        init_values=1e-5,
    ),
    head=dict(
        type="poa_bench.ProjectionHead",
        prototypes=[256, 512, 1024],
        hidden_features=256,
        bottleneck_features=64,
    ),
)
