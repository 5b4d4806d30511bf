# ImageNet-1K for k-NN and linear probe. `val` of ImageNet is the test split here: nothing is chosen on it.
evaluation = dict(
    name="imagenet",
    image_size=224,
    resize=256,
    workers=10,
    val_share=0.01,
    train=dict(type="poa_bench.Images", path="data/imagenet/train"),
    test=dict(type="poa_bench.Images", path="data/imagenet/val"),
)
