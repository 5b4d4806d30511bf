# Oxford Flowers 102, mean per class: data/flowers-102 as torchvision has it.
_flowers = dict(type="poa_bench.FlowersImages", path="data/flowers-102")
evaluation = dict(
    name="flowers",
    metric="balanced_top1",
    train=dict(split="train", **_flowers),
    val=dict(split="val", **_flowers),
    test=dict(split="test", **_flowers),
)
