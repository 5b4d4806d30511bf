# Caltech-101 as its archive has it (data/101_ObjectCategories), mean per class: 30 pictures of each class train, the
# others test, without the background class, which is to be removed (BACKGROUND_Google). The draw is that of seed 0.
_images = dict(type="poa_bench.Images", path="data/101_ObjectCategories")
evaluation = dict(
    name="caltech101-official",
    metric="balanced_top1",
    train=dict(indices=dict(shots=30, seed=0), **_images),
    test=dict(indices=dict(shots=30, seed=0, rest=True), **_images),
)
