# CIFAR-10, the binary version (data/cifar-10-batches-bin); evaluation_cifar10.py reads a file of JPEG copies.
_cifar = dict(type="poa_bench.CifarImages", path="data/cifar-10-batches-bin")
evaluation = dict(name="cifar10-official", train=dict(split="train", **_cifar), test=dict(split="test", **_cifar))
