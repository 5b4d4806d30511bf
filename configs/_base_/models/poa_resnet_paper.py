# The paper's ResNet supernet: mid channels 64, 96, 128, stage 2 from 4 to 8 and stage 3 from 6 to 36 blocks, 465 sizes
# from ResNet-50 to a ResNet-152 with wider middle layers; GroupNorm. Only depth is drawn with weight 2 (official code).
model = dict(
    type="poa_bench.POA",
    data_preprocessor=dict(type="poa_bench.MultiCropPreprocessor"),
    backbone=dict(
        type="poa_bench.Supernet",
        space=dict(
            family="resnet",
            widths=[64, 96, 128],
            depths=[list(range(4, 9)), list(range(6, 37))],
            s_w=1.0,
            s_d=2.0,
        ),
    ),
    head=dict(
        type="poa_bench.ProjectionHead",
        prototypes=[8192, 16384, 32768, 65536],
        hidden_features=2048,
        bottleneck_features=256,
    ),
    chunk_elements=1 << 26,  # logits at a time: 256 MiB
)
