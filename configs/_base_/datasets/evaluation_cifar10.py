# CIFAR-10 for k-NN and linear probe; a part of train is held out to choose the regulariser.
evaluation = dict(
    name="cifar10",
    train=dict(type="poa_bench.Images", path="data/cifar10_jpeg_full.npz", split="train"),
    test=dict(type="poa_bench.Images", path="data/cifar10_jpeg_full.npz", split="test"),
)
