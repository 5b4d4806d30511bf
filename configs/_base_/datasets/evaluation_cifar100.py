# CIFAR-100, the binary version (data/cifar-100-binary).
_cifar = dict(type="poa_bench.CifarImages", path="data/cifar-100-binary")
evaluation = dict(name="cifar100", train=dict(split="train", **_cifar), test=dict(split="test", **_cifar))
