# CIFAR-10 for machines without a GPU: every fifth train picture, 1,000 of each class, and the whole test split.
_base_ = "./evaluation_cifar10.py"
evaluation = dict(name="cifar10-10k", train=dict(indices=list(range(0, 50000, 5))))
