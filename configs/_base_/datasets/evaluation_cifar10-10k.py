# CIFAR-10 for machines without a GPU: every fifth train picture, 1,000 of each class, and the whole test split.
# The validation split is 2,000 other train pictures.
_base_ = "./evaluation_cifar10.py"
evaluation = dict(
    name="cifar10-10k",
    train=dict(indices=list(range(0, 50000, 5))),
    val=dict(
        type="poa_bench.Images", path="data/cifar10_jpeg_full.npz", split="train", indices=list(range(1, 50000, 25))
    ),
)
