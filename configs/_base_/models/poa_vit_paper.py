# The paper's ViT supernet: widths 384 to 1024 by 64, depths 12 to 24, 143 sizes from ViT-S to ViT-L.
model = dict(
    type="poa_bench.POA",
    data_preprocessor=dict(type="poa_bench.MultiCropPreprocessor"),
    backbone=dict(
        type="poa_bench.Supernet",
        space=dict(family="vit", widths=list(range(384, 1025, 64)), depths=list(range(12, 25)), head_dim=64),
        image_size=224,
        patch_size=16,
        init_values=1e-5,
        drop_path_rate=0.2,  # above 0.1: a branch runs on exactly 80 % of a batch
        drop_path_uniform=True,
    ),
    head=dict(
        type="poa_bench.ProjectionHead",
        prototypes=[8192, 16384, 32768, 65536],
        hidden_features=2048,
        bottleneck_features=256,
    ),
    chunk_elements=1 << 26,  # logits at a time: 256 MiB
)
