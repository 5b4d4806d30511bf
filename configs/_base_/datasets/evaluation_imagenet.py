# ImageNet-1K for k-NN and linear probe. `val` of ImageNet is the test split here: nothing is chosen on it.
# Pictures are resized and cropped as the checkpoint says: the central 224 px of 256 for recipes of 224 px.
evaluation = dict(
    name="imagenet",
    workers=10,
    val_share=0.01,
    train=dict(type="poa_bench.Images", path="data/imagenet/train"),
    test=dict(type="poa_bench.Images", path="data/imagenet/val"),
)
