# What the ImageNet runs of all families share: bf16, AdamW in one kernel, a size for each GPU, checks and checkpoints
# every 800 iterations (5.8 GB each for ViT; the last two are kept).
_base_ = "./poa_adamw.py"

optim_wrapper = dict(
    type="poa_bench.Bfloat16OptimWrapper",
    optimizer=dict(fused=True),
    paramwise_cfg=dict(clip_apart=True),  # the official code; the paper does not say
)
default_hooks = dict(
    subnet=dict(mode="rank"),  # as the official code draws them; the paper's text: "step"
    collapse=dict(type="poa_bench.CollapseHook", interval=800),
    checkpoint=dict(interval=800),
    # knn=dict(type="poa_bench.KnnHook", data="imagenet-100k", interval=20),
    # rank=dict(type="poa_bench.RankHook", data="imagenet-100k", interval=5),
)
